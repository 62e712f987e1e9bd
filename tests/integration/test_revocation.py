"""A token that expires or is revoked ends the sessions that it opened, on every node, and they are told why."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from asyncio.subprocess import PIPE

import aiohttp
import pytest

from sio_clients import ChatClient, NotConnected, Refused, SessionEnded
from sio_server.gateway.sessions.session_end import ended_for_good
from sio_server.protocol.events import MAX_SIGN_OUTS
from sio_server.store.keys import user_channel, user_sessions, user_signed_out
from tests.integration.test_sign_out import TOKENS, foreign_token, listed, refusal, token_of
from tests.waiting import Inbox, within

LIMIT_S = 5.0  # promised


async def revoke(redis_url: str, *arguments: str) -> tuple[int, str]:
    """Run `roomgraph revoke`, as an operator does; its status and what it said."""
    command = [sys.executable, "-m", "roomgraph", "revoke", *arguments]
    environment = {**os.environ, "REDIS_URL": redis_url}
    process = await asyncio.create_subprocess_exec(*command, env=environment, stdout=PIPE, stderr=PIPE)
    async with within(30, "the end of the command"):
        out, err = await process.communicate()
    return process.returncode or 0, (out + err).decode()


async def test_a_session_ends_with_its_token(cluster, raw_client, new_id):
    other = await raw_client(1, token=token_of(new_id), device_id="tablet")
    expires = time.time() + 2
    phone = await raw_client(0, token=TOKENS.issue(new_id, "Ann", 2), device_id="phone")
    await phone.call("conversation:create", {"conversation_id": new_id, "access": "open", "agent": "off"})
    await phone.until(lambda: phone.named("session:ended"), 2 + LIMIT_S)
    assert time.time() >= int(expires) - 0.1, "not before its time"
    await phone.closed()
    assert time.time() - expires < LIMIT_S
    assert phone.named("session:ended") == [ended_for_good("token_expired")]
    assert phone.events[-1][0] == "session:ended"
    assert await refusal(cluster.urls[0], phone.token, "phone") == "token_expired"
    # The user's other session has another token.
    assert (await other.call("message:send", {"conversation_id": new_id, "request_id": "c", "text": "x"}))["ok"]
    await other.until(lambda: not other.named("devices:changed")[-1]["devices"][-1]["online"])
    assert await listed(other) == {"tablet": True, "phone": False}


async def test_an_sdk_client_whose_token_expires_ends_or_continues_with_a_new_token(cluster, new_id):
    async with ChatClient(cluster.urls, TOKENS.issue(new_id, "Ann", 2), device_id="phone") as client:
        conversation = await client.create(conversation_id=new_id, access="open", agent="off")
        asked: Inbox[int] = Inbox()

        async def provider() -> str:
            times = len(asked.items) + 1
            asked(times)
            if times == 2:
                raise NotConnected("the service that issues tokens is away for a moment")
            return TOKENS.issue(new_id, "Ann", 2 if times == 1 else 3600)

        async with ChatClient(cluster.urls, provider, device_id="laptop") as lasting:
            followed = await lasting.join(new_id)
            with pytest.raises(SessionEnded, match="expired") as ended:
                async for _ in conversation.entries():
                    pass
            assert ended.value.reason == "token_expired"
            with pytest.raises(SessionEnded):
                await conversation.send("anybody?")
            await asked.first(lambda times: times == 3, "a third question for a token", 2 + LIMIT_S)
            assert (await followed.send("still here")).seq == 2


async def test_an_sdk_client_ends_when_its_token_provider_has_no_new_token(cluster, new_id):
    def none() -> str:
        raise OSError("no such service")

    with pytest.raises(Refused, match="no such service"):
        await ChatClient(cluster.urls, none).connect()
    old = TOKENS.issue(new_id, "Ann", -10)
    with pytest.raises(Refused) as refused:
        await ChatClient(cluster.urls, lambda: old).connect()
    assert refused.value.code == "token_expired"


async def test_a_revoked_user_is_disconnected_on_every_node_and_returns_with_a_newer_token(
    cluster, raw_client, new_id
):
    token = token_of(new_id)
    devices = [await raw_client(node, token=token, device_id=f"d{node}") for node in range(3)]
    bystander = await raw_client(0)
    await devices[0].call("conversation:create", {"conversation_id": new_id, "access": "open", "agent": "off"})
    status, said = await revoke(cluster.redis_url, new_id)
    closed_by = time.monotonic() + LIMIT_S
    assert (status, "sessions ended: 3" in said) == (0, True), said
    for device in devices:
        await device.until(lambda device=device: device.named("session:ended"))
        await device.closed()
        assert device.named("session:ended") == [ended_for_good("token_revoked")]
    assert time.monotonic() < closed_by
    for url in cluster.urls:
        assert await refusal(url, token, "another-device") == "token_revoked"
    async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {token}"}) as http:
        async with http.get(f"{cluster.urls[0]}/api/status") as response:
            assert (response.status, (await response.json())["error"]["code"]) == (401, "token_revoked")
    assert await refusal(cluster.urls[0], foreign_token(new_id), "d0") == "token_revoked", "without iat, for good"
    back = await raw_client(1, token=token_of(new_id), device_id="d0")
    assert await listed(back) == {"d0": True, "d1": False, "d2": False}, "the devices keep their names"
    assert (await back.call("history:read", {"conversation_id": new_id}))["ok"]
    await bystander.settled()
    assert bystander.sio.connected
    assert not bystander.named("session:ended")


async def test_revoking_one_device_leaves_the_others_connected(cluster, raw_client, new_id):
    token = token_of(new_id)
    phone = await raw_client(0, token=token, device_id="phone")
    laptop = await raw_client(1, token=token, device_id="laptop")
    status, said = await revoke(cluster.redis_url, new_id, "--device", "phone")
    assert (status, "sessions ended: 1" in said) == (0, True), said
    await phone.closed()
    assert phone.named("session:ended")[0]["reason"] == "token_revoked"
    assert await refusal(cluster.urls[2], token, "phone") == "token_revoked"
    assert await listed(laptop) == {"laptop": True}


async def test_a_revocation_is_not_weakened_by_many_sign_outs_later(cluster, raw_client, redis, new_id):
    """The oldest of too many sign-outs counts for all devices: but not in the place of a later revocation."""
    now = int(time.time() * 1000)
    old = foreign_token(new_id, iat=now // 1000 - 20)
    marks = {f"d-{n}": f"{now - 60_000 + n} null" for n in range(MAX_SIGN_OUTS)}
    await redis.hset(user_signed_out(new_id), mapping={**marks, "*": f"{now - 10_000} null"})
    assert await refusal(cluster.urls[0], old, "any") == "token_revoked"
    laptop = await raw_client(0, token=token_of(new_id), device_id="laptop")
    await raw_client(1, token=token_of(new_id), device_id="tablet")
    assert (await laptop.call("device:sign_out", {"device_id": "tablet"}))["ok"]
    assert await refusal(cluster.urls[0], old, "any") == "token_revoked"


@pytest.mark.parametrize("arguments", [("no good",), ("ann", "--device", "no good")])
async def test_revoke_names_what_it_cannot_revoke(cluster, arguments):
    status, said = await revoke(cluster.redis_url, *arguments)
    assert status == 2
    assert "no good" in said


async def test_a_revocation_that_the_bus_has_lost_takes_effect_within_five_seconds(cluster, raw_client, redis):
    """As if its message had never come: what a revocation leaves in Redis, without the publication."""
    users = [f"{user}-{time.monotonic_ns()}" for user in ("ann", "bob")]
    sessions = [await raw_client(node, token=token_of(user)) for node, user in enumerate(users)]
    for user in users:
        await redis.delete(user_sessions(user))
        await redis.hset(user_signed_out(user), "*", f"{int(time.time() * 1000)} null")
    began = time.monotonic()
    await redis.incr("rg:revocations")
    for session in sessions:
        await session.until(lambda session=session: session.named("session:ended"), LIMIT_S)
        await session.closed()
        assert session.named("session:ended") == [ended_for_good("token_revoked")]
    assert time.monotonic() - began < LIMIT_S


async def test_a_forged_session_ended_on_the_bus_ends_no_session(raw_client, redis, new_id):
    ann = await raw_client(0)
    sid = ann.named("session:opened")[0]["session_id"]
    forged = json.dumps({"reason": "signed_out", "by": None})
    assert await redis.spublish(user_channel(ann.user_id), f"S {sid}\n{forged}") == 1
    assert (await ann.call("conversation:create", {"conversation_id": new_id, "access": "open", "agent": "off"}))[
        "ok"
    ]
    await ann.settled()
    assert (await ann.call("device:list", {}))["ok"]
    assert not ann.named("session:ended")
