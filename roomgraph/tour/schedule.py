"""When which fault and which action comes, drawn from a seed: the same seed and duration give the same ones.

No I/O, no clock.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

FIRST_S = 1.0  # everyone is writing by then
ROLLING_EVERY_S = 60.0
CALM_S = 1.0  # at the end, of the faults' own time
GAP_S = (0.5, 1.3)  # between the begin of one fault and that of the next
ACTION_GAP_S = (0.7, 2.0)  # between the begin of one action and that of the next


class FaultKind(StrEnum):
    """Every fault that is injected into a cluster."""

    NODE_KILL = "node_kill"  # SIGKILL, and the node is started again
    NODE_PAUSE = "node_pause"  # SIGSTOP, later SIGCONT
    NODE_RESTART = "node_restart"  # SIGTERM, and the node is started again
    ROLLING_RESTART = "rolling_restart"  # the same with each node, one after another
    REDIS_KILL = "redis_kill"  # SIGKILL, and Redis is started again
    REDIS_PAUSE = "redis_pause"
    REDIS_RESET = "redis_reset"  # every connection between the nodes and Redis is reset
    BUS_CUT = "bus_cut"  # CLIENT KILL of all connections that listen
    CLOCK_JUMP = "clock_jump"  # a node's clock is wrong from one moment to the next, and later right again
    PARTITION = "partition"  # nothing passes between a node and Redis
    COMMANDS_LOST = "commands_lost"  # one way: nothing passes from a node to Redis
    REPLIES_LOST = "replies_lost"  # one way: nothing passes from Redis to a node
    REPLY_CUT = "reply_cut"  # a connection to Redis breaks in the middle of a reply
    SLOW = "slow"  # delay and jitter between a node and its clients
    NARROW = "narrow"  # few bytes a second between a node and its clients
    RESET = "reset"  # all of a node's clients are disconnected
    CUT = "cut"  # a client is disconnected in the middle of something
    DEVICE_AWAY = "device_away"  # a device goes offline, and comes back on another node


# Those that are done to the network between nodes and a single Redis.
REDIS_NETWORKS = frozenset(
    {
        FaultKind.REDIS_RESET,
        FaultKind.PARTITION,
        FaultKind.COMMANDS_LOST,
        FaultKind.REPLIES_LOST,
        FaultKind.REPLY_CUT,
    }
)


class ActionKind(StrEnum):
    """What people and programs do meanwhile, besides writing and asking."""

    LEAVE = "leave"  # a member leaves the conversation, and joins again later
    INVITE = "invite"  # a user is invited, joins, leaves, and cannot come back
    EDIT = "edit"  # the last message is replaced
    REGENERATE = "regenerate"  # the last turn is answered again
    STOP = "stop"  # a run is stopped
    OUTRUN = "outrun"  # a device is away until what it misses is not kept any more
    SIGN_OUT = "sign_out"  # a device is signed out by another, and comes back with a new token


Kind = FaultKind | ActionKind


@dataclass(frozen=True, slots=True)
class Fault:
    """From `at`, for `seconds`; `target` numbers the node or the device; what `amount` is the kind says."""

    at: float
    seconds: float
    kind: FaultKind
    target: int = 0
    amount: int = 0


@dataclass(frozen=True, slots=True)
class Action:
    """At `at`; `seconds` is how long somebody stays away; `target` numbers the device or the conversation."""

    at: float
    seconds: float
    kind: ActionKind
    target: int = 0


@dataclass(frozen=True, slots=True)
class _Rule:
    """How a kind is drawn: what it is done to, for how long, and how long its target takes to recover."""

    to: str  # "node", "nodes", "redis", "network" (of a node's clients), "clock" or "device"
    seconds: tuple[float, float] = (0.0, 0.0)
    well_after: float = 0.5
    amount: tuple[int, int] = (0, 0)


RESTART_S = 4.0  # what a node may take to end and to be ready again
RULES = {
    FaultKind.NODE_KILL: _Rule("node", (0.2, 1.5), RESTART_S),
    FaultKind.NODE_PAUSE: _Rule("node", (0.5, 5.0)),
    FaultKind.NODE_RESTART: _Rule("node", well_after=RESTART_S),
    FaultKind.ROLLING_RESTART: _Rule("nodes"),
    FaultKind.REDIS_KILL: _Rule("redis", (0.1, 1.0), 1.5),
    FaultKind.REDIS_PAUSE: _Rule("redis", (0.3, 3.0), 1.5),
    FaultKind.REDIS_RESET: _Rule("redis"),
    FaultKind.BUS_CUT: _Rule("redis"),
    FaultKind.CLOCK_JUMP: _Rule("clock", (1.0, 6.0), amount=(-5400, 5400)),  # seconds that it is ahead
    FaultKind.PARTITION: _Rule("node", (0.5, 5.0)),
    FaultKind.COMMANDS_LOST: _Rule("node", (0.5, 4.0)),
    FaultKind.REPLIES_LOST: _Rule("node", (0.5, 4.0)),
    FaultKind.REPLY_CUT: _Rule("node", (0.5, 1.0), amount=(1, 3000)),  # bytes until the cut
    FaultKind.SLOW: _Rule("network", (1.0, 4.0), amount=(50, 400)),  # milliseconds, there and back
    FaultKind.NARROW: _Rule("network", (1.0, 3.0), amount=(4_000, 40_000)),  # bytes a second
    FaultKind.RESET: _Rule("network"),
    FaultKind.CUT: _Rule("network", (0.5, 1.0), amount=(1, 5000)),  # bytes until the cut
    FaultKind.DEVICE_AWAY: _Rule("device", (0.2, 3.0)),
}


# Of each action: how long somebody stays away.
AWAY_S = {ActionKind.LEAVE: (0.2, 3.0), ActionKind.INVITE: (0.0, 1.0), ActionKind.SIGN_OUT: (0.0, 1.0)}


def schedule_actions(seed: int, duration: float, *, targets: Mapping[ActionKind, int]) -> tuple[Action, ...]:
    """The actions of so many seconds, in their order: every kind comes before one comes again.

    `targets` says how many targets a kind has; one that has none is left out, and changes nothing for the others.
    """
    chance = random.Random(f"roomgraph chaos actions {seed}")
    actions: list[Action] = []
    bag: list[ActionKind] = []
    at = FIRST_S
    while at < duration - CALM_S:
        if not bag:
            bag = list(ActionKind)
            chance.shuffle(bag)
        kind = bag.pop()
        seconds = round(chance.uniform(*AWAY_S.get(kind, (0.0, 0.0))), 2)
        place, count = chance.random(), targets.get(kind, 0)
        if count:
            actions.append(Action(round(at, 2), seconds, kind, int(place * count)))
        at += chance.uniform(*ACTION_GAP_S)
    return tuple(actions)


def schedule(seed: int, duration: float, *, nodes: int, devices: int) -> tuple[Fault, ...]:
    """The faults of so many seconds, in their order: every kind comes before one comes again, where time allows.

    Faults overlap, but one target has one at a time, and of several nodes one is always left alone. All are over
    `CALM_S` before the end. In a chaos of a minute, and once in each further one, all nodes are restarted in turn.
    """
    # A text is hashed the same way by every Python; what is drawn from it is fixed as well.
    chance = random.Random(f"roomgraph chaos {seed}")
    targets = _Targets(nodes, devices)
    end = duration - CALM_S
    faults: list[Fault] = []
    bag: list[FaultKind] = []
    waiting: list[FaultKind] = []  # until a target has recovered
    at, rolled_at = FIRST_S, -ROLLING_EVERY_S
    while at < end:
        if not bag:
            rolling = at >= rolled_at + ROLLING_EVERY_S and duration - at >= ROLLING_EVERY_S - FIRST_S
            bag = _bag(chance, rolling=rolling)
            rolled_at = at if rolling else rolled_at
        drawn = bag.pop()
        if drawn not in waiting:
            waiting.append(drawn)
        for kind in waiting:
            rule, begins = RULES[kind], round(at, 2)
            free = targets.free(kind, begins, rolling=FaultKind.ROLLING_RESTART in waiting)
            shortest = nodes * RESTART_S if rule.to == "nodes" else rule.seconds[0]
            if begins + shortest > end:
                waiting.remove(kind)
                break
            if free:
                target = chance.choice(free)
                seconds = max(shortest, round(min(chance.uniform(*rule.seconds), end - begins), 2))
                faults.append(Fault(begins, seconds, kind, target, chance.randint(*rule.amount)))
                targets.occupy(kind, target, begins + seconds + rule.well_after)
                waiting.remove(kind)
                break
        at += chance.uniform(*GAP_S)
    return tuple(faults)


def _bag(chance: random.Random, *, rolling: bool) -> list[FaultKind]:
    """Every kind once; the last is drawn first."""
    bag: list[FaultKind] = [kind for kind in FaultKind if kind != FaultKind.ROLLING_RESTART]
    chance.shuffle(bag)
    if rolling:
        # Among the first: it waits until all nodes have recovered, and the other faults of nodes wait for it.
        bag.insert(len(bag) - chance.randrange(4), FaultKind.ROLLING_RESTART)
    return bag


class _Targets:
    """The time from which each target may be hit again."""

    def __init__(self, nodes: int, devices: int) -> None:
        counts = {"node": nodes, "redis": 1, "network": nodes, "clock": nodes, "device": devices}
        self._free = {to: [0.0] * count for to, count in counts.items()}

    def free(self, kind: FaultKind, at: float, *, rolling: bool) -> list[int]:
        """Targets that a fault of this kind may hit now. While a rolling restart waits no other node is broken."""
        to = RULES[kind].to
        nodes = self._free["node"]
        if to == "nodes":
            return [0] if max(nodes) <= at else []
        if to == "node":
            out = sum(since > at for since in nodes)
            if rolling or out >= max(1, len(nodes) - 1):
                return []
        return [number for number, since in enumerate(self._free[to]) if since <= at]

    def occupy(self, kind: FaultKind, target: int, until: float) -> None:
        """It is hit, and has recovered by then."""
        to = RULES[kind].to
        if to == "nodes":
            self._free["node"] = [until] * len(self._free["node"])
        else:
            self._free[to][target] = until
