"""Names every broken promise in the history of a run and counts what was lost, duplicated or reordered."""

from bisect import bisect_left, bisect_right
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise

from sio_clients.check.history import History, Seen, Send


class AnomalyKind(StrEnum):
    """What can go wrong; the function of the same name in lower case states the promise that was broken."""

    LOST_ACKED = "lost_acked"
    ACK_CHANGED = "ack_changed"
    PHANTOM = "phantom"
    NOT_DENSE = "not_dense"
    DUPLICATE_IN_LOG = "duplicate_in_log"
    INVENTED = "invented"
    DELIVERED_TWICE = "delivered_twice"
    OUT_OF_ORDER = "out_of_order"
    SKIPPED = "skipped"
    MISSING_AT_END = "missing_at_end"
    DIFFERS = "differs"
    SEND_ORDER = "send_order"
    REAL_TIME = "real_time"


@dataclass(frozen=True, slots=True)
class Anomaly:
    """One broken promise: where, for whom (None: the log itself), and a sentence for people."""

    kind: AnomalyKind
    conversation_id: str
    device: str | None
    seq: int | None
    client_id: str | None
    detail: str


@dataclass(frozen=True, slots=True)
class Report:
    """The outcome of a check; a history without anomalies has lost, duplicated and reordered nothing.

    sent: sends begun, each once whatever its retries. acked: those with at least one ack.
    received: distinct (device, sent message) pairs where the device is not the sender's.
    lost: acked messages the log does not hold where their ack says, each once; plus distinct (device, acked
    message) pairs where the log holds the message in the stretch the device should have been handed (from
    where it began to the end of the log if its view is complete, else to the last seq it was handed) and the
    device, the sender's own included, was never handed that very entry.
    duplicated: every handing of a seq beyond its first on a device, plus every copy of a client_id beyond
    its first in the log.
    reordered: every handing of a new seq after a higher one, plus distinct messages that the log has before
    one that was sent earlier (by the same device, or finished before this one began).
    """

    anomalies: tuple[Anomaly, ...]
    sent: int
    acked: int
    received: int
    lost: int
    duplicated: int
    reordered: int

    @property
    def ok(self) -> bool:
        """True when every promise was kept."""
        return not self.anomalies

    def counts(self) -> dict[str, int]:
        """The figures that are shown to people, by name."""
        names = ("sent", "received", "lost", "duplicated", "reordered")
        return {name: getattr(self, name) for name in names}


class _Run:
    """A history with the look-ups that the checks share."""

    def __init__(self, history: History) -> None:
        self.sends, self.views, self.logs = history.sends, history.views, history.logs
        self.sent = {send.client_id: send for send in history.sends}
        self.log_at: defaultdict[str, dict[int, Seen]] = defaultdict(dict)
        self.seq_of: dict[tuple[str, str], int] = {}
        for where, log in history.logs.items():
            for entry in log:
                self.log_at[where].setdefault(entry.seq, entry)
                if entry.client_id is not None:
                    self.seq_of.setdefault((where, entry.client_id), entry.seq)
        self.seqs = defaultdict[str, list[int]](list, {at: sorted(log) for at, log in self.log_at.items()})

    def acked_seq(self, send: Send) -> int | None:
        """Where the log holds this send just as one of its acks says."""
        for ack in send.acks:
            entry = self.log_at[send.conversation_id].get(ack.seq)
            if entry and (entry.epoch, entry.client_id, entry.text) == (ack.epoch, send.client_id, send.text):
                return ack.seq
        return None

    def is_sent(self, where: str, entry: Seen) -> bool:
        """Somebody sent this text under this client_id to this conversation."""
        send = self.sent.get(entry.client_id) if entry.client_id is not None else None
        return send is not None and (send.conversation_id, send.text) == (where, entry.text)


def _of_send(kind: AnomalyKind, send: Send, seq: int | None, detail: str) -> Anomaly:
    return Anomaly(kind, send.conversation_id, send.device, seq, send.client_id, detail)


def _of_entry(kind: AnomalyKind, where: str, device: str | None, entry: Seen, detail: str) -> Anomaly:
    return Anomaly(kind, where, device, entry.seq, entry.client_id, detail)


def lost_acked(run: _Run) -> Iterator[Anomaly]:
    """An acked send is in the log at a position it was acked at, with its client_id and its text."""
    for send in run.sends:
        if send.acks and run.acked_seq(send) is None:
            ack, now = send.acks[0], run.seq_of.get((send.conversation_id, send.client_id))
            found = "nowhere in the log" if now is None else f"at seq {now} in the log, not as acked"
            detail = f"{send.client_id} of {send.device} was acked at seq {ack.seq} but is {found}."
            yield _of_send(AnomalyKind.LOST_ACKED, send, ack.seq, detail)


