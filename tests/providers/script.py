"""What a scripted model does: the person's message is its script. The decision has no memory: only the request.

A script is lines; each line is a step, and a step is parts with ` + ` between them:

    call look_up {"what": "tea"} + call multiply {"a": 6, "b": 7}
    math> say Let me see. + call multiply {"a": 6, "b": 7}
    think It is easy. + say Tea costs {look_up}, and that is {multiply}.

`call <tool> <JSON>` calls a tool, `say <text>` answers, `think <text>` is reasoning, `json <JSON>` is an answer as
JSON, `cite <url> <words>` says words with a citation, `refuse <text>` refuses. A line `name>` is for the agent
whose system prompt begins with "You are <name>", or for the answer schema of that name; other lines are for all.
The model does the first step whose calls have not been made since the person's message; a step without calls ends
the turn. `{tool}` in a text is the last result of that tool, and the word `hold:<name>` in it waits until the test
releases it. A message that is no script is answered with what it is.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any

VERBS = ("call", "say", "think", "json", "cite", "refuse")
LINE = re.compile(rf"(?:(?P<agent>\w+)> *)?(?P<step>(?:{'|'.join(VERBS)}) .*)")
BETWEEN = re.compile(rf" \+ (?=(?:{'|'.join(VERBS)}) )")


@dataclass(frozen=True)
class Call:
    """A call of a tool."""

    name: str
    args: dict[str, Any]


@dataclass
class Seen:
    """What a request shows of the dialog: the model that is asked, what for, and what was done since."""

    agents: set[str]  # names that the lines of a script may have
    text: str  # of the last message of a person
    calls: list[Call] = field(default_factory=list)  # since that message
    results: dict[str, str] = field(default_factory=dict)  # the last result of each tool


@dataclass(frozen=True)
class Part:
    """What the model says or does: `verb`, and the text, or the call, or the words and where they are from."""

    verb: str
    text: str = ""
    call: Call | None = None
    url: str = ""


def reply(seen: Seen) -> list[Part]:
    """The step that is next."""
    steps = [
        match["step"]
        for line in seen.text.splitlines()
        if (match := LINE.fullmatch(line.strip())) and (match["agent"] is None or match["agent"] in seen.agents)
    ]
    if not steps:
        return [Part("say", f"You wrote: {' '.join(seen.text.split())[:80]}")]
    made = list(seen.calls)
    for step in steps:
        parts = [_part(written, seen.results) for written in BETWEEN.split(step)]
        calls = [part.call for part in parts if part.call]
        if not calls:
            return parts
        for call in calls:
            if call not in made:
                return parts
            made.remove(call)
    return [Part("say", "That is all.")]


def agents_of(system: str) -> set[str]:
    """The names of an agent with this system prompt."""
    found = re.match(r"\s*You are (?:the |an? )?(\w+)", system)
    return {found[1]} if found else set()


def _part(written: str, results: dict[str, str]) -> Part:
    verb, _, rest = written.partition(" ")
    if verb == "call":
        name, _, args = rest.partition(" ")
        return Part(verb, call=Call(name, json.loads(args or "{}")))
    text = re.sub(r"\{(\w+)\}", lambda match: results.get(match[1], match[0]), rest)
    if verb == "cite":
        url, _, text = text.partition(" ")
        return Part(verb, text, url=url)
    return Part(verb, text)
