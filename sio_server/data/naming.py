"""Finds and replaces a user in what entries say of people."""

from __future__ import annotations

from typing import Any

_PERSONAL = {"device_id": "", "device_name": "", "session_id": "", "request_id": ""}


def renamed(value: Any, user_id: str, pseudonym: str, name: str) -> Any:
    """The JSON value with another user in each object whose `user_id` is this one; itself if there is none."""
    if isinstance(value, list):
        items = [renamed(item, user_id, pseudonym, name) for item in value]
        return items if any(a is not b for a, b in zip(items, value, strict=True)) else value
    if not isinstance(value, dict):
        return value
    found = {key: renamed(item, user_id, pseudonym, name) for key, item in value.items()}
    if value.get("user_id") == user_id:
        found |= {key: item for key, item in _PERSONAL.items() if key in value}
        found["user_id"] = pseudonym
        if "name" in value:
            found["name"] = name
        return found
    return found if any(found[key] is not item for key, item in value.items()) else value
