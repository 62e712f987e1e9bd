"""What a graph's config says of the person whose request began the run, and of the conversation's context."""

from __future__ import annotations

from operator import itemgetter
from typing import Any

from sio_server.conversation.runs import ClaimedRun

# Fields of `configurable` by which LangGraph finds checkpoints and runs.
_LANGGRAPHS = frozenset({"thread_id", "checkpoint_id", "checkpoint_ns", "checkpoint_map", "run_id"})


class AuthUser(dict[str, Any]):
    """A person as LangGraph's own server describes one, by key and by attribute."""

    # `isinstance(user, BaseUser)` asks the class for these from Python 3.12 on, and not `__getattr__`.
    identity = property(itemgetter("identity"))
    display_name = property(itemgetter("display_name"))
    is_authenticated = property(itemgetter("is_authenticated"))
    permissions = property(itemgetter("permissions"))

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(name) from None


def person_fields(run: ClaimedRun) -> dict[str, Any]:
    """The fields of `configurable`: those of the context, for graphs that read them there, and the person's."""
    given = run.context or {}
    fields = {name: value for name, value in given.items() if name not in _LANGGRAPHS and name[:2] != "__"}
    if run.person is None:
        return fields
    user_id, name = run.person["user_id"], run.person["name"]
    ours = {"identity": user_id, "display_name": name, "is_authenticated": True, "permissions": []}
    return {
        **fields,
        "user_id": user_id,
        "device_id": run.person["device_id"],
        "langgraph_auth_user": AuthUser({**run.person["claims"], **ours}),
        "langgraph_auth_user_id": user_id,
    }
