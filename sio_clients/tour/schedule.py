"""When which fault comes, drawn from a seed: the same seed and duration give the same faults. No I/O, no clock."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

FIRST_S = 1.0  # everyone is writing by then
CALM_S = 1.0  # at the end, of the faults' own time
GAP_S = (0.5, 1.3)  # between the begin of one fault and that of the next
WAITS_S = 6.0  # what would have to wait longer until its target is well is left out


class FaultKind(StrEnum):
    """Everything that is done to a cluster."""

    NODE_KILL = "node_kill"  # SIGKILL, and the node is started again
    NODE_PAUSE = "node_pause"  # SIGSTOP, later SIGCONT
    ROLLING_RESTART = "rolling_restart"  # SIGTERM and a start of each node, one after another
    REDIS_KILL = "redis_kill"  # SIGKILL, and Redis is started again
    REDIS_PAUSE = "redis_pause"
    BUS_CUT = "bus_cut"  # CLIENT KILL of all that listen
    PARTITION = "partition"  # nothing passes between a node and Redis
    COMMANDS_LOST = "commands_lost"  # one way: nothing passes from a node to Redis
    REPLIES_LOST = "replies_lost"  # one way: nothing passes from Redis to a node
    REPLY_CUT = "reply_cut"  # a connection to Redis breaks in the middle of a reply
    SLOW = "slow"  # delay and jitter between a node and its clients
    NARROW = "narrow"  # few bytes a second between a node and its clients
    RESET = "reset"  # all of a node's clients are disconnected
    CUT = "cut"  # a client is disconnected in the middle of something
    DEVICE_AWAY = "device_away"  # a device goes offline, and comes back on another node


@dataclass(frozen=True, slots=True)
class Fault:
    """From `at`, for `seconds`; `target` numbers the node or the device; what `amount` is the kind says."""

    at: float
    seconds: float
    kind: FaultKind
    target: int = 0
    amount: int = 0


@dataclass(frozen=True, slots=True)
class _Rule:
    """How a kind is drawn: what it is done to, for how long, and how long that takes to be well again."""

    to: str  # "node", "nodes", "redis", "network" (of a node's clients) or "device"
    seconds: tuple[float, float] = (0.0, 0.0)
    well_after: float = 0.5
    amount: tuple[int, int] = (0, 0)


RESTART_S = 4.0  # what a node may take to end and to be ready again
RULES = {
    FaultKind.NODE_KILL: _Rule("node", (0.2, 1.5), RESTART_S),
    FaultKind.NODE_PAUSE: _Rule("node", (0.5, 5.0)),
    FaultKind.ROLLING_RESTART: _Rule("nodes"),
    FaultKind.REDIS_KILL: _Rule("redis", (0.1, 1.0), 1.5),
    FaultKind.REDIS_PAUSE: _Rule("redis", (0.3, 3.0), 1.5),
    FaultKind.BUS_CUT: _Rule("redis"),
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


def schedule(seed: int, duration: float, *, nodes: int, devices: int) -> tuple[Fault, ...]:
    """The faults of so many seconds, in their order: every kind comes before one comes again.

    Faults overlap, but one target has one at a time, and of several nodes one is always left alone. What would not
    be over `CALM_S` before the end is left out, and so is a rolling restart of more than half the time.
    """
    # A text is hashed the same way by every Python; what is drawn from it is fixed as well.
    chance = random.Random(f"roomgraph chaos {seed}")
    free = _Free(nodes, devices)
    faults: list[Fault] = []
    bag: list[FaultKind] = []
    at = FIRST_S
    while at < duration - CALM_S:
        if not bag:
            bag = [kind for kind in FaultKind if kind != FaultKind.ROLLING_RESTART]
            chance.shuffle(bag)
            if nodes * RESTART_S <= duration / 2:
                # Among the first of them: it takes all nodes, and so long that it would find no time later.
                bag.insert(len(bag) - chance.randrange(4), FaultKind.ROLLING_RESTART)
        kind = bag.pop()
        rule = RULES[kind]
        target = chance.randrange(max(1, {"node": nodes, "network": nodes, "device": devices}.get(rule.to, 1)))
        seconds = round(chance.uniform(*rule.seconds), 2)
        amount = chance.randint(*rule.amount)
        if rule.to == "nodes":
            seconds = nodes * RESTART_S
        places = free.places(rule.to, target)
        begins = round(max(at, *(free.since[place] for place in places)), 2)
        if begins + seconds <= duration - CALM_S and begins <= at + WAITS_S:
            faults.append(Fault(begins, seconds, kind, target, amount))
            for place in places:
                free.since[place] = begins + seconds + rule.well_after
        at += chance.uniform(*GAP_S)
    return tuple(sorted(faults, key=lambda fault: fault.at))


class _Free:
    """From when on each target may be hit again. A node that is out also takes one of the turns of being out."""

    def __init__(self, nodes: int, devices: int) -> None:
        self._turns = [f"turn {number}" for number in range(max(1, nodes - 1))]
        self._nodes = [f"node {number}" for number in range(nodes)]
        others = [f"network {number}" for number in range(nodes)] + [
            f"device {number}" for number in range(devices)
        ]
        self.since = dict.fromkeys([*self._turns, *self._nodes, "redis", *others], 0.0)

    def places(self, to: str, target: int) -> Sequence[str]:
        """What a fault occupies."""
        if to == "nodes":
            return [*self._turns, *self._nodes]
        if to == "node":
            return [min(self._turns, key=lambda turn: self.since[turn]), self._nodes[target]]
        return ["redis"] if to == "redis" else [f"{to} {target}"]
