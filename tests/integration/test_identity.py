"""Nodes take the tokens of an issuer whose keys change, of several secrets, and what an application knows."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import jwt
import pytest
import socketio
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from sio_server.gateway.sessions.auth import Tokens
from tests.conftest import SECRET, ClusterFactory, RawClient

ISSUER, OLDER_SECRET = "https://login.example.com/", "an-older-secret-that-only-these-tests-use-0123"


class KeyServer:
    """Publishes public keys over HTTP."""

    def __init__(self) -> None:
        self.keys: dict[str, Any] = {}
        self.url = ""

    def add(self, key_id: str, private: Any) -> None:
        algorithms = jwt.algorithms.ECAlgorithm, jwt.algorithms.RSAAlgorithm
        algorithm = algorithms[isinstance(private, rsa.RSAPrivateKey)]
        self.keys[key_id] = {**algorithm.to_jwk(private.public_key(), as_dict=True), "kid": key_id, "use": "sig"}

    async def answer(self, request: web.Request) -> web.Response:
        return web.json_response({"keys": list(self.keys.values())})


@pytest.fixture
async def key_server() -> AsyncIterator[KeyServer]:
    server = KeyServer()
    application = web.Application()
    application.router.add_get("/keys", server.answer)
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    server.url = f"http://127.0.0.1:{runner.addresses[0][1]}/keys"
    yield server
    await runner.cleanup()


def token(key: Any, algorithm: str, key_id: str, **claims: Any) -> str:
    now = int(time.time())
    given = {"sub": "ann", "name": "Ann", "aud": "chat", "iss": ISSUER, "iat": now, "exp": now + 600, **claims}
    return jwt.encode(given, key, algorithm=algorithm, headers={"kid": key_id})


async def outcome(url: str, auth: Any, headers: dict[str, str] | None = None) -> str:
    """The user for whom a connection is opened, or the code with which it is refused."""
    client = RawClient()
    try:
        await client.sio.connect(
            url, auth=auth, headers={**(headers or {})}, transports=["websocket"], wait_timeout=5
        )
        return str((await client.event("session:opened"))["user_id"])
    except socketio.exceptions.ConnectionError:
        return str(client.refusals[0]["data"]["code"])
    finally:
        await client.sio.disconnect()


async def test_a_node_takes_tokens_of_an_issuer_and_of_two_secrets_and_no_others(
    start_cluster: ClusterFactory, key_server: KeyServer
) -> None:
    rsa_key, ec_key = rsa.generate_private_key(65537, 2048), ec.generate_private_key(ec.SECP256R1())
    key_server.add("r", rsa_key)
    key_server.add("e", ec_key)
    cluster = await start_cluster(
        1,
        AUTH_MODE="token",
        AUTH_SECRET=f"{SECRET},{OLDER_SECRET}",
        AUTH_AUDIENCE="chat",
        AUTH_ISSUER=ISSUER,
        AUTH_JWKS_URL=key_server.url,
        OPERATOR_CLAIM="roles=admin",
    )
    (url,) = cluster.urls
    ours = Tokens(SECRET, "chat", issuer=ISSUER, operator=("roles", "admin"))
    older = Tokens(OLDER_SECRET, "chat", issuer=ISSUER)
    for good in (
        token(rsa_key, "RS256", "r"),
        token(ec_key, "ES256", "e"),
        ours.issue("ann", "Ann", 60),
        older.issue("ann", "Ann", 60),
    ):
        assert await outcome(url, {"token": good}) == "ann"
    for bad, code in (
        (token(rsa_key, "RS256", "e"), "token_invalid"),
        (token(ec_key, "ES256", "unknown"), "token_invalid"),
        (token(rsa_key, "RS256", "r", iss="https://evil.example.com/"), "token_invalid"),
        (token(rsa_key, "RS256", "r", exp=1_700_000_000), "token_expired"),
        (Tokens("x" * 32, "chat", issuer=ISSUER).issue("ann", "Ann", 60), "token_invalid"),
    ):
        assert await outcome(url, {"token": bad}) == code
    async with aiohttp.ClientSession() as http:
        for caller, status in (
            (token(rsa_key, "RS256", "r", roles=["staff", "admin"]), 200),
            (ours.issue("ops", "Ops", 60, operator=True), 200),
            (token(rsa_key, "RS256", "r", roles=["staff"]), 403),
        ):
            headers = {"Authorization": f"Bearer {caller}"}
            async with http.get(f"{url}/api/status", headers=headers) as response:
                assert response.status == status, json.dumps(await response.json())


async def test_an_application_says_whose_a_token_or_a_cookie_is_and_leaves_the_rest_to_the_node(
    start_cluster: ClusterFactory,
) -> None:
    cluster = await start_cluster(1, AUTHENTICATE="tests.applications:authenticate")
    (url,) = cluster.urls
    cookie = {"Cookie": "theme=dark; session=of-ann"}
    assert await outcome(url, None, cookie) == "ann-by-cookie"
    assert await outcome(url, {"device_id": "phone"}, cookie) == "ann-by-cookie"
    assert await outcome(url, {"token": "key-bob"}) == "bob"
    assert await outcome(url, {"token": Tokens(SECRET, "roomgraph").issue("cid", "Cid", 60)}) == "cid"
    assert await outcome(url, {"token": "key-of-nobody"}) == "token_invalid"
    assert await outcome(url, None) == "token_missing"
    said = (cluster.data_dir / "logs" / f"node-{cluster.ports[0]}.log").read_text()
    assert "AUTHENTICATE=tests.applications:authenticate refuses a token: PermissionError" in said
    assert "no such key" in said
