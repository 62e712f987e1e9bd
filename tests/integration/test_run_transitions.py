"""The transitions of runs that the scripts make are those of the protocol's table, each of them and no others."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from sio_server.conversation.author import Author
from sio_server.conversation.runs import ClaimedRun, LeaseLost
from sio_server.data.user_deletion import Deletion, UserDeletion
from sio_server.protocol.errors import Refused
from sio_server.protocol.run import TRANSITIONS, RunStatus
from sio_server.store.keys import LEASE_MS, ConversationKeys
from sio_server.store.scripts import Request
from sio_server.users.sign_out import RefusedTokens
from tests.served.dialogs import ANN, Dialogs
from tests.unit.test_run_states import LUA

pytest_plugins = ["tests.served.dialog_fixtures"]

BOB = Author("bob", "Bob", "phone", "Phone")
SERVICE = Author("service:shop", "shop", "api", "shop")
AT_ONCE = 10  # cases: on a busy machine Redis answers as many within 1.4 s
BY_A_GRAPH = (RunStatus.ANSWERED, RunStatus.INTERRUPTED, RunStatus.FAILED)
# What scripts change the status of a run with.
CHANGES = re.compile(r"'status',|\b(begin_run|end_run|stop_run)\(")


@dataclass
class Case:
    """A conversation whose first run has some status."""

    dialogs: Dialogs
    conversation: str
    run_id: str
    claimed: ClaimedRun | None = None

    async def status(self) -> tuple[RunStatus | None, int]:
        """The status of the run, and its attempt."""
        record = await self.dialogs.record(self.conversation, self.run_id)
        return (RunStatus(record["status"]) if record else None), int(record.get("attempt", 0))

    async def claim(self, holding: str = "") -> None:
        claimed = await self.dialogs.runs().claim_run(self.conversation, holding=holding)
        if isinstance(claimed, ClaimedRun):
            self.claimed = claimed
            await self.dialogs.runs().adopt_thread(claimed)

    async def finish(self, status: RunStatus) -> None:
        if self.claimed is not None:
            interrupts = [("i-1", "its-1")] if status is RunStatus.INTERRUPTED else []
            data = {"text": "x", **({"interrupts": []} if interrupts else {})}
            await self.dialogs.runs().finish_run(self.claimed, status, data, threads_kept=1, interrupts=interrupts)

    async def stop(self) -> None:
        await self.dialogs.turns.stop(self.conversation, ANN, None)

    async def final_seq(self) -> int:
        record = await self.dialogs.record(self.conversation, self.run_id)
        return int(record.get("final_seq", 0))


async def begin(case: Case) -> None:
    case.run_id = await case.dialogs.send(case.conversation)


async def claim_first(case: Case) -> None:
    await case.claim()


async def claim_again(case: Case) -> None:
    await case.claim(case.claimed.token if case.claimed else "")


async def claim_of_a_dead_node(case: Case) -> None:
    await case.dialogs.redis.delete(ConversationKeys(case.conversation).lease)
    await case.claim()


async def claim_of_another_node(case: Case) -> None:
    if case.claimed is not None:  # one that has been silent
        await case.dialogs.redis.pexpire(ConversationKeys(case.conversation).lease, LEASE_MS // 2 - 1)
    await case.dialogs.runs("n2").claim_run(case.conversation)


async def renew(case: Case) -> None:
    if case.claimed is not None:
        await case.dialogs.runs().renew_lease(case.claimed)


async def hand_over(case: Case) -> None:
    if case.claimed is not None:
        await case.dialogs.runs().hand_over_run(case.claimed)


async def edit(case: Case) -> None:
    await case.dialogs.send(case.conversation, "edited", edits=2)


async def regenerate(case: Case) -> None:
    run_id = f"{case.run_id}-again"
    final_seq = await case.final_seq()
    case.run_id = await case.dialogs.turns.regenerate(case.conversation, ANN, final_seq, run_id=run_id)


async def respond(case: Case) -> None:
    run_id = f"{case.run_id}-resumed"
    await case.dialogs.turns.respond(case.conversation, ANN, "i-1", "yes", run_id=run_id)
    case.run_id = run_id


Step = Callable[[Case], Awaitable[None]]


def finish_with(status: RunStatus) -> Step:
    async def finish(case: Case) -> None:
        await case.finish(status)

    return finish


async def stop(case: Case) -> None:
    await case.stop()


async def delete_message(case: Case) -> None:
    await case.dialogs.log.delete_message(case.conversation, ANN, 2, Request.unrepeated("ann"))


async def delete_user(case: Case) -> None:
    dialogs = case.dialogs
    # Who keeps the conversation.
    await dialogs.members.join(BOB, case.conversation, Request.unrepeated("bob"), admitted_by=SERVICE)
    tokens = RefusedTokens(dialogs.redis, dialogs.scripts)
    deletions = UserDeletion(dialogs.scripts.redis, dialogs.scripts, dialogs.members, tokens)
    await deletions._leave(Deletion("ann", pseudonymise=False, pseudonym="deleted.1"), case.conversation)


async def delete_conversation(case: Case) -> None:
    await case.dialogs.members.delete(ANN, case.conversation, Request.unrepeated("ann"))


# How a run comes to each status.
WAYS: dict[RunStatus | None, list[Step]] = {
    None: [],
    RunStatus.QUEUED: [begin],
    RunStatus.RUNNING: [begin, claim_first],
    RunStatus.STALLED: [begin, claim_first, claim_of_another_node],
    **{status: [begin, claim_first, finish_with(status)] for status in BY_A_GRAPH},
    RunStatus.STOPPED: [begin, claim_first, stop],
}
STEPS: list[Step] = [
    *(claim_first, claim_again, claim_of_a_dead_node, claim_of_another_node, renew, hand_over),
    *(stop, edit, regenerate, respond, delete_message, delete_user, delete_conversation),
    *(finish_with(status) for status in BY_A_GRAPH),
]


async def transition_made(dialogs: Dialogs, way: list[Step], step: Step) -> set[tuple[Any, Any]]:
    """The transition that a step makes with a run that has come this way, if any."""
    case = Case(dialogs, await dialogs.conversation(), "none")
    for earlier in way:
        await earlier(case)
    run_id, before = case.run_id, await case.status()
    with suppress(LeaseLost, Refused):
        await step(case)
    if case.run_id != run_id:
        before = (None, 0)
    after = await case.status()
    if after[0] is None:  # it went with its conversation
        return set()
    return {(before[0], after[0])} if after != before else set()


async def test_the_scripts_make_the_transitions_of_the_table_and_no_others(dialogs, monkeypatch):
    called: set[str] = set()
    run = dialogs.scripts.run

    def noting(name: str, *rest: Any) -> Any:
        called.add(name)
        return run(name, *rest)

    monkeypatch.setattr(dialogs.scripts, "run", noting)
    begun = [(way, step) for status, way in WAYS.items() for step in STEPS if status is not None]
    cases: list[tuple[list[Step], Step]] = [([], begin), *begun]
    made: set[tuple[Any, Any]] = set()
    for at in range(0, len(cases), AT_ONCE):
        some = cases[at : at + AT_ONCE]
        made = made.union(*await asyncio.gather(*(transition_made(dialogs, *case) for case in some)))
    assert made == {(old, new) for old, onward in TRANSITIONS.items() for new in onward}
    changing = {path.stem for path in LUA.glob("[!_]*.lua") if CHANGES.search(path.read_text())}
    assert changing <= called, "a script that changes a run was not tried"
