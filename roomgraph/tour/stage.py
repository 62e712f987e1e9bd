"""The stage of the tour: the people, their clients on the nodes, and how it all is told."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from roomgraph.check.checker import Report, check
from roomgraph.check.file import write_history
from roomgraph.check.recorder import Recorder
from roomgraph.check.recording import RecordedDevice, seen
from roomgraph.tour.own import OwnCluster
from sio_clients.bots.personas import Persona, personas
from sio_clients.client import ChatClient
from sio_clients.conversation import Conversation
from sio_clients.errors import NotConnected
from sio_clients.guests import guest_token
from sio_server.language import Texts
from sio_server.protocol.events import AgentMode
from sio_server.protocol.names import printable

WAIT_S = 20.0  # for things that take milliseconds; when it runs out a scene has failed
KINDS = ("phone", "laptop", "tablet")


def as_written(text: str) -> str:
    """A text of others as markup that shows it as it is, and reaches nothing beside it."""
    return escape(printable(text))


@dataclass(frozen=True)
class Booked:
    """What was booked in a conversation, up to this seq."""

    conversation_id: str
    numbers: list[str]
    head: int


class Stage:
    """The connected clients of the tour: client number i is on node number i, round and round."""

    def __init__(
        self,
        urls: Sequence[str],
        console: Console,
        texts: Texts,
        clients: int,
        *,
        alone: bool,
        nodes: OwnCluster | None,
        seed: int = 0,
        duration: float = 0.0,
    ) -> None:
        self.urls = list(urls)
        self.alone = alone  # nobody else uses the cluster, and `urls` are all its nodes
        self.nodes = nodes
        self.seed = seed  # of the chaos, and how long it is, in seconds
        self.duration = duration
        self.console = console
        self.texts = texts
        self.people: list[Persona] = personas(clients, texts.language)
        self.devices: list[RecordedDevice] = []  # of the people, one each
        self.others: list[RecordedDevice] = []  # further devices that scenes have connected
        self.booked: Booked | None = None
        self.recorder = Recorder()
        self.report: Report | None = None  # of the part that is played, when it was judged
        self.token = ""

    async def __aenter__(self) -> Stage:
        try:
            for index, person in enumerate(self.people):
                _, token = await guest_token(self.urls[index % len(self.urls)], person.name)
                self.token = self.token or token
                self.devices.append(await self.connect(person.name, token, index))
        except BaseException:
            await self._close()
            raise
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self._close()

    async def connect(self, name: str, token: str, node: int) -> RecordedDevice:
        """Connect a device to the node of that number; the nodes after it are where it goes when that is gone."""
        first = node % len(self.urls)
        client = ChatClient(self.urls[first:] + self.urls[:first], token, device_name=name, give_up_after=WAIT_S)
        await client.connect()
        return RecordedDevice(name, client, self.recorder)

    @property
    def one_person(self) -> str:
        """The name of the one who has several devices."""
        return "Zoe" if self.texts.language == "en" else "卓一"

    async def devices_of_one(self) -> list[RecordedDevice]:
        """Phone, laptop and tablet of one person, each on its own node where there are enough."""
        if not self.others:
            _, token = await guest_token(self.urls[0], self.one_person)
            for index, kind in enumerate(KINDS):
                self.others.append(await self.connect(self.texts(kind), token, index))
        return self.others

    async def open(self, device: RecordedDevice, title: str, *, agent: AgentMode) -> Conversation:
        """Create a conversation with the concierge, whatever other agents the cluster serves, and follow it."""
        created = await device.client.create(title, access="open", agent=agent, graph="concierge")
        return await device.join(created.id)

    def new_recording(self) -> None:
        """Begin a new history, for the next scene."""
        self.recorder = Recorder()
        for device in self.devices + self.others:
            device.recorder = self.recorder

    async def level(self, conversation_id: str, devices: Sequence[RecordedDevice]) -> bool:
        """Wait until these devices have all that is in the log, and record it; False when one has not in time."""
        head = await devices[0].head(conversation_id)
        settled = await asyncio.gather(*(device.reaches(conversation_id, head, WAIT_S) for device in devices))
        for device, level in zip(devices, settled, strict=True):
            if level:
                device.settle(conversation_id)
        async for page in devices[0].log_pages(conversation_id):
            self.recorder.log(conversation_id, *map(seen, page))
        if not all(settled):
            late = [device.name for device, level in zip(devices, settled, strict=True) if not level]
            self.say("not_level", names=", ".join(late), head=head)
        return all(settled)

    def judge(self) -> Report:
        """Judge the history recorded since the last new recording."""
        self.report = check(self.recorder.history())
        return self.report

    def keep_history(self, name: str) -> str:
        """Write what was recorded to a file of its own, for `roomgraph check`; returns where it is."""
        with tempfile.NamedTemporaryFile(prefix=name, suffix=".jsonl", delete=False) as file:
            path = Path(file.name)
        write_history(path, self.recorder.history())
        return str(path)

    def own_cluster(self) -> OwnCluster:
        """The cluster, for a scene that is only played on one of its own."""
        if self.nodes is None:
            raise RuntimeError("this scene breaks the cluster: it is played on one that was started for it")
        return self.nodes

    def seconds(self, value: float | None, how: str = "seconds") -> str:
        """A time, as it is told: so long, or `after` so long; None is never."""
        return self.texts("never") if value is None else self.texts(how, value=f"{value:.2f}")

    async def is_ready(self, port: int) -> bool:
        """Whether a node of this machine says that it is ready."""
        try:
            async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=2)) as http:
                path = urlsplit(self.urls[0]).path
                async with http.get(f"http://127.0.0.1:{port}{path}/ready") as response:
                    return response.status == 200
        except (aiohttp.ClientError, TimeoutError, OSError):
            return False

    async def status(self) -> dict[str, Any]:
        """What the cluster says of itself."""
        headers = {"Authorization": f"Bearer {self.token}"}
        try:
            async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=5)) as http:
                async with http.get(f"{self.urls[0]}/api/status", headers=headers) as response:
                    response.raise_for_status()
                    status: dict[str, Any] = await response.json()
                    return status
        except (aiohttp.ClientError, TimeoutError, OSError) as exc:
            raise NotConnected(f"{self.urls[0]}: {exc}") from None

    def say(self, name: str, /, **values: object) -> None:
        """Tell a line of the scene."""
        self._print(self._markup(name, values))

    def quote(self, who: str, colour: str, text: str, after: str = "") -> None:
        """Tell what somebody says in the scene; `after` is markup."""
        self._print(f"[{colour}]{as_written(who)}[/]: {as_written(text)}{after}", indent=4)

    def table(self, *columns: str) -> Table:
        """An empty table that stays readable at 80 columns."""
        table = Table(box=SIMPLE_HEAD, header_style="bold", collapse_padding=True)
        for column in columns:
            table.add_column(column, no_wrap=True)
        return table

    def verdict(self, ok: bool, name: str, /, **values: object) -> None:
        """Tell how a scene ended."""
        mark = "[bold green]✔[/]" if ok else "[bold red]✘[/]"
        self._print(f"{mark} [bold]{self._markup(name, values)}[/]")
        self.console.print()

    def tell_anomalies(self, report: Report) -> None:
        """Name what was broken, if anything was."""
        for anomaly in report.anomalies[:10]:
            self._print(f"[red]{anomaly.kind}: {as_written(anomaly.detail)}[/]")

    def _markup(self, name: str, values: dict[str, object]) -> str:
        """A text with the markup of the catalogue; what is filled in is shown as it is."""
        return self.texts(name, **{key: as_written(str(value)) for key, value in values.items()})

    def _print(self, markup: str, indent: int = 2) -> None:
        text = Text.from_markup(markup, emoji=False)
        self.console.print(Padding(text, (0, 0, 0, indent), expand=False))

    async def _close(self) -> None:
        await asyncio.gather(*(device.close() for device in self.devices + self.others))
