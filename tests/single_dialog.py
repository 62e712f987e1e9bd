"""One conversation on one graph in this process: its runs are executed as a worker does, without Redis."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from langgraph.checkpoint.memory import InMemorySaver

from sio_server.conversation.runs import Carrier, ClaimedRun
from sio_server.dialog.answers import Answer, Questions
from sio_server.dialog.attempt_saver import AttemptSaver
from sio_server.dialog.execution import Execution
from sio_server.dialog.graphs.served import Served
from sio_server.dialog.streaming import Part

AGENT = "Guide"


@dataclass
class Written:
    """The stream of one attempt, kept; `order` is what a device sees word by word."""

    parts: list[Part] = field(default_factory=list)
    reports: list[dict[str, Any]] = field(default_factory=list)

    def begin_part(self, kind: str, speaker: str, data: dict[str, Any] | None = None) -> int:
        self.parts.append(Part(kind, speaker, data=data))
        return len(self.parts) - 1

    def add_text(self, part: int, text: str) -> None:
        self.parts[part].text += text

    def add_report(self, report: dict[str, Any]) -> None:
        self.reports.append(report)

    @property
    def shown(self) -> list[tuple[str, str]]:
        return [(part.speaker, part.text) for part in self.parts]

    @property
    def texts(self) -> list[str]:
        return [part.text for part in self.parts]

    @property
    def tools(self) -> list[tuple[str, str]]:
        return [(item["tool"]["name"], item["tool"]["status"]) for item in self.reports if item["kind"] == "tool"]


async def adopt_nothing(checkpoint: str, carrier: Carrier | None) -> None:
    """There are no records of runs here."""


class Memory(InMemorySaver):
    """With what our savers have besides."""

    async def task_paths(self, config: Any) -> dict[str, str]:
        place = config["configurable"]
        written = self.writes[place["thread_id"], place.get("checkpoint_ns", ""), place["checkpoint_id"]]
        return {task_id: path for task_id, _, _, path in written.values()}

    async def subgraphs(self, thread_id: str, checkpoint_id: str) -> set[str]:
        return {namespace for namespace in self.storage[thread_id] if namespace}


class Dialog:
    """The runs of one conversation on one graph."""

    def __init__(self, graph: Any, served: Served | None = None) -> None:
        self.saver = Memory()
        self.served = served
        self.graph = graph if not hasattr(graph, "compile") else graph.compile()
        self.graph = self.graph.copy(update={"checkpointer": self.saver})
        self.thread = ""  # of the last run that counts
        self.seq = 0
        self.stream = Written()
        self.token = 0

    def _run(
        self, kind: str, answers: dict[str, Any], attempt: int, source: str, began: str, text: str
    ) -> ClaimedRun:
        self.token += 1
        return ClaimedRun(
            conversation_id="plans",
            epoch="e",
            run_id=f"r-{self.seq}",
            kind=kind,
            attempt=attempt,
            failures=0,
            token=str(self.token),
            input_seq=self.seq,
            input={"data": {"text": text, "user_id": "ann"}},
            source=source,
            began_from=began,
            answers=answers,
            replaces=None,
            graph="guide",
            agent_name=AGENT,
        )

    async def attempt(self, run: ClaimedRun) -> Answer | Questions:
        self.stream = Written()
        saver: Any = self.saver
        stream: Any = self.stream
        execution = Execution(
            self.graph,
            AttemptSaver(saver, run, adopt_nothing),
            run,
            stream,
            lambda name, number: None,
            max_steps=25,
            served=self.served,
        )
        return await execution.run_graph()

    async def say(self, text: str = "hello", *, attempt: int = 1, source: str | None = None) -> Any:
        self.seq += 1 if attempt == 1 else 0
        run = self._run("message", {}, attempt, self.thread if source is None else source, self.thread, text)
        self.last = run
        said = await self.attempt(run)
        self.thread = run.thread_id
        return said

    async def respond(self, asked: Questions, value: Any) -> Any:
        run = self._run("resume", {asked.interrupts[0].id: value}, 1, self.thread, self.thread, "")
        said = await self.attempt(run)
        self.thread = run.thread_id
        return said

    async def answer(self, text: str = "hello") -> Answer:
        said = await self.say(text)
        assert isinstance(said, Answer)
        return said
