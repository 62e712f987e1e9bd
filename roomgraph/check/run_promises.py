"""What is promised of runs: one end, no step twice, and no text of a dead attempt left anywhere."""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator
from math import inf

from roomgraph.check.anomalies import Anomaly, AnomalyKind, of_entry
from roomgraph.check.history import RESOLVED, Execution, RunView, Seen
from roomgraph.check.index import Index

# Events that come only when the version that they are about exists.
_OF_A_VERSION = frozenset({"run:changed", "run:written"})
_COPY_S = 1.0  # at the most, from when an attempt copies what is committed until it begins its first step


def accepted_runs(index: Index) -> dict[tuple[str, str], int | None]:
    """Each run that was promised, by conversation and id, and the seq of what it is for, if that is known."""
    accepted: dict[tuple[str, str], int | None] = {}
    for run in index.history.runs:
        accepted[run.conversation_id, run.run_id] = None
    damaged = {damage.conversation_id for damage in index.history.damages}
    for view in index.history.run_views:
        # A device that saw it begin knows of it too, unless it may have gone with the store, or with an old epoch.
        gone = view.conversation_id in damaged or index.is_past(view)
        if not gone and any(state.event in _OF_A_VERSION for state in view.states):
            accepted[view.conversation_id, view.run_id] = None
    for where, log in index.logs.items():
        for entry in log:
            if entry.type == RESOLVED and entry.run_id is not None:
                accepted[where, entry.run_id] = entry.seq
    for send in index.sends:
        # A message that is lost is named as lost, and not once more for its run.
        if (seq := index.acked_seq(send)) is not None:
            for ack in send.acks:
                if ack.run_id is not None:
                    accepted[send.conversation_id, ack.run_id] = seq
    return accepted


def run_not_ended(index: Index) -> Iterator[Anomaly]:
    """Every run that was accepted has a final entry; what was said before a question may wait with it.

    Where only so many entries are kept, its end may be among those that are not.
    """
    ended = {(where, entry.run_id) for where, log in index.logs.items() for entry in log if entry.is_final}
    last = {where: entry for where, log in index.logs.items() for entry in log if entry.is_final}
    for (where, run_id), seq in accepted_runs(index).items():
        if (where, run_id) in ended or where in index.kept:
            continue
        latest = last.get(where)
        if seq is not None and latest is not None and latest.type == "interrupt" and seq < latest.seq:
            continue
        detail = f"{run_id} was accepted, but the log has no end of it."
        yield Anomaly(AnomalyKind.RUN_NOT_ENDED, where, None, seq, None, detail, run_id)


def run_ended_twice(index: Index) -> Iterator[Anomaly]:
    """A run has at most one final entry."""
    for where, log in index.logs.items():
        first: dict[str, Seen] = {}
        for entry in log:
            if not entry.is_final or entry.run_id is None:
                continue
            if entry.run_id in first:
                before = first[entry.run_id]
                detail = (
                    f"{entry.run_id} ended with {before.type} at seq {before.seq}, "
                    f"and again with {entry.type} at {entry.seq}."
                )
                yield of_entry(AnomalyKind.RUN_ENDED_TWICE, where, None, entry, detail)
            first.setdefault(entry.run_id, entry)


def stale_end(index: Index) -> Iterator[Anomaly]:
    """The final entry of a run is by its latest attempt: a node that lost the run changes nothing."""
    latest: dict[tuple[str, str], int] = {}
    for view in _last_views(index):  # the attempts of an epoch before may be lost
        whose = (view.conversation_id, view.run_id)
        heard = [state.of for state in view.states if state.event in _OF_A_VERSION]
        latest[whose] = max([latest.get(whose, 0), *heard])
    for where, log in index.logs.items():
        for entry in log:
            if not entry.is_final or entry.run_id is None or entry.attempt is None:
                continue
            known = latest.get((where, entry.run_id), 0)
            if entry.attempt < known:
                detail = (
                    f"Attempt {entry.attempt} of {entry.run_id} ended it at seq {entry.seq}, after {known} began."
                )
                yield of_entry(AnomalyKind.STALE_END, where, None, entry, detail)


def replaces_other(index: Index) -> Iterator[Anomaly]:
    """The end of a regenerated run replaces the entry that it was asked to replace."""
    asked = {(run.conversation_id, run.run_id): run.replaces for run in index.history.runs}
    for where, log in index.logs.items():
        for entry in log:
            if not entry.is_final or entry.run_id is None:
                continue
            wanted = asked.get((where, entry.run_id))
            if wanted is not None and entry.replaces != wanted:
                detail = (
                    f"{entry.run_id} at seq {entry.seq} was to replace {wanted}, and replaces {entry.replaces}."
                )
                yield of_entry(AnomalyKind.REPLACES_OTHER, where, None, entry, detail)


