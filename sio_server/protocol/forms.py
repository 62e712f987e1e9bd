"""How a question of a graph is shown and answered: its form, made from what the graph asks with.

Known are our own questions (`options`), those of LangChain's HumanInTheLoopMiddleware (for a turn, and for one
call), agent-inbox's HumanInterrupt, and a JSON Schema of the answer; whatever else is asked is answered with text.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal, get_args

from pydantic import Field

from sio_server.protocol.sent import Maybe, Sent

WORDS = ("text", "question", "message", "description", "query")  # the first of these that is a string is shown
MAX_SHOWN_CHARS = 4096  # of the JSON of a question that has no words

DecisionType = Literal["approve", "edit", "reject", "respond", "ignore"]
DECISIONS: tuple[DecisionType, ...] = get_args(DecisionType)  # in the order in which they are offered
# agent-inbox's flags and answers, by the neutral decision, in the order in which they are offered.
_INBOX_FLAGS = {
    "approve": "allow_accept",
    "edit": "allow_edit",
    "respond": "allow_respond",
    "ignore": "allow_ignore",
}


class Option(Sent):
    """An answer that may be chosen; `value` is what is sent."""

    value: Any
    label: str


class AskedAction(Sent):
    """What is done if the answer is yes."""

    name: str
    args: dict[str, Any]


class ReviewedAction(AskedAction):
    """An action that waits for a decision; `args_schema` is a JSON Schema of arguments after an edit."""

    description: str
    decisions: list[DecisionType]
    args_schema: Maybe[dict[str, Any]] = None


class _Form(Sent):
    text: str
    free: bool


class TextForm(_Form):
    """Any text answers, and any other JSON value."""

    kind: Literal["text"]


class ChoiceForm(_Form):
    """The value of an option answers; any text too where `free`."""

    kind: Literal["choice"]
    options: list[Option]


class ApprovalForm(_Form):
    """A choice about an action; `labels` says what its arguments are called."""

    kind: Literal["approval"]
    options: list[Option]
    action: Maybe[AskedAction] = None
    labels: Maybe[dict[str, str]] = None


class SchemaForm(_Form):
    """What matches the JSON Schema answers."""

    kind: Literal["schema"]
    schema_: Annotated[dict[str, Any], Field(alias="schema")]


class ReviewForm(_Form):
    """One decision for each action, in order, answers: `{"decisions": [...]}`."""

    kind: Literal["review"]
    dialect: Literal["hitl", "call", "inbox"]
    actions: list[ReviewedAction]


IsSchema = Callable[[dict[str, Any]], bool]
Form = Annotated[TextForm | ChoiceForm | ApprovalForm | SchemaForm | ReviewForm, Field(discriminator="kind")]


def words_of(value: Any) -> str:
    """The text of a question for people, or an empty string."""
    if isinstance(value, str):
        return value
    if isinstance(value, dict):
        return next((value[name] for name in WORDS if isinstance(value.get(name), str)), "")
    return ""


def form_of(value: Any, schema: Any = None, is_schema: IsSchema = lambda schema: True) -> dict[str, Any]:
    """The form of a question that is asked with `value`, plain JSON; `schema`: LangGraph's, of the answer.

    `is_schema` says whether an object is a JSON Schema that answers can be checked against. Never raises: a
    malformed request of a known shape is a text question that shows its JSON.
    """
    if schema is None and isinstance(value, dict):
        schema = value.get("response_schema")
    if not isinstance(schema, dict) or not is_schema(schema):
        schema = None
    form = (
        _tool_approval(value, schema)
        or _hitl_request(value, is_schema)
        or _human_interrupts(value)
        or _choice(value)
    )
    if form is None and schema is not None:
        form = {"kind": "schema", "text": words_of(value), "schema": schema}
    if form is not None:
        return {"free": False, **form}
    return {"kind": "text", "text": _words_or_json(value), "free": True}


def form_in_words(form: Mapping[str, Any]) -> str:
    """A form as a text that says what is asked, for clients that show nothing else."""
    if form["kind"] != "review":
        return str(form["text"])
    actions = [
        action["description"] or f"{action['name']} {json.dumps(action['args'], ensure_ascii=False)}"
        for action in form["actions"]
    ]
    return "\n\n".join(text for text in (form["text"], *actions) if text)


# What graphs ask with


def _choice(value: Any) -> dict[str, Any] | None:
    options = value.get("options") if isinstance(value, dict) else None
    if not isinstance(options, list) or not options:
        return None
    listed = []
    for option in options:
        chosen = option.get("value") if isinstance(option, dict) else option
        if chosen is None:
            return None  # null answers nothing
        label = option.get("label") if isinstance(option, dict) else None
        listed.append({"value": chosen, "label": plain_text(chosen if label is None else label)})
    text, free = words_of(value), value.get("free") is True
    form = {"kind": "choice", "text": text, "free": free, "options": listed}
    if value.get("kind") != "approval":
        return form
    action, labels = value.get("action"), value.get("labels")
    if isinstance(action, dict) and isinstance(action.get("name"), str) and isinstance(action.get("args"), dict):
        form["action"] = {"name": action["name"], "args": action["args"]}
    if isinstance(labels, dict):
        form["labels"] = {name: label for name, label in labels.items() if isinstance(label, str)}
    return {**form, "kind": "approval"}


def _hitl_request(value: Any, is_schema: IsSchema) -> dict[str, Any] | None:
    """The form of LangChain's HITLRequest: action_requests, and how each may be reviewed."""
    if not isinstance(value, dict):
        return None
    requests, configs = value.get("action_requests"), value.get("review_configs")
    if not isinstance(requests, list) or not requests or not isinstance(configs, list):
        return None
    actions = []
    for number, request in enumerate(requests):
        if not isinstance(request, dict):
            return None
        name = request.get("name")
        # There is one for each action, or one for each name.
        fitting = [item for item in configs if isinstance(item, dict) and item.get("action_name") == name]
        if not fitting:
            return None
        config = configs[number] if number < len(configs) and configs[number] in fitting else fitting[0]
        allowed = config.get("allowed_decisions")
        action = _reviewed(name, request.get("args"), request.get("description"), allowed)
        if action is None:
            return None
        schema = config.get("args_schema")
        if isinstance(schema, dict) and is_schema(schema):
            action["args_schema"] = schema
        actions.append(action)
    return {"kind": "review", "text": words_of(value), "dialect": "hitl", "actions": actions}


