"""Whether a failover happens when it must, soon, and keeps what was acked."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from roomgraph.doctor.findings import Fact, Finding, bad, good, warn
from roomgraph.doctor.topology_facts import ClusterFacts, SentinelFacts

SENTINELS = 3  # with fewer the loss of one is the loss of the majority
NOTICED_MS = 5000  # sends stop for so long, and for the election


def judge_sentinels(facts: Sequence[SentinelFacts]) -> Iterator[Finding]:
    """What is to be said of the sentinels of a service."""
    answers = [one for one in facts if not one.problem]
    for one in facts:
        if one.problem:
            level = warn if 2 * len(answers) > len(facts) else bad
            yield level(Fact.SENTINEL_SILENT, server=one.server, reason=one.problem)
    if not answers:
        return
    primaries = sorted({one.primary for one in answers})
    if len(primaries) > 1:
        yield bad(Fact.SENTINELS_DISAGREE, primaries=", ".join(primaries))
    else:
        yield good(Fact.SENTINELS_AGREE, count=len(answers), primary=primaries[0])
    known = max(one.sentinels for one in answers)
    if known < SENTINELS:
        yield warn(Fact.SENTINELS_FEW, count=known)
    if known > len(facts):
        yield warn(Fact.SENTINELS_NOT_NAMED, named=len(facts), known=known)
    if (quorum := max(one.quorum for one in answers)) > known:
        yield bad(Fact.SENTINEL_QUORUM, quorum=quorum, known=known)
    if (slowest := max(one.down_after_ms for one in answers)) > NOTICED_MS:
        yield warn(Fact.SENTINEL_LATE, ms=slowest)


def judge_cluster(facts: ClusterFacts, *, durable: int) -> Iterator[Finding]:
    """What is to be said of a cluster as a whole; `durable`: DURABLE_REPLICAS."""
    if facts.uncovered or facts.state != "ok":
        yield bad(Fact.CLUSTER_NOT_COVERED, state=facts.state, slots=facts.uncovered)
    else:
        yield good(Fact.CLUSTER_COVERED, primaries=len(facts.replicas))
    for server, count in sorted(facts.replicas.items()):
        if count < durable:
            yield bad(Fact.REPLICAS_TOO_FEW, server=server, count=count, wanted=durable)
        elif not count:
            yield warn(Fact.CLUSTER_NO_REPLICA, server=server)
    if facts.timeout_ms is not None and facts.timeout_ms > NOTICED_MS:
        yield warn(Fact.CLUSTER_LATE, ms=facts.timeout_ms)
    if facts.full_coverage:
        yield warn(Fact.CLUSTER_ALL_OR_NOTHING)
    yield from judge_durability(durable)


def judge_durability(durable: int) -> Iterator[Finding]:
    """Where another server takes over by itself, acked messages must be there."""
    if not durable:
        yield warn(Fact.NOT_DURABLE)