def answered_twice(index: Index) -> Iterator[Anomaly]:
    """A question of the agent is settled once."""
    for where, log in index.logs.items():
        first: dict[str, int] = {}
        for entry in log:
            if entry.type != RESOLVED or entry.about is None:
                continue
            if entry.about in first:
                detail = f"{entry.about} was settled at seq {first[entry.about]}, and again at {entry.seq}."
                yield of_entry(AnomalyKind.ANSWERED_TWICE, where, None, entry, detail)
            first.setdefault(entry.about, entry.seq)


def step_repeated(index: Index) -> Iterator[Anomaly]:
    """A step that was finished and committed is not executed again.

    What an attempt commits after a later one began is void: its node had lost the run, and may not know it yet.
    """
    executed: defaultdict[str, list[Execution]] = defaultdict(list)
    for execution in index.history.executions:
        executed[execution.run_id].append(execution)
    where_of = {run_id: where for where, run_id in accepted_runs(index)}
    for run_id, executions in executed.items():
        executions.sort(key=lambda one: (one.attempt, one.started))
        starts: defaultdict[int, list[float]] = defaultdict(list)
        for one in executions:
            starts[one.attempt].append(one.started)
        committed: dict[str, tuple[Execution, float]] = {}
        for one in executions:
            before, at = committed.get(one.step, (one, inf))
            in_time = at < one.started if before.attempt == one.attempt else at + _COPY_S < starts[one.attempt][0]
            if in_time:
                detail = (
                    f"Step {one.step} of {run_id} was finished in attempt {before.attempt} "
                    f"and executed again in attempt {one.attempt}."
                )
                where = where_of.get(run_id, "")
                yield Anomaly(AnomalyKind.STEP_REPEATED, where, None, None, None, detail, run_id)
            if (at := _committed_at(one, starts[one.attempt])) < inf:
                committed.setdefault(one.step, (one, at))


def _committed_at(one: Execution, starts: list[float]) -> float:
    """When its result was known to be kept: when its attempt began the next step. -inf: it is; inf: it is not."""
    if one.finished is None or one.committed is False:
        return inf
    if one.committed:
        return -inf
    following = bisect_right(starts, one.finished)
    return starts[following] if following < len(starts) else inf


def dead_text(index: Index) -> Iterator[Anomaly]:
    """When a device has heard of a later version, it shows nothing more of an earlier one's text.

    A log that starts over may have lost the later version: then nothing of before counts.
    """
    for view in index.history.run_views:
        top = 0
        for state in view.states:
            # A version begins with an empty text; only a sync tells how much it has said already.
            begins = state.of > top and state.event == "run:changed"
            top = max(top, state.of)
            if state.version is None or not state.chars or (state.version >= top and not begins):
                continue
            detail = (
                f"{view.device} showed {state.chars} characters of version {state.version} of {view.run_id} "
                f"when it had heard {state.event or 'by a sync'} that version {top} continues it."
            )
            yield _of_view(AnomalyKind.DEAD_TEXT, view, detail)
            break


def text_left(index: Index) -> Iterator[Anomaly]:
    """A device that is level in the end shows no text so far of a run that has ended."""
    settled = {(view.device, view.conversation_id) for view in index.views if view.complete}
    ended = {(where, entry.run_id) for where, log in index.logs.items() for entry in log if entry.is_final}
    for view in _last_views(index):
        if (view.device, view.conversation_id) in settled and (view.conversation_id, view.run_id) in ended:
            last = view.states[-1] if view.states else None
            if last is not None and last.version is not None:
                detail = (
                    f"{view.device} shows {last.chars} characters of version {last.version} of {view.run_id} "
                    "in the end, though it has ended."
                )
                yield _of_view(AnomalyKind.TEXT_LEFT, view, detail)


def text_differs(index: Index) -> Iterator[Anomaly]:
    """Devices that show equally much of a version show the same."""
    first: dict[tuple[str, str, str, int, int], tuple[str, str]] = {}
    for view in index.history.run_views:
        for state in view.states:
            if state.version is None:
                continue
            place = (view.conversation_id, view.epoch, view.run_id, state.version, state.chars)
            device, digest = first.setdefault(place, (view.device, state.digest))
            if digest != state.digest:
                detail = (
                    f"{view.device} showed other {state.chars} characters of version {state.version} "
                    f"of {view.run_id} than {device}."
                )
                yield _of_view(AnomalyKind.TEXT_DIFFERS, view, detail)
                break


def _last_views(index: Index) -> Iterable[RunView]:
    """The last that each device has shown of each run, in whatever epoch."""
    last: dict[tuple[str, str, str], RunView] = {}
    for view in index.history.run_views:
        last[view.device, view.conversation_id, view.run_id] = view
    return last.values()


def _of_view(kind: AnomalyKind, view: RunView, detail: str) -> Anomaly:
    return Anomaly(kind, view.conversation_id, view.device, None, None, detail, view.run_id)
