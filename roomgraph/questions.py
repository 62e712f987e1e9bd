"""Open questions in the terminal: how each form is shown, and what a typed line answers."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sio_clients import decisions
from sio_server.language import Texts, load_texts
from sio_server.protocol.forms import form_in_words

INDENT = "      "
_BECAUSE = re.compile(r"^\s*(because of|because|因为|[:：,，])?\s*", re.IGNORECASE)
# What may be typed for a decision beside its name and its number.
_NAMES = {
    "approve": ("approve", "accept", "yes", "批准", "同意"),
    "edit": ("edit", "修改"),
    "reject": ("reject", "no", "拒绝"),
    "respond": ("respond", "回复"),
    "ignore": ("ignore", "忽略"),
}


@dataclass(frozen=True)
class Answer:
    """The line answers the question with this value."""

    value: Any


@dataclass(frozen=True)
class Decided:
    """The line decides about one action of several; `note` asks for the next."""

    made: list[decisions.Decision]
    note: str


@dataclass(frozen=True)
class NotAnAnswer:
    """The line does not answer; `note` says what would."""

    note: str


Reading = Answer | Decided | NotAnAnswer | None  # None: it is a message


def chat_texts(language: str = "en") -> Texts:
    """The words of `roomgraph chat` about questions."""
    return load_texts(language, "roomgraph", "chat")


def question_lines(form: Mapping[str, Any], texts: Texts) -> list[str]:
    """What is shown below the text of a question."""
    match form.get("kind"):
        case "review":
            actions = form["actions"]
            lines = [line for number in range(len(actions)) for line in _action_lines(actions, number, texts)]
            return [*lines, texts("review_help")]
        case "schema":
            return [*_schema_lines(form["schema"], texts), texts("schema_help")]
        case "choice" | "approval":
            arguments = form.get("action", {}).get("args", {})
            labels = form.get("labels", {})
            facts = [f"  {labels.get(name, name)}: {_plain(value)}" for name, value in arguments.items()]
            options = [f"{number} {option['label']}" for number, option in enumerate(form["options"], 1)]
            return [*facts, *options, *([texts("free_help")] if form["free"] else [])]
    return []


def said_before(text: str, forms: Sequence[Mapping[str, Any]]) -> str:
    """The text of the entry without the words of reviews, which are shown action by action."""
    if not any(form.get("kind") == "review" for form in forms):
        return text
    for form in reversed(forms):
        text = text.removesuffix(form_in_words(form)).rstrip()
    return "\n\n".join(item for item in (text, *(str(form["text"]) for form in forms)) if item)


def answer_in_words(value: Any, texts: Texts) -> str:
    """What was answered, for people."""
    made = value.get("decisions") if isinstance(value, dict) else None
    if not isinstance(made, list) or not all(isinstance(one, dict) for one in made):
        return _plain(value)
    return "; ".join(_decision_in_words(one, texts) for one in made)


def read_line(line: str, form: Mapping[str, Any], made: Sequence[decisions.Decision], texts: Texts) -> Reading:
    """What a line says to an open question, of which the decisions `made` are known already."""
    match form.get("kind"):
        case "choice" | "approval":
            return _read_choice(line, form)
        case "schema":
            return Answer(_read_typed(line, form["schema"]))
        case "review":
            return _read_decision(line, form["actions"], list(made), texts)
    return Answer(line)


def start_over(form: Mapping[str, Any], texts: Texts) -> str:
    """What is shown after a refusal: the decisions of a review are made again from the first action."""
    return _ask_next(texts("start_over"), form["actions"], 0, texts)


def _ask_next(head: str, actions: Sequence[Mapping[str, Any]], number: int, texts: Texts) -> str:
    return "\n".join([head, *(INDENT + line for line in _action_lines(actions, number, texts))])


def _read_choice(line: str, form: Mapping[str, Any]) -> Reading:
    """An option by its value, label or number."""
    for option in form["options"]:
        if line.casefold() in (_plain(option["value"]).casefold(), option["label"].casefold()):
            return Answer(option["value"])
    if line.isascii() and line.isdigit() and 0 < int(line) <= len(form["options"]):
        return Answer(form["options"][int(line) - 1]["value"])
    return Answer(line) if form["free"] else None


def _read_decision(
    line: str, actions: Sequence[Mapping[str, Any]], made: list[decisions.Decision], texts: Texts
) -> Reading:
    action = actions[len(made)]
    kind, rest = _decision_kind(line, action["decisions"])
    decision: decisions.Decision | None = None
    if kind == "reject":
        decision = decisions.reject(_BECAUSE.sub("", rest, count=1).strip())
    elif kind == "respond" and rest.strip():
        decision = decisions.respond(rest.strip())
    elif kind == "edit":
        decision = _edited(rest.strip(), action)
    elif kind in ("approve", "ignore") and not rest.strip():
        decision = {"type": kind}
    if decision is None:
        help_name = f"{kind}_help" if kind in ("edit", "respond") else "no_decision"
        allowed = _choices(action, texts)
        return NotAnAnswer(texts(help_name, name=action["name"], allowed=allowed))
    made.append(decision)
    if len(made) == len(actions):
        return Answer({"decisions": [dict(one) for one in made]})
    return Decided(made, _ask_next(texts("next", done=len(made), of=len(actions)), actions, len(made), texts))


def _decision_kind(line: str, allowed: Sequence[str]) -> tuple[str, str]:
    """Which decision a line makes, and what follows its name; an empty name for none that is known."""
    word, _, rest = line.partition(" ")
    if word.isascii() and word.isdigit():
        return (allowed[int(word) - 1], rest) if 0 < int(word) <= len(allowed) else ("", "")
    for kind, names in _NAMES.items():
        for name in names:
            tail = line[len(name) :]
            # A Chinese name needs no space behind it.
            ends = not tail or not name.isascii() or not (tail[0].isalnum() and tail[0].isascii())
            if line.casefold().startswith(name) and ends:
                return (kind, tail) if kind in allowed else ("", "")
    # A tool that only asks people something is answered by whatever is typed.
    return ("respond", line) if list(allowed) == ["respond"] else ("", "")


def _edited(rest: str, action: Mapping[str, Any]) -> decisions.Decision | None:
    """An edit by `{"args": {...}}`, by the arguments alone, or by `name=value`; None for anything else."""
    if not rest.startswith("{"):
        changed = _fields(rest, [*action["args"], *action.get("args_schema", {}).get("properties", {})])
        return decisions.edit(action["name"], {**action["args"], **changed}) if changed else None
    try:
        given = json.loads(rest)
    except ValueError:
        return None
    if set(given) <= {"name", "args"} and isinstance(given.get("args"), dict):
        return decisions.edit(given.get("name", action["name"]), given["args"])
    return decisions.edit(action["name"], given)


def _read_typed(line: str, schema: Mapping[str, Any]) -> Any:
    """JSON, or `name=value` for an object; anything else is a text, which the server looks at."""
    try:
        return json.loads(line)
    except ValueError:
        properties = schema.get("properties")
        return _fields(line, properties if isinstance(properties, dict) else ()) or line


def _fields(line: str, names: Any) -> dict[str, Any]:
    """The fields that `name=value name=value` sets: JSON where it is JSON, otherwise text."""
    known = [re.escape(name) for name in names if name]
    if not known:
        return {}
    found = list(re.finditer(rf"(?:^|[\s,，])({'|'.join(known)})\s*[=＝]\s*", line))
    if not found or line[: found[0].start()].strip():
        return {}
    ends = [match.start() for match in found[1:]] + [len(line)]
    return {
        match[1]: _json_or_text(line[match.end() : end].strip(" ,，"))
        for match, end in zip(found, ends, strict=True)
    }


def _json_or_text(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _action_lines(actions: Sequence[Mapping[str, Any]], number: int, texts: Texts) -> list[str]:
    action = actions[number]
    place = f"{number + 1}/{len(actions)} " if len(actions) > 1 else ""
    # LangChain's own description repeats name and arguments.
    described = action["description"].partition("\n\nTool: ")[0].strip()
    lines = [f"{place}{action['name']}", *(f"  {line}" for line in described.splitlines())]
    lines += [f"  {name}: {_plain(value)}" for name, value in action["args"].items()]
    return [*lines, f"  {_choices(action, texts)}"]


def _choices(action: Mapping[str, Any], texts: Texts) -> str:
    return " · ".join(f"{number} {texts(kind)}" for number, kind in enumerate(action["decisions"], 1))


def _schema_lines(schema: Mapping[str, Any], texts: Texts) -> list[str]:
    properties = schema.get("properties")
    if not isinstance(properties, dict):
        return [f"  {_kind_in_words(schema)}"]
    needed = schema.get("required", ())
    return [
        f"  {name}: {_kind_in_words(inner)}{texts('needed') if name in needed else ''}"
        for name, inner in properties.items()
    ]


def _kind_in_words(schema: Any) -> str:
    if not isinstance(schema, dict):
        return "…"
    if isinstance(schema.get("enum"), list):
        return " | ".join(_plain(value) for value in schema["enum"])
    if "const" in schema:
        return _plain(schema["const"])
    for union in ("anyOf", "oneOf"):
        if isinstance(schema.get(union), list):
            return " | ".join(_kind_in_words(inner) for inner in schema[union])
    kind = schema.get("type", "…")
    return " | ".join(map(str, kind)) if isinstance(kind, list) else str(kind)


def _decision_in_words(decision: Mapping[str, Any], texts: Texts) -> str:
    kind = str(decision.get("type"))
    said = texts(kind) if kind in _NAMES else kind
    edited = decision.get("edited_action")
    if isinstance(edited, dict):
        return f"{said} {_plain(edited.get('name'))} {json.dumps(edited.get('args'), ensure_ascii=False)}"
    return f"{said}: {decision['message']}" if decision.get("message") else said


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
