"""The description of the API (OpenAPI 3.1) says what is really answered: schemathesis asks each operation."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from jsonschema import Draft202012Validator
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from sio_server.gateway.api.answers import ClusterStatus
from sio_server.gateway.api.conversations import ConversationEndpoints
from sio_server.gateway.api.messages import MessageEndpoints
from sio_server.gateway.api.openapi import STATUS_PATH, describe
from sio_server.gateway.api.routes import PATH
from sio_server.gateway.api.schedule_endpoints import ScheduleEndpoints
from sio_server.gateway.api.users import UserEndpoints
from sio_server.gateway.api.webhook_state import WebhookEndpoints
from sio_server.local.cluster import LocalCluster
from tests.conftest import NODE_SETTINGS, cluster_in

KEY = "a-service-key-that-only-these-tests-use"
HEADERS = {"Authorization": f"Bearer {KEY}"}
NOTHING: Any = None
ENDPOINTS = [
    *ConversationEndpoints(NOTHING, NOTHING, NOTHING, NOTHING).endpoints(),
    *MessageEndpoints(NOTHING, NOTHING, NOTHING).endpoints(),
    *WebhookEndpoints(NOTHING).endpoints(),
    *ScheduleEndpoints(NOTHING, NOTHING).endpoints(),
    *UserEndpoints(NOTHING).endpoints(),
]
CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
QUICKLY = settings(
    max_examples=12,
    deadline=None,
    database=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
    derandomize=True,
)


@pytest.fixture(scope="module")
async def cluster(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[LocalCluster]:
    """A node that serves the API as often as it is asked."""
    chosen = {**NODE_SETTINGS, "SERVICE_KEYS": f"tests:{KEY}", "RATE_LIMIT_SERVICE": "off", "GRAPH": "echo"}
    async with cluster_in(tmp_path_factory.mktemp("cluster"), chosen, nodes=1) as running:
        yield running


async def test_the_description_is_served_and_says_which_operations_there_are(cluster: LocalCluster) -> None:
    async with aiohttp.ClientSession() as http, http.get(f"{cluster.urls[0]}{PATH}/openapi.json") as response:
        served = await response.json()
    assert served == json.loads(json.dumps(describe(ENDPOINTS, PATH)))
    named = [one["operationId"] for path in served["paths"].values() for one in path.values()]
    assert len(named) == len(set(named)) == len(ENDPOINTS) + 4  # and the stream of events, two exports, the status
    for schema in served["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)


async def test_a_service_reads_the_status_that_is_described_within_its_own_limit(cluster: LocalCluster) -> None:
    base = cluster.urls[0] + PATH
    async with aiohttp.ClientSession(headers=HEADERS) as http, http.get(base + STATUS_PATH) as response:
        assert response.status == 200, await response.text()
        status = ClusterStatus.model_validate(await response.json())
    assert [one.port for one in status.nodes] == cluster.ports
    wrong = {"Authorization": "Bearer another-key-that-no-service-of-theirs-has"}
    async with aiohttp.ClientSession(headers=wrong) as http, http.get(base + STATUS_PATH) as response:
        assert (response.status, (await response.json())["error"]["code"]) == (401, "token_invalid")


def test_every_operation_is_in_the_document() -> None:
    document = (Path(__file__).parents[2] / "docs" / "api.md").read_text(encoding="utf-8")
    missing = [one for one in ENDPOINTS if f"| `{one.method} {one.path}` |" not in document]
    assert missing == []


@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=[one.operation for one in ENDPOINTS])
async def test_what_an_operation_answers_is_what_the_description_says(
    cluster: LocalCluster, endpoint: Any
) -> None:
    base = cluster.urls[0] + PATH
    # An operation is asked of a conversation that there is, with all that one may have, and of any other.
    async with aiohttp.ClientSession(headers=HEADERS) as http:

        async def make() -> str:
            body = {"user": {"user_id": "ann"}, "members": [{"user_id": "bob"}], "invite": ["cat"]}
            async with http.post(f"{base}/conversations", json=body) as response:
                where = str((await response.json())["conversation_id"])
            async with http.post(f"{base}/conversations/{where}/runs", json={"text": "hi"}) as response:
                run_id = str((await response.json())["run_id"])
            return f"{where} {run_id}"

        known = dict(zip(("conversation_id", "run_id"), (await make()).split(), strict=True))
    schema = schemathesis.openapi.from_dict(describe(ENDPOINTS, PATH))
    operation = schema[endpoint.path][endpoint.method]
    asked = 0

    @QUICKLY
    @given(case=operation.as_strategy())
    def ask(case: Any) -> None:
        nonlocal asked
        asked += 1
        if asked % 3:
            ours = {name: known[name] for name in known if name in (case.path_parameters or {})}
            case.path_parameters = {**(case.path_parameters or {}), **ours}
        response = case.call(base_url=base, headers=HEADERS, timeout=10)
        case.validate_response(response, checks=CHECKS)

    await asyncio.to_thread(ask)
    assert asked > 0
