"""What is promised of members and sessions: what has ended gets nothing more, and what has not is let in."""

from bisect import bisect_left, bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterator
from itertools import accumulate
from math import inf

from roomgraph.check.anomalies import Anomaly, AnomalyKind, of_entry
from roomgraph.check.history import BY_INVITATION, CREATED, JOINED, LEFT, SignOut
from roomgraph.check.index import Index

REVOKED = "token_revoked"


def heard_after_leaving(index: Index) -> Iterator[Anomaly]:
    """A device is handed nothing later than its user's own leaving, until it asks to join again."""
    left: defaultdict[tuple[str, str], list[int]] = defaultdict(list)
    for where, log in index.logs.items():
        for entry in log:
            if entry.type == LEFT and entry.about is not None:
                left[where, entry.about].append(entry.seq)
    views = {(view.device, view.conversation_id, view.part): view for view in index.views}
    for absence in index.history.absences:
        view = views.get((absence.device, absence.conversation_id, absence.part))
        seqs = left.get((absence.conversation_id, absence.user_id))
        if view is None or seqs is None:
            continue
        # It asked after it had been handed this, so its leaving is later in the log, unless this is it.
        known = view.entries[absence.after - 1].seq if 0 < absence.after <= len(view.entries) else 0
        place = bisect_left(seqs, known)
        if place == len(seqs):
            continue
        for entry in view.entries[absence.after : absence.until]:
            if entry.seq > seqs[place]:
                detail = f"{view.device} left at seq {seqs[place]} and was handed seq {entry.seq}."
                yield of_entry(AnomalyKind.HEARD_AFTER_LEAVING, view.conversation_id, view.device, entry, detail)


def uninvited(index: Index) -> Iterator[Anomaly]:
    """Into a conversation by invitation a user comes once for each invitation."""
    invited = Counter((one.conversation_id, one.user_id) for one in index.history.invitations)
    for where, log in index.logs.items():
        if not log or log[0].type != CREATED or log[0].about != BY_INVITATION:
            continue
        came: Counter[str] = Counter()
        for entry in log:
            if entry.type != JOINED or entry.about is None:
                continue
            came[entry.about] += 1
            if came[entry.about] > invited[where, entry.about]:
                detail = f"{entry.about} joined at seq {entry.seq} without an invitation."
                yield of_entry(AnomalyKind.UNINVITED, where, None, entry, detail)


def signed_out_served(index: Index) -> Iterator[Anomaly]:
    """A device that was signed out has no session, and gets none with a token that is older than that."""
    signed_out = {device: _SignOuts(found) for device, found in _by_device(index).items()}
    for session in index.history.sessions:
        found = signed_out.get(session.device)
        if found is None or session.opened is None:
            continue
        if found.last_asked(acked_before=session.began) > session.issued:
            detail = f"{session.device} was signed out, and then let in with a token that is older than that."
        elif session.ended is None and found.last_asked() > session.issued:
            detail = f"{session.device} was signed out, and its session did not end."
        else:
            continue
        yield Anomaly(AnomalyKind.SIGNED_OUT_SERVED, "", session.device, None, None, detail)


def shut_out(index: Index) -> Iterator[Anomaly]:
    """A device is refused as signed out only where it was signed out after its token was issued."""
    signed_out = {device: _SignOuts(found) for device, found in _by_device(index).items()}
    for session in index.history.sessions:
        if session.refused != REVOKED:
            continue
        found = signed_out.get(session.device)
        until = inf if session.ended is None else session.ended
        if found is None or found.last_acked(asked_before=until) < session.issued:
            detail = f"{session.device} was refused as signed out, with a token that is newer than that."
            yield Anomaly(AnomalyKind.SHUT_OUT, "", session.device, None, None, detail)


class _SignOuts:
    """The sign-outs of one device, for look-ups that take a few comparisons each."""

    def __init__(self, found: list[SignOut]) -> None:
        by_ack = sorted((one.completed, one.invoked) for one in found if one.completed is not None)
        self._acked = [completed for completed, _ in by_ack]
        self._asked_until = list(accumulate((invoked for _, invoked in by_ack), max))
        by_request = sorted((one.invoked, inf if one.completed is None else one.completed) for one in found)
        self._asked = [invoked for invoked, _ in by_request]
        self._acked_until = list(accumulate((completed for _, completed in by_request), max))

    def last_asked(self, acked_before: float = inf) -> float:
        """When the last of those was asked for that were acked before a time; -inf: there is none."""
        place = bisect_left(self._acked, acked_before)
        return self._asked_until[place - 1] if place else -inf

    def last_acked(self, asked_before: float) -> float:
        """When the last of those was acked that were asked for until a time; -inf: none was asked for.

        Without an ack one may take effect at any time.
        """
        place = bisect_right(self._asked, asked_before)
        return self._acked_until[place - 1] if place else -inf


def _by_device(index: Index) -> dict[str, list[SignOut]]:
    found: defaultdict[str, list[SignOut]] = defaultdict(list)
    for sign_out in index.history.sign_outs:
        found[sign_out.device].append(sign_out)
    return found
