"""A history with the look-ups that the promises share."""

from bisect import bisect_left, bisect_right
from collections import defaultdict
from itertools import pairwise

from roomgraph.check.history import Acked, DeviceView, History, RunView, Seen, Send


class Index:
    """What is where. Of a request_id or a seq that the log has twice the first one counts."""

    def __init__(self, history: History) -> None:
        self.history = history
        self.sends, self.views, self.logs = history.sends, history.views, history.logs
        self.sent = {send.request_id: send for send in history.sends}
        self.log_at: defaultdict[str, dict[int, Seen]] = defaultdict(dict)
        self.seq_of: dict[tuple[str, str], int] = {}
        for where, log in history.logs.items():
            for entry in log:
                self.log_at[where].setdefault(entry.seq, entry)
                if entry.request_id is not None:
                    self.seq_of.setdefault((where, entry.request_id), entry.seq)
        self.kept = {one.conversation_id: one.entries for one in history.retentions}
        self.last_part: dict[tuple[str, str], int] = {}
        for view in history.views:
            whose = (view.device, view.conversation_id)
            self.last_part[whose] = max(view.part, self.last_part.get(whose, 0))
        self._read_trimmed()
        self.seqs = defaultdict[str, list[int]](list, {at: sorted(log) for at, log in self.log_at.items()})
        self._damaged_above: dict[tuple[str, str], int] = {}
        for damage in history.damages:
            place = (damage.conversation_id, damage.epoch)
            self._damaged_above[place] = min(damage.after, self._damaged_above.get(place, damage.after))
        self._past = self._read_past()
        self._next = self._read_changes()
        self._later: dict[tuple[str, str], set[str]] = {}

    def acked_seq(self, send: Send) -> int | None:
        """Where the log holds this send just as one of its acks says."""
        for ack in send.acks:
            entry = self.log_at[send.conversation_id].get(ack.seq)
            if entry is None or (entry.request_id, entry.text) != (send.request_id, send.text):
                continue
            if entry.epoch == ack.epoch or entry.epoch in self.later(send.conversation_id, ack.epoch):
                return ack.seq
        return None

    def is_sent(self, where: str, entry: Seen) -> bool:
        """Somebody sent this text under this request_id to this conversation, as an edit of the same message."""
        send = self.sent.get(entry.request_id) if entry.request_id is not None else None
        said = (where, entry.text, entry.replaces)
        return send is not None and (send.conversation_id, send.text, send.edits) == said

    def first_kept(self, where: str) -> int:
        """The seq at which the log has to begin: 1, unless older entries are not kept."""
        log = self.logs.get(where, ())
        return max(1, log[-1].seq - self.kept[where] + 1) if log and where in self.kept else 1

    def is_trimmed(self, send: Send) -> bool:
        """Its acked entry is not kept any more, and no device was handed it."""
        where = send.conversation_id
        return any(a.seq < self.first_kept(where) and a.seq not in self.log_at[where] for a in send.acks)

    def later(self, where: str, epoch: str) -> set[str]:
        """The epochs that the log came to have after this one, as devices were told.

        Its cost grows with the epochs of a conversation alone, of which a log has few.
        """
        found = self._later.get((where, epoch))
        if found is None:
            found, waiting = set[str](), [epoch]
            while waiting:
                new = self._next.get((where, waiting.pop()), set()) - found
                found |= new
                waiting += new
            self._later[where, epoch] = found
        return found

    def is_forgiven(self, send: Send) -> bool:
        """Its acked entry may be gone: the store was destroyed on purpose, and devices were told."""
        return bool(send.acks) and all(self.is_forgiven_at(send, ack) for ack in send.acks)

    def is_forgiven_at(self, send: Send, ack: Acked) -> bool:
        """What one ack says need not hold any more."""
        after = self._damaged_above.get((send.conversation_id, ack.epoch))
        return after is not None and ack.seq > after and bool(self.later(send.conversation_id, ack.epoch))

    def is_past(self, view: RunView) -> bool:
        """It is of an epoch after which the log had another one."""
        return bool(view.epoch and self.later(view.conversation_id, view.epoch))

    def counts(self, view: DeviceView) -> bool:
        """It is the last part of a view, which has to be what the log says in the end."""
        return view.part == self.last_part[view.device, view.conversation_id]

    def right_at(self, view: DeviceView, entry: Seen) -> Seen | None:
        """What a device has to be handed where it was handed this entry.

        What a device was handed before it started over may be gone from the log. Then all devices that were handed
        something at that place must have been handed the same.
        """
        in_log = self.log_at[view.conversation_id].get(entry.seq)
        if in_log is not None and in_log.epoch == entry.epoch:
            return in_log
        # One that has left, or was away in the end, was not told that the log has started over since.
        if self.counts(view) and (view.complete or not self.later(view.conversation_id, entry.epoch)):
            return in_log
        return self._past[view.conversation_id, entry.epoch][entry.seq]

    def between(self, view: DeviceView, before: int, after: int) -> list[int]:
        """The seqs of the entries that a device has to be handed between two others."""
        if after <= before + 1:
            return []
        if self.counts(view):
            seqs = self.seqs[view.conversation_id]
            # A seq that the log lacks too is the fault of the log, not of this device.
            return seqs[bisect_right(seqs, before) : bisect_left(seqs, after)]
        past = self._past[view.conversation_id, view.entries[-1].epoch] if view.entries else {}
        return [seq for seq in range(before + 1, after) if seq in past]

    def _read_trimmed(self) -> None:
        """Complete logs of which only the newest entries are kept: with what devices were handed before.

        Entries of a log that started over are entries of the epoch that it has in the end.
        """
        for view in sorted(self.views, key=lambda view: (not self.counts(view), not view.complete)):
            where = view.conversation_id
            if where not in self.kept:
                continue
            first, known = self.first_kept(where), self.log_at[where]
            for entry in view.entries:
                if entry.seq < first and entry.seq not in known:
                    known[entry.seq] = entry
                    if entry.request_id is not None:
                        self.seq_of.setdefault((where, entry.request_id), entry.seq)

    def _read_past(self) -> dict[tuple[str, str], dict[int, Seen]]:
        """What was in each epoch of each log as far as it is known: from the log, or from the first device."""
        past: defaultdict[tuple[str, str], dict[int, Seen]] = defaultdict(dict)
        if any(self.last_part.values()):
            for where, log in self.logs.items():
                for entry in log:
                    past[where, entry.epoch].setdefault(entry.seq, entry)
            for view in self.views:
                for entry in view.entries:
                    past[view.conversation_id, entry.epoch].setdefault(entry.seq, entry)
        return past

    def _read_changes(self) -> dict[tuple[str, str], set[str]]:
        """The epochs that devices were told of right after another one."""
        parts: defaultdict[tuple[str, str], list[DeviceView]] = defaultdict(list)
        for view in self.views:
            parts[view.device, view.conversation_id].append(view)
        following: defaultdict[tuple[str, str], set[str]] = defaultdict(set)
        for (_, where), views in parts.items():
            views.sort(key=lambda view: view.part)
            epochs = [epoch for view in views if (epoch := epoch_of(view)) is not None]
            for epoch, after in pairwise(epochs):
                if epoch != after:
                    following[where, epoch].add(after)
        return dict(following)


def epoch_of(view: DeviceView) -> str | None:
    """The epoch of the log in which this part of a view ended."""
    return view.epoch or (view.entries[-1].epoch if view.entries else None)
