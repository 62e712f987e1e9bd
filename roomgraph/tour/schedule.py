"""When which fault comes, drawn from a seed: the same seed and duration give the same faults. No I/O, no clock."""

from __future__ import annotations

import random
from dataclasses import dataclass
from enum import StrEnum

FIRST_S = 1.0  # everyone is writing by then
ROLLING_EVERY_S = 60.0
CALM_S = 1.0  # at the end, of the faults' own time
GAP_S = (0.5, 1.3)  # between the begin of one fault and that of the next


class FaultKind(StrEnum):
    """Everything that is done to a cluster."""

    NODE_KILL = "node_kill"  # SIGKILL, and the node is started again
    NODE_PAUSE = "node_pause"  # SIGSTOP, later SIGCONT
    NODE_RESTART = "node_restart"  # SIGTERM, and the node is started again
    ROLLING_RESTART = "rolling_restart"  # the same with each node, one after another
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
    FaultKind.NODE_RESTART: _Rule("node", well_after=RESTART_S),
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
    waiting: list[FaultKind] = []  # for a target that is well
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
                targets.take(kind, target, begins + seconds + rule.well_after)
                waiting.remove(kind)
                break
        at += chance.uniform(*GAP_S)
    return tuple(faults)


def _bag(chance: random.Random, *, rolling: bool) -> list[FaultKind]:
    """Every kind once; the last is drawn first."""
    bag: list[FaultKind] = [kind for kind in FaultKind if kind != FaultKind.ROLLING_RESTART]
    chance.shuffle(bag)
    if rolling:
        # Among the first of them: it waits until all nodes are well, and the other faults of nodes wait for it.
        bag.insert(len(bag) - chance.randrange(4), FaultKind.ROLLING_RESTART)
    return bag


class _Targets:
    """From when on each target may be hit again."""

    def __init__(self, nodes: int, devices: int) -> None:
        counts = {"node": nodes, "redis": 1, "network": nodes, "device": devices}
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

    def take(self, kind: FaultKind, target: int, until: float) -> None:
        """It is hit, and well again by then."""
        to = RULES[kind].to
        if to == "nodes":
            self._free["node"] = [until] * len(self._free["node"])
        else:
            self._free[to][target] = until
