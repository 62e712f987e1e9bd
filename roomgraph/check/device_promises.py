"""What is promised to every device that follows."""

from collections.abc import Iterator
from itertools import pairwise

from roomgraph.check.anomalies import Anomaly, AnomalyKind, of_entry
from roomgraph.check.history import DeviceView
from roomgraph.check.index import Index, epoch_of


def delivered_twice(index: Index) -> Iterator[Anomaly]:
    """A device is handed each seq at most once."""
    for view in index.views:
        handed: set[int] = set()
        for entry in view.entries:
            if entry.seq in handed:
                detail = f"{view.device} was handed seq {entry.seq} again."
                yield of_entry(AnomalyKind.DELIVERED_TWICE, view.conversation_id, view.device, entry, detail)
            handed.add(entry.seq)


def out_of_order(index: Index) -> Iterator[Anomaly]:
    """A device is handed no new seq after a higher one (a seq it already had is a second delivery)."""
    for view in index.views:
        handed: set[int] = set()
        top = view.entries[0].seq if view.entries else 0
        for entry in view.entries:
            if entry.seq < top and entry.seq not in handed:
                detail = f"{view.device} was handed seq {entry.seq} after seq {top}."
                yield of_entry(AnomalyKind.OUT_OF_ORDER, view.conversation_id, view.device, entry, detail)
            handed.add(entry.seq)
            top = max(top, entry.seq)


def skipped(index: Index) -> Iterator[Anomaly]:
    """Between where it began and the highest seq it was handed, a device was handed all that the log has."""
    for view in index.views:
        if (span := view.span) is None:
            continue
        marks = sorted({span[0] - 1, *(entry.seq for entry in view.entries if entry.seq >= span[0])})
        for before, after in pairwise(marks):
            if gap := index.between(view, before, after):
                detail = f"{view.device} was handed seq {after} but never {gap[0]} to {gap[-1]}."
                yield Anomaly(AnomalyKind.SKIPPED, view.conversation_id, view.device, gap[0], None, detail)


def missing_at_end(index: Index) -> Iterator[Anomaly]:
    """A device that was connected and settled at the end was handed the end of the log."""
    for view in index.views:
        where, seqs = view.conversation_id, index.seqs[view.conversation_id]
        if view.complete and (span := view.span) and seqs and seqs[-1] > span[1]:
            detail = f"{view.device} settled at seq {span[1]}, but the log goes on to {seqs[-1]}."
            yield Anomaly(AnomalyKind.MISSING_AT_END, where, view.device, span[1] + 1, None, detail)


def differs(index: Index) -> Iterator[Anomaly]:
    """What a device was handed at a seq is what the log has there, in every field and in its digest.

    Of a log that started over: what all others were handed there.
    """
    for view in index.views:
        for entry in view.entries:
            if entry != (right := index.right_at(view, entry)):
                has = "another entry" if right is not None else "nothing"
                detail = f"{view.device} was handed an entry at seq {entry.seq} where the log has {has}."
                yield of_entry(AnomalyKind.DIFFERS, view.conversation_id, view.device, entry, detail)


def reset_in_vain(index: Index) -> Iterator[Anomaly]:
    """A device that is told of a new epoch finds one; if it is told that entries are not kept, it had missed some.

    Whether it had is known where the history says how many are kept, and what the newest one was.
    """
    before: dict[tuple[str, str], DeviceView] = {}
    for view in sorted(index.views, key=lambda view: view.part):
        whose = (view.device, view.conversation_id)
        earlier, before[whose] = before.get(whose), view
        if earlier is None:
            continue
        detail = ""
        if view.reason == "new_epoch" and (epoch := epoch_of(view)) == epoch_of(earlier):
            detail = f"{view.device} was told of a new epoch, but it is {epoch} as before."
        elif view.reason == "older_than_retention" and (span := earlier.span) is not None:
            kept = index.kept.get(view.conversation_id)
            if kept is None or (view.head is not None and span[1] + 1 >= view.head - kept + 1):
                detail = f"{view.device} was told that what follows seq {span[1]} is not kept, but it is."
        if detail:
            yield Anomaly(AnomalyKind.RESET_IN_VAIN, view.conversation_id, view.device, None, None, detail)
