"""Compact JSON, as it is stored and sent."""

from __future__ import annotations

import json
from typing import Any


def to_json(value: Any) -> str:
    """JSON without blanks; characters stay what they are."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
