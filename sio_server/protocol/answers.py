"""Checks an answer against the form of its question, and writes it for the graph."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sio_server.protocol.errors import ErrorCode, Refused
from sio_server.protocol.forms import plain_text

# What a decision has beside its type.
_FIELDS: dict[str, tuple[str, ...]] = {
    "approve": (),
    "edit": ("edited_action",),
    "reject": ("message",),
    "respond": ("message",),
    "ignore": (),
}
# agent-inbox's names of the decisions.
_INBOX_TYPES = {"approve": "accept", "edit": "edit", "respond": "response", "ignore": "ignore"}


@dataclass(frozen=True)
class SchemaCheck:
    """What a JSON Schema has to say of a part of an answer; `path` names the part."""

    path: str
    schema: dict[str, Any]
    part: Any


@dataclass(frozen=True)
class CheckedAnswer:
    """An answer that fits its form, once the `checks` are made.

    `given` is what the graph gets, `shown` what the log shows of it.
    """

    given: Any
    shown: Any
    checks: list[SchemaCheck] = field(default_factory=list)


def check_answer(form: Mapping[str, Any], value: Any) -> CheckedAnswer:
    """What an answer gives to the graph. Raises Refused (`invalid_payload`), naming the field that is wrong."""
    match form["kind"]:
        case "choice" | "approval":
            values = [option["value"] for option in form["options"]]
            if not any(_same(value, one) for one in values) and not (form["free"] and isinstance(value, str)):
                text = " or a text" if form["free"] else ""
                raise misfit("value", f"should be one of {_listed(values)}{text}")
            return CheckedAnswer(value, value)
        case "schema":
            return CheckedAnswer(value, value, [SchemaCheck("value", form["schema"], value)])
        case "review":
            return _check_review(form, value)
    return CheckedAnswer(value, value)


def _check_review(form: Mapping[str, Any], value: Any) -> CheckedAnswer:
    decisions = _neutral(form["dialect"], value)
    if not isinstance(decisions, list):
        raise misfit("value.decisions", "should be a list with a decision for each action")
    actions = form["actions"]
    if len(decisions) != len(actions):
        raise misfit("value.decisions", f"should be {len(actions)}, one for each action, not {len(decisions)}")
    checks = []
    for number, (action, decision) in enumerate(zip(actions, decisions, strict=True)):
        path = f"value.decisions.{number}"
        _check_decision(path, action, decision)
        if decision["type"] == "edit":
            edited = decision["edited_action"]
            if form["dialect"] == "call" and edited["name"] != action["name"]:
                raise misfit(f"{path}.edited_action.name", f"should be {action['name']}")
            if "args_schema" in action and edited["name"] == action["name"]:
                checks.append(SchemaCheck(f"{path}.edited_action.args", action["args_schema"], edited["args"]))
    shown = {"decisions": decisions}
    if form["dialect"] == "hitl":
        return CheckedAnswer(shown, shown, checks)
    if form["dialect"] == "call":
        return CheckedAnswer(decisions[0], shown, checks)
    return CheckedAnswer([_inbox_response(decision) for decision in decisions], shown, checks)


def _check_decision(path: str, action: Mapping[str, Any], decision: Any) -> None:
    if not isinstance(decision, dict):
        raise misfit(path, "should be an object")
    kind = decision.get("type")
    if not isinstance(kind, str) or kind not in action["decisions"]:
        raise misfit(f"{path}.type", f"should be one of {', '.join(action['decisions'])}")
    known = ("type", *_FIELDS[kind])
    if unknown := [name for name in decision if name not in known]:
        raise misfit(f"{path}.{unknown[0][:50]}", f"is no field of the decision {kind}")
    if kind == "edit":
        edited = decision.get("edited_action")
        if not isinstance(edited, dict) or set(edited) != {"name", "args"}:
            raise misfit(f"{path}.edited_action", "should be an object with name and args")
        if not isinstance(edited["name"], str) or not edited["name"]:
            raise misfit(f"{path}.edited_action.name", "should be a text")
        if not isinstance(edited["args"], dict):
            raise misfit(f"{path}.edited_action.args", "should be an object")
    message = decision.get("message")
    if ("message" in decision or kind == "respond") and not isinstance(message, str):
        raise misfit(f"{path}.message", "should be a text")
    if kind == "respond" and not str(message).strip():
        raise misfit(f"{path}.message", "should not be empty")


def _neutral(dialect: str, value: Any) -> Any:
    """The decisions of an answer, which may be written in the dialect as well."""
    if isinstance(value, dict) and set(value) == {"decisions"}:
        return value["decisions"]
    if dialect == "call" and isinstance(value, dict) and "type" in value:
        return [value]
    if dialect == "inbox" and isinstance(value, list):
        return [_from_inbox(item) for item in value]
    return None


def _from_inbox(response: Any) -> Any:
    if not isinstance(response, dict):
        return response
    args = response.get("args")
    kind = next((name for name, known in _INBOX_TYPES.items() if known == response.get("type")), "")
    if kind == "edit" and isinstance(args, dict):
        return {"type": kind, "edited_action": {"name": args.get("action"), "args": args.get("args")}}
    return {"type": kind, **({"message": args} if kind == "respond" else {})}


def _inbox_response(decision: dict[str, Any]) -> dict[str, Any]:
    args: Any = decision.get("message")
    if decision["type"] == "edit":
        args = {"action": decision["edited_action"]["name"], "args": decision["edited_action"]["args"]}
    return {"type": _INBOX_TYPES[decision["type"]], "args": args}


def misfit(path: str, message: str) -> Refused:
    """The refusal of an answer: which field is wrong, and what it should be."""
    return Refused(ErrorCode.INVALID_PAYLOAD, f"{path}: {message}")


def _same(one: Any, other: Any) -> bool:
    """Equal as JSON: true is not 1."""
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)


def _listed(values: list[Any]) -> str:
    text = ", ".join(plain_text(value) for value in values)
    return text if len(text) <= 200 else f"{text[:200]}…"
