"""Names every broken promise in a history and counts what was lost, duplicated or reordered."""

from bisect import bisect_left, bisect_right
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from roomgraph.check.anomalies import Anomaly, AnomalyKind
from roomgraph.check.device_promises import (
    delivered_twice,
    differs,
    missing_at_end,
    out_of_order,
    reset_in_vain,
    skipped,
)
from roomgraph.check.history import History
from roomgraph.check.index import Index
from roomgraph.check.log_promises import (
    ack_changed,
    duplicate_in_log,
    invented,
    lost_acked,
    not_dense,
    phantom,
    real_time,
    send_order,
)
from roomgraph.check.member_promises import heard_after_leaving, shut_out, signed_out_served, uninvited
from roomgraph.check.run_promises import (
    accepted_runs,
    answered_twice,
    dead_text,
    replaces_other,
    run_ended_twice,
    run_not_ended,
    stale_end,
    step_repeated,
    text_differs,
    text_left,
)

# By what they judge: the sends, the logs, the views, the runs, what is shown of them, members and sessions.
PROMISES: tuple[Callable[[Index], Iterator[Anomaly]], ...] = (
    *(lost_acked, ack_changed, phantom, send_order, real_time),
    *(not_dense, duplicate_in_log, invented),
    *(delivered_twice, out_of_order, skipped, missing_at_end, differs, reset_in_vain),
    *(run_not_ended, run_ended_twice, stale_end, step_repeated, replaces_other, answered_twice),
    *(dead_text, text_left, text_differs),
    *(heard_after_leaving, uninvited, signed_out_served, shut_out),
)


@dataclass(frozen=True, slots=True)
class Report:
    """The outcome of a check; a history without anomalies has lost, duplicated and reordered nothing.

    sent: sends begun, each once whatever its retries. acked: those with at least one ack.
    received: distinct (device, sent message) pairs where the device is not the sender's.
    lost: acked messages the log does not hold where their ack says, each once; plus distinct (device, acked
    message) pairs where the log holds the message in the stretch the device should have been handed (from
    where it began to the end of the log if its view is complete, else to the last seq it was handed) and the
    device, the sender's own included, was never handed that very entry.
    duplicated: every handing of a seq beyond its first on a device, plus every copy of a request_id beyond
    its first in the log, and every further end of a run.
    reordered: every handing of a new seq after a higher one, plus distinct messages that the log has before
    one that was sent earlier (by the same device, or finished before this one began).
    runs: those that were accepted. resets: how often devices were told to start over.
    forgiven: acked messages that are gone because the store was destroyed on purpose, of which devices were told.
    """

    anomalies: tuple[Anomaly, ...]
    sent: int
    acked: int
    received: int
    lost: int
    duplicated: int
    reordered: int
    runs: int = 0
    resets: int = 0
    forgiven: int = 0

    @property
    def ok(self) -> bool:
        """True when every promise was kept."""
        return not self.anomalies

    def counts(self) -> dict[str, int]:
        """The figures that are shown to people, by name."""
        names = ("sent", "received", "lost", "duplicated", "reordered")
        return {name: getattr(self, name) for name in names}


def _count_received(index: Index) -> int:
    """Count distinct (device, sent message) pairs, leaving out each sender's own device."""
    received: defaultdict[tuple[str, str], set[str]] = defaultdict(set)
    for view in index.views:
        for entry in view.entries:
            if entry.request_id is not None and index.is_sent(view.conversation_id, entry):
                received[view.device, view.conversation_id].add(entry.request_id)
    return sum(
        index.sent[request_id].device != device
        for (device, _), request_ids in received.items()
        for request_id in request_ids
    )


def _count_not_handed(index: Index) -> int:
    """Count distinct (device, acked message) pairs that were due by the log but not handed."""
    acked: defaultdict[str, set[int]] = defaultdict(set)
    for send in index.sends:
        if (seq := index.acked_seq(send)) is not None:
            acked[send.conversation_id].add(seq)
    lost = 0
    in_order = {where: sorted(seqs) for where, seqs in acked.items()}
    for view in index.views:
        where = view.conversation_id
        if (span := view.span) is None or where not in in_order or not index.counts(view):
            continue
        began, top = span
        end = max(top, index.seqs[where][-1]) if view.complete else top
        due = bisect_right(in_order[where], end) - bisect_left(in_order[where], began)
        candidates = (entry for entry in view.entries if entry.seq >= began and entry.seq in acked[where])
        lost += due - len({entry.seq for entry in candidates if entry == index.right_at(view, entry)})
    return lost


def check(history: History) -> Report:
    """Hold a history against every promise."""
    index = Index(history)
    anomalies = tuple(anomaly for promise in PROMISES for anomaly in promise(index))
    kinds = Counter(anomaly.kind for anomaly in anomalies)
    late = {a.request_id for a in anomalies if a.kind in (AnomalyKind.SEND_ORDER, AnomalyKind.REAL_TIME)}
    doubled = (AnomalyKind.DELIVERED_TWICE, AnomalyKind.DUPLICATE_IN_LOG, AnomalyKind.RUN_ENDED_TWICE)
    return Report(
        anomalies=anomalies,
        sent=len(index.sends),
        acked=sum(1 for send in index.sends if send.acks),
        received=_count_received(index),
        lost=kinds[AnomalyKind.LOST_ACKED] + _count_not_handed(index),
        duplicated=sum(kinds[kind] for kind in doubled),
        reordered=kinds[AnomalyKind.OUT_OF_ORDER] + len(late),
        runs=len(accepted_runs(index)),
        resets=sum(view.part > 0 for view in index.views),
        forgiven=sum(index.is_forgiven(send) and index.acked_seq(send) is None for send in index.sends),
    )
