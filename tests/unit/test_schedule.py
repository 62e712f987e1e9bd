"""The chaos is drawn from its seed and its duration, and from nothing else."""

from __future__ import annotations

import random
import subprocess
import sys
from collections import Counter

import pytest

from roomgraph.tour.schedule import (
    CALM_S,
    FIRST_S,
    RESTART_S,
    RULES,
    Action,
    ActionKind,
    Fault,
    FaultKind,
    schedule,
    schedule_actions,
)

SEEDS = range(200)
OUT = {kind for kind, rule in RULES.items() if rule.to in ("node", "nodes")}


def draw(seed: int, duration: float = 30.0) -> tuple[Fault, ...]:
    return schedule(seed, duration, nodes=3, devices=5)


def draw_actions(seed: int, duration: float = 30.0) -> tuple[Action, ...]:
    return schedule_actions(seed, duration, targets=dict.fromkeys(ActionKind, 2))


def places(fault: Fault) -> set[str]:
    to = RULES[fault.kind].to
    if to == "nodes":
        return {"node 0", "node 1", "node 2"}
    return {to if to == "redis" else f"{to} {fault.target}"}


def overlap(one: Fault, other: Fault) -> bool:
    return one.at < other.at + other.seconds and other.at < one.at + one.seconds


def test_the_same_seed_and_duration_give_the_same_faults_whatever_was_drawn_before() -> None:
    first = draw(7)
    random.seed(1)
    random.random()
    assert draw(7) == first


def test_another_process_draws_the_same() -> None:
    code = "from roomgraph.tour.schedule import schedule; print(schedule(7, 30, nodes=3, devices=5))"
    told = [
        subprocess.run(
            [sys.executable, "-c", code], env={"PYTHONHASHSEED": number}, capture_output=True, text=True
        )
        for number in ("1", "2")
    ]
    assert [process.stdout.strip() for process in told] == [str(draw(7))] * 2


def test_what_a_seed_gives_does_not_change_with_the_versions_of_python() -> None:
    """Whoever reports a seed must be able to have its faults again."""
    drawn = [(fault.at, fault.seconds, fault.kind.value, fault.target, fault.amount) for fault in draw(7, 10)]
    assert drawn == [
        (1.0, 0.69, "node_kill", 1, 0),
        (1.71, 0.9, "reply_cut", 0, 570),
        (2.56, 0.0, "bus_cut", 0, 0),
        (3.73, 0.82, "redis_kill", 0, 0),
        (4.8, 4.2, "clock_jump", 0, -1230),
        (5.83, 3.17, "slow", 2, 217),
        (6.61, 0.0, "reset", 0, 0),
        (7.28, 0.76, "cut", 0, 31),
        (8.4, 0.0, "node_restart", 2, 0),
    ]
    acts = [(action.at, action.seconds, action.kind.value, action.target) for action in draw_actions(7, 10)]
    assert acts == [
        (1.0, 0.0, "stop", 0),
        (2.95, 0.64, "invite", 1),
        (4.37, 0.0, "regenerate", 1),
        (5.08, 0.45, "leave", 0),
        (6.96, 0.0, "edit", 1),
        (8.29, 0.59, "sign_out", 1),
    ]


def test_other_seeds_give_other_faults_of_a_chaos() -> None:
    assert len({draw(seed) for seed in SEEDS}) == len(SEEDS)


@pytest.mark.parametrize("duration", [5.0, 12.0, 30.0, 120.0])
def test_faults_begin_when_all_devices_are_there_and_are_over_before_the_end(duration: float) -> None:
    for seed in SEEDS:
        faults = draw(seed, duration)
        assert faults
        assert [fault.at for fault in faults] == sorted(fault.at for fault in faults)
        assert faults[0].at >= FIRST_S
        assert all(fault.at + fault.seconds <= duration - CALM_S for fault in faults)


def test_a_target_has_one_fault_at_a_time_and_is_given_time_to_be_well() -> None:
    for seed in SEEDS:
        faults = draw(seed)
        for number, fault in enumerate(faults):
            well = fault.at + fault.seconds + RULES[fault.kind].well_after
            for later in faults[number + 1 :]:
                assert later.at >= well - 0.001 or not places(fault) & places(later), (seed, fault, later)


def test_faults_overlap_and_one_node_is_always_left_alone() -> None:
    for seed in SEEDS:
        faults = draw(seed)
        pairs = [(one, other) for one in faults for other in faults if one.at < other.at and overlap(one, other)]
        assert pairs
        for moment in (fault.at for fault in faults):
            out = [f for f in faults if f.kind in OUT and f.at <= moment < f.at + f.seconds]
            rolling = any(fault.kind == FaultKind.ROLLING_RESTART for fault in out)
            assert len(out) == 1 if rolling else len(out) <= 2


def test_every_kind_of_fault_comes_in_a_chaos_of_a_minute() -> None:
    missing = Counter(kind for seed in SEEDS for kind in set(FaultKind) - {fault.kind for fault in draw(seed, 60)})
    assert not missing


def test_in_a_long_chaos_every_kind_of_fault_comes_again_and_again() -> None:
    counts = Counter(fault.kind for fault in draw(7, 600))
    assert counts.pop(FaultKind.ROLLING_RESTART) >= 8
    assert min(counts.values()) >= 12
    assert counts.total() >= 300


def test_all_nodes_are_restarted_in_turn_once_a_minute_at_most() -> None:
    for seed in SEEDS:
        assert all(fault.kind != FaultKind.ROLLING_RESTART for fault in draw(seed, 59))
        assert sum(fault.kind == FaultKind.ROLLING_RESTART for fault in draw(seed, 60)) == 1


def test_lengths_and_amounts_are_those_of_the_kind_and_targets_exist() -> None:
    for seed in SEEDS:
        for fault in draw(seed):
            rule = RULES[fault.kind]
            if rule.to != "nodes":
                assert rule.seconds[0] <= fault.seconds <= rule.seconds[1]
            else:
                assert fault.seconds == 3 * RESTART_S
            assert rule.amount[0] <= fault.amount <= rule.amount[1]
            assert 0 <= fault.target < (5 if rule.to == "device" else 3)


def test_two_nodes_and_three_devices_are_enough() -> None:
    faults = [fault for seed in SEEDS for fault in schedule(seed, 60, nodes=2, devices=3)]
    assert all(fault.target < (3 if RULES[fault.kind].to == "device" else 2) for fault in faults)
    assert {fault.kind for fault in faults} == set(FaultKind)


def test_every_action_comes_in_half_a_minute_and_none_is_left_behind() -> None:
    for seed in SEEDS:
        actions = draw_actions(seed)
        assert {action.kind for action in actions} == set(ActionKind)
        assert [action.at for action in actions] == sorted(action.at for action in actions)
        assert all(FIRST_S <= action.at < 30.0 - CALM_S and action.target < 2 for action in actions)
    assert min(Counter(action.kind for action in draw_actions(7, 600)).values()) >= 60


def test_an_action_without_a_target_is_left_out_and_changes_no_other() -> None:
    without = {**dict.fromkeys(ActionKind, 2), ActionKind.OUTRUN: 0}
    assert schedule_actions(7, 30, targets=without) == tuple(
        action for action in draw_actions(7) if action.kind != ActionKind.OUTRUN
    )