def ack_changed(run: _Run) -> Iterator[Anomaly]:
    """Every ack of one client_id names the same position."""
    for send in run.sends:
        for ack in send.acks[1:]:
            if ack != send.acks[0]:
                detail = f"{send.client_id} was acked at {tuple(send.acks[0])}, then at {tuple(ack)}."
                yield _of_send(AnomalyKind.ACK_CHANGED, send, ack.seq, detail)
                break


def phantom(run: _Run) -> Iterator[Anomaly]:
    """A send that definitely failed is not in the log."""
    for send in run.sends:
        seq = run.seq_of.get((send.conversation_id, send.client_id))
        if send.outcome == "failed" and seq is not None:
            detail = f"{send.device} was told that {send.client_id} failed, yet the log has it at seq {seq}."
            yield _of_send(AnomalyKind.PHANTOM, send, seq, detail)


def not_dense(run: _Run) -> Iterator[Anomaly]:
    """The log of a conversation counts 1, 2, 3 to its end in one epoch."""
    for where, log in run.logs.items():
        before, epoch = 0, log[0].epoch if log else ""
        for entry in log:
            if (entry.epoch, entry.seq) != (epoch, before + 1):
                detail = f"After seq {before} of epoch {epoch} the log has {entry.seq} of {entry.epoch}."
                yield _of_entry(AnomalyKind.NOT_DENSE, where, None, entry, detail)
            before, epoch = entry.seq, entry.epoch


def duplicate_in_log(run: _Run) -> Iterator[Anomaly]:
    """A client_id is in the log at most once."""
    for where, log in run.logs.items():
        first: dict[str, int] = {}
        for entry in log:
            if entry.client_id is None:
                continue
            if entry.client_id in first:
                detail = f"{entry.client_id} is in the log at {first[entry.client_id]} and at {entry.seq}."
                yield _of_entry(AnomalyKind.DUPLICATE_IN_LOG, where, None, entry, detail)
            first.setdefault(entry.client_id, entry.seq)


def invented(run: _Run) -> Iterator[Anomaly]:
    """Every message in the log or on a device was sent, to this conversation and with this text."""
    for where, log in run.logs.items():
        for entry in log:
            if entry.is_message and not run.is_sent(where, entry):
                detail = f"The log has {entry.client_id} at seq {entry.seq}, which nobody sent like that."
                yield _of_entry(AnomalyKind.INVENTED, where, None, entry, detail)
    for view in run.views:
        where = view.conversation_id
        for entry in view.entries:
            if not entry.is_message or run.is_sent(where, entry):
                continue
            # What the log invented is named once, not once more for every device that was handed it.
            if entry != run.log_at[where].get(entry.seq):
                detail = f"{view.device} was handed {entry.client_id}, which nobody sent like that."
                yield _of_entry(AnomalyKind.INVENTED, where, view.device, entry, detail)


def delivered_twice(run: _Run) -> Iterator[Anomaly]:
    """A device is handed each seq at most once."""
    for view in run.views:
        handed: set[int] = set()
        for entry in view.entries:
            if entry.seq in handed:
                detail = f"{view.device} was handed seq {entry.seq} again."
                yield _of_entry(AnomalyKind.DELIVERED_TWICE, view.conversation_id, view.device, entry, detail)
            handed.add(entry.seq)


def out_of_order(run: _Run) -> Iterator[Anomaly]:
    """A device is handed no new seq after a higher one (a seq it already had is a second delivery)."""
    for view in run.views:
        handed: set[int] = set()
        top = view.entries[0].seq if view.entries else 0
        for entry in view.entries:
            if entry.seq < top and entry.seq not in handed:
                detail = f"{view.device} was handed seq {entry.seq} after seq {top}."
                yield _of_entry(AnomalyKind.OUT_OF_ORDER, view.conversation_id, view.device, entry, detail)
            handed.add(entry.seq)
            top = max(top, entry.seq)


def skipped(run: _Run) -> Iterator[Anomaly]:
    """Between where it began and the highest seq it was handed, a device was handed all that the log has."""
    for view in run.views:
        if (span := view.span) is None:
            continue
        where, seqs = view.conversation_id, run.seqs[view.conversation_id]
        marks = sorted({span[0] - 1, *(entry.seq for entry in view.entries if entry.seq >= span[0])})
        for before, after in pairwise(marks):
            # A seq that the log lacks too is the fault of the log, not of this device.
            gap = seqs[bisect_right(seqs, before) : bisect_left(seqs, after)] if after > before + 1 else []
            if gap:
                detail = f"{view.device} was handed seq {after} but never {gap[0]} to {gap[-1]}."
                yield Anomaly(AnomalyKind.SKIPPED, where, view.device, gap[0], None, detail)


def missing_at_end(run: _Run) -> Iterator[Anomaly]:
    """A device that was connected and settled at the end was handed the end of the log."""
    for view in run.views:
        where, seqs = view.conversation_id, run.seqs[view.conversation_id]
        if view.complete and (span := view.span) and seqs and seqs[-1] > span[1]:
            detail = f"{view.device} settled at seq {span[1]}, but the log goes on to {seqs[-1]}."
            yield Anomaly(AnomalyKind.MISSING_AT_END, where, view.device, span[1] + 1, None, detail)


