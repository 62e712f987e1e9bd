"""What the log promises to those who send."""

from collections import defaultdict
from collections.abc import Iterator

from roomgraph.check.anomalies import Anomaly, AnomalyKind, of_entry, of_send
from roomgraph.check.history import Send
from roomgraph.check.index import Index


def lost_acked(index: Index) -> Iterator[Anomaly]:
    """An acked send is in the log at a position it was acked at, with its request_id and its text.

    Also when the log has started over: that devices are told of a loss makes it no smaller. Nothing is known of
    what is not kept any more and was handed to no device.
    """
    for send in index.sends:
        if send.acks and index.acked_seq(send) is None and not (index.is_forgiven(send) or index.is_trimmed(send)):
            ack, now = send.acks[0], index.seq_of.get((send.conversation_id, send.request_id))
            found = "nowhere in the log" if now is None else f"at seq {now} in the log, not as acked"
            detail = f"{send.request_id} of {send.device} was acked at seq {ack.seq} but is {found}."
            yield of_send(AnomalyKind.LOST_ACKED, send, ack.seq, detail)


def ack_changed(index: Index) -> Iterator[Anomaly]:
    """Every ack of one request_id names the same position and the same run."""
    for send in index.sends:
        for ack in send.acks[1:]:
            if ack != send.acks[0] and not index.is_forgiven_at(send, send.acks[0]):
                detail = f"{send.request_id} was acked with {tuple(send.acks[0])}, then with {tuple(ack)}."
                yield of_send(AnomalyKind.ACK_CHANGED, send, ack.seq, detail)
                break


def phantom(index: Index) -> Iterator[Anomaly]:
    """A send that definitely failed is not in the log."""
    for send in index.sends:
        seq = index.seq_of.get((send.conversation_id, send.request_id))
        if send.outcome == "failed" and seq is not None:
            detail = f"{send.device} was told that {send.request_id} failed, yet the log has it at seq {seq}."
            yield of_send(AnomalyKind.PHANTOM, send, seq, detail)


def send_order(index: Index) -> Iterator[Anomaly]:
    """The acked sends of one device to one conversation are in the log in the order it sent them."""
    latest: dict[tuple[str, str], tuple[int, str]] = {}
    for send in sorted(index.sends, key=lambda send: send.order):
        seq = index.seq_of.get((send.conversation_id, send.request_id))
        if send.outcome != "ok" or seq is None:
            continue
        whose = (send.conversation_id, send.device)
        top, earlier = latest.get(whose, (seq, send.request_id))
        if seq < top:
            detail = f"{send.device} sent {earlier} first, but it is at {top} and {send.request_id} at {seq}."
            yield of_send(AnomalyKind.SEND_ORDER, send, seq, detail)
        latest[whose] = max((seq, send.request_id), (top, earlier))


def real_time(index: Index) -> Iterator[Anomaly]:
    """A send that began after another was acked, on any device, is after it in the log."""
    logged: defaultdict[str, list[tuple[Send, int]]] = defaultdict(list)
    for send in index.sends:
        if (seq := index.seq_of.get((send.conversation_id, send.request_id))) is not None:
            logged[send.conversation_id].append((send, seq))
    for sends in logged.values():
        done = sorted(
            (send.completed, seq, send.request_id)
            for send, seq in sends
            if send.outcome == "ok" and send.completed is not None
        )
        top, earlier, taken = 0, "", 0
        for send, seq in sorted(sends, key=lambda pair: pair[0].invoked):
            while taken < len(done) and done[taken][0] < send.invoked:
                top, earlier = max((top, earlier), done[taken][1:])
                taken += 1
            if seq < top:
                detail = f"{send.request_id} began after {earlier} was acked at {top}, but is at {seq}."
                yield of_send(AnomalyKind.REAL_TIME, send, seq, detail)


def not_dense(index: Index) -> Iterator[Anomaly]:
    """The log of a conversation counts 1, 2, 3 to its end, in one epoch or in those that devices were told of.

    Where only so many entries are kept, it begins with the oldest of these.
    """
    for where, log in index.logs.items():
        before, epoch = index.first_kept(where) - 1, log[0].epoch if log else ""
        for entry in log:
            goes_on = entry.epoch == epoch or entry.epoch in index.later(where, epoch)
            if entry.seq != before + 1 or not goes_on:
                detail = f"After seq {before} of epoch {epoch} the log has {entry.seq} of {entry.epoch}."
                yield of_entry(AnomalyKind.NOT_DENSE, where, None, entry, detail)
            before, epoch = entry.seq, entry.epoch


def duplicate_in_log(index: Index) -> Iterator[Anomaly]:
    """A request_id is in the log at most once."""
    for where, log in index.logs.items():
        first: dict[str, int] = {}
        for entry in log:
            if entry.request_id is None:
                continue
            if entry.request_id in first:
                detail = f"{entry.request_id} is in the log at {first[entry.request_id]} and at {entry.seq}."
                yield of_entry(AnomalyKind.DUPLICATE_IN_LOG, where, None, entry, detail)
            first.setdefault(entry.request_id, entry.seq)


def invented(index: Index) -> Iterator[Anomaly]:
    """Every message in the log or on a device was sent, to this conversation and with this text."""
    for where, log in index.logs.items():
        for entry in log:
            if entry.is_message and not index.is_sent(where, entry):
                detail = f"The log has {entry.request_id} at seq {entry.seq}, which no device sent like that."
                yield of_entry(AnomalyKind.INVENTED, where, None, entry, detail)
    for view in index.views:
        where = view.conversation_id
        for entry in view.entries:
            if not entry.is_message or index.is_sent(where, entry):
                continue
            # What the log invented is named once, not once more for every device that was handed it.
            if entry != index.log_at[where].get(entry.seq):
                detail = f"{view.device} was handed {entry.request_id}, which no device sent like that."
                yield of_entry(AnomalyKind.INVENTED, where, view.device, entry, detail)
