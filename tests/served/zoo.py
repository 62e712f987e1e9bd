"""The zoo as nodes serve it, and what devices are shown of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

from sio_server.local.cluster import LocalCluster
from sio_server.protocol.events import Entry
from tests.conftest import NODE_SETTINGS
from tests.providers.server import Providers
from tests.served.devices import Device

LANGGRAPH_JSON = Path(__file__).parents[1] / "zoo" / "langgraph.json"


class Zoo(NamedTuple):
    """The cluster, its models, and the file in which tools note that they were executed."""

    cluster: LocalCluster
    models: Providers
    notes: Path

    def executed(self) -> list[str]:
        """What tools have noted so far."""
        return self.notes.read_text().splitlines() if self.notes.exists() else []


def settings_of(models: Providers, notes: Path, **more: str) -> dict[str, str]:
    """The settings of nodes that serve the zoo."""
    served = {"LANGGRAPH_JSON": str(LANGGRAPH_JSON), "RUN_ATTEMPTS": "1", "ZOO_NOTES": str(notes)}
    return {**NODE_SETTINGS, **served, **models.environment, **more}


# --- what a device was shown


def parts_of(entry: Entry) -> list[dict[str, Any]]:
    """What a final entry says, as `{kind, speaker, text, data?}`; of a text by the agent alone as well."""
    said = [{"kind": "text", "speaker": entry.data["name"], "text": entry.data["text"]}]
    return list(entry.data.get("parts", said))


def previewed(device: Device, run_id: str | None) -> list[dict[str, Any]]:
    """What the last version of a run has streamed to this device, in the form of `parts_of`."""
    shown: dict[int, dict[str, Any]] = {}
    events = [told for told in device.named("run:written") if told["run_id"] == run_id]
    for told in events:
        if told["version"] != events[-1]["version"]:
            continue
        for item in told["parts"]:
            if "kind" in item:
                assert item["part"] not in shown, "a part has begun twice"
                assert item["part"] == len(shown), "parts begin in their order"
                shown[item["part"]] = {name: item[name] for name in ("kind", "speaker", "data") if name in item}
                shown[item["part"]]["text"] = ""
            shown[item["part"]]["text"] += item["text"]
    return [shown[number] for number in sorted(shown)]


def texts(parts: list[dict[str, Any]]) -> list[tuple[str, str]]:
    """Who says what, of the parts that are text."""
    return [(part["speaker"], part["text"].strip()) for part in parts if part["kind"] == "text"]


def tools_of(entry: Entry) -> list[tuple[str, str]]:
    """Tools that were called for an answer, with their status."""
    return [(tool["name"], tool["status"]) for tool in entry.data["tools"]]


def reported_tools(device: Device, run_id: str | None) -> list[tuple[str, str]]:
    """Reports of tools of a run: the id of the call and its status, in order."""
    reports = device.reports(run_id)
    return [(told["tool"]["id"], told["tool"]["status"]) for told in reports if told["kind"] == "tool"]


def script(*lines: str) -> str:
    """A message that is the script of a model."""
    return "\n".join(lines)


def call(tool: str, **args: Any) -> str:
    """The part of a script that calls a tool."""
    return f"call {tool} {json.dumps(args)}"