def differs(run: _Run) -> Iterator[Anomaly]:
    """What a device was handed at a seq is what the log has there, in every field and in its digest."""
    for view in run.views:
        log = run.log_at[view.conversation_id]
        for entry in view.entries:
            if entry != log.get(entry.seq):
                has = "another entry" if entry.seq in log else "nothing"
                detail = f"{view.device} was handed an entry at seq {entry.seq} where the log has {has}."
                yield _of_entry(AnomalyKind.DIFFERS, view.conversation_id, view.device, entry, detail)


def send_order(run: _Run) -> Iterator[Anomaly]:
    """The acked sends of one device to one conversation are in the log in the order it sent them."""
    latest: dict[tuple[str, str], tuple[int, str]] = {}
    for send in sorted(run.sends, key=lambda send: send.order):
        seq = run.seq_of.get((send.conversation_id, send.client_id))
        if send.outcome != "ok" or seq is None:
            continue
        whose = (send.conversation_id, send.device)
        top, earlier = latest.get(whose, (seq, send.client_id))
        if seq < top:
            detail = f"{send.device} sent {earlier} first, but it is at {top} and {send.client_id} at {seq}."
            yield _of_send(AnomalyKind.SEND_ORDER, send, seq, detail)
        latest[whose] = max((seq, send.client_id), (top, earlier))


def real_time(run: _Run) -> Iterator[Anomaly]:
    """A send that began after another was acked, on any device, is after it in the log."""
    logged: defaultdict[str, list[tuple[Send, int]]] = defaultdict(list)
    for send in run.sends:
        if (seq := run.seq_of.get((send.conversation_id, send.client_id))) is not None:
            logged[send.conversation_id].append((send, seq))
    for sends in logged.values():
        done = sorted(
            (send.completed, seq, send.client_id)
            for send, seq in sends
            if send.outcome == "ok" and send.completed is not None
        )
        top, earlier, taken = 0, "", 0
        for send, seq in sorted(sends, key=lambda pair: pair[0].invoked):
            while taken < len(done) and done[taken][0] < send.invoked:
                top, earlier = max((top, earlier), done[taken][1:])
                taken += 1
            if seq < top:
                detail = f"{send.client_id} began after {earlier} was acked at {top}, but is at {seq}."
                yield _of_send(AnomalyKind.REAL_TIME, send, seq, detail)


# By what they hold to account: the sends, the logs, the views.
PROMISES: tuple[Callable[[_Run], Iterator[Anomaly]], ...] = (
    *(lost_acked, ack_changed, phantom, send_order, real_time),
    *(not_dense, duplicate_in_log, invented),
    *(delivered_twice, out_of_order, skipped, missing_at_end, differs),
)


def _count_received(run: _Run) -> int:
    """Count distinct (device, sent message) pairs, leaving out each sender's own device."""
    received = 0
    for view in run.views:
        sent = {entry.client_id for entry in view.entries if run.is_sent(view.conversation_id, entry)}
        received += sum(1 for client_id in sent if client_id and run.sent[client_id].device != view.device)
    return received


def _count_not_handed(run: _Run) -> int:
    """Count distinct (device, acked message) pairs that were due by the log but not handed."""
    acked: defaultdict[str, set[int]] = defaultdict(set)
    for send in run.sends:
        if (seq := run.acked_seq(send)) is not None:
            acked[send.conversation_id].add(seq)
    lost = 0
    in_order = {where: sorted(seqs) for where, seqs in acked.items()}
    for view in run.views:
        where = view.conversation_id
        if (span := view.span) is None or where not in in_order:
            continue
        began, top = span
        end = max(top, run.seqs[where][-1]) if view.complete else top
        due = bisect_right(in_order[where], end) - bisect_left(in_order[where], began)
        candidates = (entry for entry in view.entries if entry.seq >= began and entry.seq in acked[where])
        lost += due - len({entry.seq for entry in candidates if entry == run.log_at[where][entry.seq]})
    return lost


def check(history: History) -> Report:
    """Hold a history against every promise."""
    run = _Run(history)
    anomalies = tuple(anomaly for promise in PROMISES for anomaly in promise(run))
    kinds = Counter(anomaly.kind for anomaly in anomalies)
    late = {a.client_id for a in anomalies if a.kind in (AnomalyKind.SEND_ORDER, AnomalyKind.REAL_TIME)}
    return Report(
        anomalies=anomalies,
        sent=len(run.sends),
        acked=sum(1 for send in run.sends if send.acks),
        received=_count_received(run),
        lost=kinds[AnomalyKind.LOST_ACKED] + _count_not_handed(run),
        duplicated=kinds[AnomalyKind.DELIVERED_TWICE] + kinds[AnomalyKind.DUPLICATE_IN_LOG],
        reordered=kinds[AnomalyKind.OUT_OF_ORDER] + len(late),
    )
