"""What a conversation is given as context is checked against its graph's schema, field by field."""

from __future__ import annotations

import dataclasses
import threading
from datetime import date
from enum import Enum
from typing import Annotated, Any, Literal, NotRequired, TypedDict

import pytest
from pydantic import BaseModel, ConfigDict, Field

from sio_server.dialog.graphs.contexts import ContextMisfit, ContextSchema
from sio_server.gateway.requests import graph_choice
from sio_server.protocol.errors import Refused, Unavailable


class Level(Enum):
    LOW = "low"
    HIGH = "high"


class Unknown:
    """What no JSON can give."""


@dataclasses.dataclass(kw_only=True)
class AsDataclass:
    tenant: str
    limit: Annotated[int, {"description": "how many"}] = 10
    level: Level = Level.LOW
    since: date | None = None
    client: Unknown | None = None
    made: list[str] = dataclasses.field(default_factory=list, init=False)

    def __post_init__(self) -> None:
        self.made.append(self.tenant)
        if self.tenant == "nobody":
            raise RuntimeError("there is no such tenant")


class AsTypedDict(TypedDict):
    tenant: str
    limit: NotRequired[int]
    level: NotRequired[Literal["low", "high"]]


class AsModel(BaseModel):
    tenant: str = Field(alias="tenantId")
    limit: int = Field(default=10, ge=1)


class Open(BaseModel):
    model_config = ConfigDict(extra="allow")
    tenant: str = ""


@pytest.mark.parametrize(
    ("schema", "given", "made"),
    [
        (AsDataclass, {"tenant": "north"}, AsDataclass(tenant="north")),
        (
            AsDataclass,
            {"tenant": "north", "limit": 3, "level": "high", "since": "2026-01-31"},
            AsDataclass(tenant="north", limit=3, level=Level.HIGH, since=date(2026, 1, 31)),
        ),
        (AsTypedDict, {"tenant": "north", "level": "low"}, {"tenant": "north", "level": "low"}),
        (AsModel, {"tenantId": "north"}, AsModel(tenantId="north", limit=10)),
        (Open, {"anything": [1]}, Open(anything=[1])),  # type: ignore[call-arg]
        (Open, None, Open()),
        (AsTypedDict, None, {}),
    ],
)
def test_a_context_that_fits_is_made_with_its_defaults(schema: type, given: Any, made: Any) -> None:
    assert ContextSchema(schema).make(given) == made
    ContextSchema(schema).check(given)


@pytest.mark.parametrize(
    ("schema", "given", "told"),
    [
        (AsDataclass, None, "context.tenant: "),
        (AsDataclass, {}, "context.tenant: "),
        (AsTypedDict, {}, "context.tenant: Field required"),
        (AsModel, None, "context.tenantId: Field required"),
        (AsDataclass, {"tenant": 3}, "context.tenant: Input should be a valid string"),
        (AsDataclass, {"tenant": "a", "limit": "3"}, "context.limit: Input should be a valid integer"),
        (AsDataclass, {"tenant": "a", "level": "none"}, "context.level: "),
        (AsDataclass, {"tenant": "a", "client": {}}, "context.client: "),
        (AsDataclass, {"tenant": "a", "colour": 1}, "context.colour: there is no such field; there are: client, "),
        (AsDataclass, {"tenant": "a", "made": []}, "context.made: there is no such field"),
        (AsTypedDict, {"tenant": "a", "level": "none"}, "context.level: Input should be 'low' or 'high'"),
        (
            AsTypedDict,
            {"tenant": "a", "colour": 1},
            "context.colour: there is no such field; there are: level, limit",
        ),
        (AsModel, {"tenantId": "a", "limit": 0}, "context.limit: Input should be greater than or equal to 1"),
        (AsModel, {"tenantId": "a", "colour": 1}, "context.colour: there is no such field"),
        (AsDataclass, {"tenant": "nobody"}, "context: RuntimeError: there is no such tenant"),
    ],
)
def test_a_context_that_does_not_fit_is_refused_with_the_name_of_the_field(
    schema: type, given: Any, told: str
) -> None:
    with pytest.raises(Refused) as caught:
        ContextSchema(schema).check(given)
    assert caught.value.code == "invalid_payload"
    assert caught.value.message.startswith(told)
    with pytest.raises(ContextMisfit):
        ContextSchema(schema).make(given)


@pytest.mark.parametrize("schema", [int, dict])
def test_a_schema_by_which_nothing_can_be_checked_is_told(schema: Any) -> None:
    with pytest.raises(TypeError):
        ContextSchema(schema)


async def test_a_schema_that_exits_or_never_ends_holds_up_nobody(monkeypatch):
    @dataclasses.dataclass
    class Exits:
        def __post_init__(self) -> None:
            raise SystemExit(3)

    monkeypatch.setattr(graph_choice, "CONTEXT_CHECK_S", 0.05)
    with pytest.raises(Refused, match="context: SystemExit: 3"):
        await graph_choice._in_time(ContextSchema(Exits).check, None)
    never = threading.Event()

    def wait(context: Any) -> None:
        never.wait(10)

    monkeypatch.setattr(graph_choice, "_context_checks", threading.Semaphore(1))
    with pytest.raises(Unavailable, match="within"):
        await graph_choice._in_time(wait, None)
    with pytest.raises(Unavailable, match="too many"):
        await graph_choice._in_time(wait, None)
    never.set()