def _tool_approval(value: Any, schema: Any) -> dict[str, Any] | None:
    """The form of LangChain's ToolApprovalRequest: one call, whose decisions stand in the schema of the answer."""
    if not isinstance(value, dict) or value.get("type") != "tool_approval" or not isinstance(schema, dict):
        return None
    named = schema.get("$defs")
    definitions: dict[str, Any] = named if isinstance(named, dict) else {}

    def resolved(part: Any) -> dict[str, Any]:
        if isinstance(part, dict) and isinstance(part.get("$ref"), str):
            part = definitions.get(part["$ref"].removeprefix("#/$defs/"))
        return part if isinstance(part, dict) else {}

    def field_of(part: dict[str, Any], name: str) -> dict[str, Any]:
        properties = part.get("properties")
        return resolved(properties.get(name)) if isinstance(properties, dict) else {}

    branches = next((schema[name] for name in ("oneOf", "anyOf") if isinstance(schema.get(name), list)), [schema])
    by_type = {field_of(branch, "type").get("const"): branch for branch in map(resolved, branches)}
    action = _reviewed(value.get("name"), value.get("args"), value.get("description"), list(by_type))
    if action is None:
        return None
    edited = field_of(field_of(by_type.get("edit", {}), "edited_action"), "args")
    if edited:
        action["args_schema"] = {**edited, **({"$defs": definitions} if "$ref" in json.dumps(edited) else {})}
    return {"kind": "review", "text": "", "dialect": "call", "actions": [action]}


def _human_interrupts(value: Any) -> dict[str, Any] | None:
    """The form of agent-inbox's HumanInterrupt, one or a list."""
    actions = []
    for item in value if isinstance(value, list) and value else [value]:
        request = item.get("action_request") if isinstance(item, dict) else None
        config = item.get("config") if isinstance(item, dict) else None
        if not isinstance(request, dict) or not isinstance(config, dict):
            return None
        allowed = [decision for decision, flag in _INBOX_FLAGS.items() if config.get(flag) is True]
        action = _reviewed(request.get("action"), request.get("args"), item.get("description"), allowed)
        if action is None:
            return None
        actions.append(action)
    return {"kind": "review", "text": "", "dialect": "inbox", "actions": actions}


def _reviewed(name: Any, args: Any, description: Any, allowed: Any) -> dict[str, Any] | None:
    known = [one for one in DECISIONS if one in allowed] if isinstance(allowed, list) else []
    if not isinstance(name, str) or not isinstance(args, dict) or not known:
        return None
    shown = description if isinstance(description, str) else ""
    return {"name": name, "args": args, "description": shown, "decisions": known}


def plain_text(value: Any) -> str:
    """A value for people: a text as it is, anything else as JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _words_or_json(value: Any) -> str:
    words = words_of(value)
    return words if words or isinstance(value, str) else plain_text(value)[:MAX_SHOWN_CHARS]
