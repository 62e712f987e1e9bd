"""Signing out a device ends its sessions on every node at once, and its old tokens never open another one."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Awaitable, Callable
from typing import Any

import jwt
import pytest
import socketio
from redis.asyncio import Redis

from sio_clients import ChatClient, Refused, SessionEnded
from sio_server.gateway.sessions.auth import Tokens
from sio_server.gateway.sessions.session_end import ended_for_good
from sio_server.protocol.events import MAX_SIGN_OUTS
from sio_server.store.keys import user_sessions, user_signed_out
from tests.conftest import SECRET, RawClient
from tests.waiting import Inbox, poll

TOKENS = Tokens(SECRET, "roomgraph")
Connect = Callable[..., Awaitable[RawClient]]


def token_of(user_id: str) -> str:
    """A token that is newer than whatever was done before: one of the millisecond of a sign-out is refused."""
    before = int(time.time() * 1000)
    while int(time.time() * 1000) <= before:
        pass
    return TOKENS.issue(user_id, "Ann", 3600)


def foreign_token(user_id: str, **claims: object) -> str:
    """A token that was not issued by this server, without the time in milliseconds."""
    full = {"sub": user_id, "aud": "roomgraph", "exp": int(time.time()) + 3600, **claims}
    return jwt.encode(full, SECRET, algorithm="HS256")


async def refusal(url: str, token: str, device_id: str) -> str:
    """The code with which a handshake is refused; '' when it is accepted."""
    client = RawClient()
    try:
        await client.connect(url, {"token": token, "device_id": device_id})
    except socketio.exceptions.ConnectionError:
        return str(client.refusals[0]["data"]["code"])
    await client.sio.disconnect()
    return ""


async def listed(client: RawClient) -> dict[str, bool]:
    return {d["device_id"]: d["online"] for d in (await client.call("device:list", {}))["devices"]}


async def test_every_session_of_the_device_ends_on_every_node_within_a_second(cluster, raw_client, new_id):
    token = token_of(new_id)
    laptop = await raw_client(0, token=token, device_id="laptop", device_name="Laptop")
    phones = [await raw_client(node, token=token, device_id="phone") for node in (0, 1, 2)]
    await phones[1].call("conversation:create", {"conversation_id": new_id, "access": "open", "agent": "off"})
    began = time.monotonic()
    ack = await laptop.call("device:sign_out", {"device_id": "phone"})
    assert ack == {"ok": True, "device_id": "phone", "sessions": 3}
    for phone in phones:
        await phone.until(lambda phone=phone: phone.named("session:ended"))
        await phone.closed()
        by = {"device_id": "laptop", "device_name": "Laptop"}
        assert phone.named("session:ended") == [ended_for_good("signed_out", by)]
        assert phone.events[-1][0] == "session:ended", "nothing comes after it"
    assert time.monotonic() - began < 3  # a second, and what a busy machine adds
    assert await listed(laptop) == {"laptop": True}
    await laptop.settled()
    assert not laptop.named("session:ended")
    for url in cluster.urls:
        assert await refusal(url, token, "phone") == "token_revoked"
    # Only this device is meant: another one may use the same token, as before.
    assert await refusal(cluster.urls[1], token, "tablet") == ""
    assert await refusal(cluster.urls[1], token, "laptop") == ""


async def test_after_a_sign_out_a_newer_token_is_accepted_and_the_old_one_never(cluster, raw_client, new_id):
    old = token_of(new_id)
    laptop = await raw_client(0, token=old, device_id="laptop")
    await raw_client(1, token=old, device_id="phone")
    await laptop.call("device:sign_out", {"device_id": "phone"})
    await asyncio.sleep(0.002)  # one of the same millisecond may be older than the sign-out
    new = token_of(new_id)  # in the same second: our own tokens tell their age to the millisecond
    await raw_client(2, token=new, device_id="phone")
    assert await listed(laptop) == {"laptop": True, "phone": True}
    assert await refusal(cluster.urls[0], old, "phone") == "token_revoked"
    await laptop.call("device:sign_out", {"device_id": "phone"})
    assert await refusal(cluster.urls[0], new, "phone") == "token_revoked"


async def test_a_token_with_a_time_in_whole_seconds_counts_as_issued_at_their_beginning(
    cluster, raw_client, new_id
):
    laptop = await raw_client(0, token=token_of(new_id), device_id="laptop")
    await raw_client(1, token=foreign_token(new_id), device_id="phone")  # no `iat`: welcome until then
    before = int(time.time())  # read first: the call may end in the next second, whose tokens are welcome
    await laptop.call("device:sign_out", {"device_id": "phone"})
    signed_out_at = int(time.time())
    for iat in (before - 3600, before):  # also its own second: it may have been before
        assert await refusal(cluster.urls[1], foreign_token(new_id, iat=iat), "phone") == "token_revoked"
    await asyncio.sleep(signed_out_at + 1.01 - time.time())  # the next second is a time
    assert await refusal(cluster.urls[1], foreign_token(new_id), "phone") == "token_revoked"
    assert await refusal(cluster.urls[1], foreign_token(new_id, iat=int(time.time())), "phone") == ""


def shows_offline(client, device_id: str) -> bool:
    """Whether the last list of devices that the client was sent has this one, offline."""
    lists = client.named("devices:changed")[-1:]
    return any(d["device_id"] == device_id and not d["online"] for told in lists for d in told["devices"])


async def test_a_device_that_is_offline_can_be_signed_out(cluster, raw_client, new_id):
    token = token_of(new_id)
    laptop = await raw_client(0, token=token, device_id="laptop")
    phone = await raw_client(1, token=token, device_id="phone")
    await phone.sio.disconnect()
    await laptop.until(lambda: shows_offline(laptop, "phone"))
    assert (await laptop.call("device:sign_out", {"device_id": "phone"}))["sessions"] == 0
    assert await listed(laptop) == {"laptop": True}
    assert await refusal(cluster.urls[1], token, "phone") == "token_revoked"


async def test_a_device_that_signs_itself_out_gets_the_ack_and_then_session_ended(cluster, raw_client, new_id):
    token = token_of(new_id)
    laptop = await raw_client(0, token=token, device_id="laptop")
    tab = await raw_client(0, token=token, device_id="laptop")
    order: list[str] = []
    laptop.sio.on("session:ended", lambda payload: order.append("ended"))
    acks: Inbox[dict[str, Any]] = Inbox()

    def acked(ack: dict[str, Any]) -> None:
        order.append("acked")
        acks(ack)

    await laptop.sio.emit("device:sign_out", {"request_id": "r", "device_id": "laptop"}, callback=acked)
    assert await acks.first() == {"ok": True, "device_id": "laptop", "sessions": 2}
    await laptop.closed()
    await tab.until(lambda: tab.named("session:ended"))
    assert order == ["acked", "ended"]
    assert await refusal(cluster.urls[0], token, "laptop") == "token_revoked"


async def test_requests_that_a_device_sends_after_its_own_sign_out_are_not_carried_out(raw_client, new_id):
    token = token_of(new_id)
    tablet = await raw_client(1, token=token, device_id="tablet")
    await tablet.call("conversation:create", {"conversation_id": new_id, "access": "open", "agent": "off"})
    for turn in range(5):
        laptop = await raw_client(0, token=token_of(new_id), device_id="laptop")
        await laptop.sio.emit("device:sign_out", {"request_id": f"out-{turn}", "device_id": "laptop"})
        send = {"conversation_id": new_id, "request_id": f"late-{turn}", "text": "too late"}
        await laptop.sio.emit("message:send", send)
        await laptop.closed()
    assert (await tablet.call("history:read", {"conversation_id": new_id}))["head"] == 1


async def test_of_two_simultaneous_sign_outs_of_a_device_one_ends_its_sessions(raw_client, new_id):
    token = token_of(new_id)
    laptop = await raw_client(0, token=token, device_id="laptop")
    tablet = await raw_client(1, token=token, device_id="tablet")
    phone = await raw_client(2, token=token, device_id="phone")
    acks = await asyncio.gather(*(d.call("device:sign_out", {"device_id": "phone"}) for d in (laptop, tablet)))
    assert sorted(ack["sessions"] for ack in acks) == [0, 1]
    await phone.closed()
    assert len(phone.named("session:ended")) == 1


async def test_of_two_devices_that_sign_each_other_out_one_remains(cluster, raw_client, new_id):
    for turn in range(5):
        token = token_of(f"{new_id}-{turn}")
        pair = [await raw_client(node, token=token, device_id=f"d-{node}") for node in (0, 1)]
        await asyncio.gather(
            *(
                d.sio.emit("device:sign_out", {"request_id": f"r-{n}", "device_id": f"d-{1 - n}"})
                for n, d in enumerate(pair)
            )
        )
        ends = [asyncio.create_task(device.closed()) for device in pair]
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        other = await raw_client(2, token=token, device_id="other")
        devices = await listed(other)
        assert sorted(devices.values()) == [True, True], devices
        for end in ends:
            end.cancel()
        await asyncio.gather(*ends, return_exceptions=True)
        assert sum(device.sio.connected for device in pair) == 1


async def test_no_session_survives_that_opens_while_its_device_is_signed_out(cluster, raw_client, new_id, redis):
    """Opening and signing out at the same moment, on different nodes: one of them sees the other."""
    token = token_of(new_id)
    laptop = await raw_client(0, token=token, device_id="laptop")
    for turn in range(25):
        device_id = f"phone-{turn}"
        first = await raw_client(1, token=token, device_id=device_id)
        clients = [RawClient() for _ in range(4)]
        auth = {"token": token, "device_id": device_id}
        opening = [client.connect(cluster.urls[n % 3], auth) for n, client in enumerate(clients)]
        signing_out = laptop.call("device:sign_out", {"device_id": device_id})
        await asyncio.gather(*opening[:2], signing_out, *opening[2:], return_exceptions=True)
        for client in (first, *clients):
            if client.sio.connected:
                await client.closed()
        assert device_id not in await listed(laptop)
        assert await redis.hlen(user_sessions(new_id)) == 1


async def test_requests_of_a_signed_out_device_are_not_carried_out(raw_client, new_id):
    token = token_of(new_id)
    laptop = await raw_client(0, token=token, device_id="laptop")
    await laptop.call("conversation:create", {"conversation_id": new_id, "access": "open", "agent": "off"})
    for turn in range(10):
        phone = await raw_client(1, token=token_of(new_id), device_id="phone")
        await phone.call("session:sync", {"positions": {new_id: None}})
        await laptop.call("device:sign_out", {"device_id": "phone"})
        head = (await laptop.call("history:read", {"conversation_id": new_id}))["head"]
        await phone.until(lambda phone=phone: phone.named("session:ended"))
        send = {"conversation_id": new_id, "request_id": f"late-{turn}", "text": "too late"}
        if phone.sio.connected:
            await phone.sio.emit("message:send", send)
        await phone.closed()
        page = await laptop.call("history:read", {"conversation_id": new_id})
        assert page["head"] == head
        # And it is shown nothing more.
        assert not [e for e in phone.named("entry:appended") if e["seq"] > head]


async def test_signing_out_an_unknown_device_is_refused_and_a_repeated_sign_out_is_not(raw_client, new_id):
    laptop = await raw_client(0, token=token_of(new_id), device_id="laptop")
    await raw_client(1, token=laptop.token, device_id="phone")
    ack = await laptop.call("device:sign_out", {"device_id": "fridge"})
    assert (ack["error"]["code"], ack["error"]["retryable"]) == ("unknown_device", False)
    assert (await laptop.call("device:sign_out", {"device_id": "phone"}))["sessions"] == 1
    # Whoever got no ack asks again.
    assert (await laptop.call("device:sign_out", {"device_id": "phone"}))["sessions"] == 0


async def test_a_user_whose_only_device_was_signed_out_goes_offline_for_others(raw_client, new_id):
    ann, bob = await raw_client(0), await raw_client(1, name="Bob", device_id="phone")
    await ann.call("conversation:create", {"conversation_id": new_id, "access": "open", "agent": "off"})
    await bob.call("conversation:join", {"conversation_id": new_id})
    await bob.call("device:sign_out", {"device_id": "phone"})
    await ann.until(lambda: {"user_id": bob.user_id, "online": False} in ann.named("presence:changed"))
    await ann.settled()
    assert not ann.named("session:ended")
    assert all("devices" not in told for told in ann.named("presence:changed"))


async def test_however_many_sign_outs_there_are_no_old_token_is_accepted_again(cluster, raw_client, new_id, redis):
    token = token_of(new_id)
    laptop = await raw_client(0, token=token, device_id="laptop")
    key = user_signed_out(new_id)
    now = int(time.time() * 1000)
    by = ' {"device_id":"laptop","device_name":""}'
    await redis.hset(key, mapping={f"d-{n}": f"{now - 60_000 + n}{by}" for n in range(MAX_SIGN_OUTS)})
    middle_aged = foreign_token(new_id, iat=now // 1000 - 30)
    ancient = foreign_token(new_id, iat=now // 1000 - 120)
    assert await refusal(cluster.urls[1], ancient, "tablet") == ""
    assert await refusal(cluster.urls[1], ancient, "d-0") == "token_revoked"
    assert (await laptop.call("device:sign_out", {"device_id": "tablet"}))["ok"]
    assert await redis.hlen(key) == MAX_SIGN_OUTS + 1  # and one for all devices, in place of the oldest
    assert not await redis.hexists(key, "d-0")
    for device_id in ("d-0", "d-7", "watch"):
        assert await refusal(cluster.urls[1], ancient, device_id) == "token_revoked"
    assert await refusal(cluster.urls[1], middle_aged, "watch") == ""
    assert (await laptop.call("device:sign_out", {"device_id": "watch"}))["ok"]
    assert await redis.hlen(key) == MAX_SIGN_OUTS + 1
    assert await refusal(cluster.urls[1], token, "laptop") == ""


@pytest.mark.faults
async def test_a_sign_out_reaches_a_node_that_dies_is_paused_or_has_lost_the_bus(start_cluster):
    cluster = await start_cluster(nodes=2)
    redis = Redis.from_url(cluster.redis_url)
    laptop = RawClient()
    await laptop.connect(cluster.urls[0], {"token": token_of("ann"), "device_id": "laptop"})

    async def phone() -> tuple[RawClient, str]:
        client, token = RawClient(), token_of("ann")
        await client.connect(cluster.urls[1], {"token": token, "device_id": "phone"})
        return client, token

    # The bus is lost at this moment: the node finds out when it is back.
    deaf, token = await phone()
    await redis.client_kill_filter(_type="pubsub")
    assert (await laptop.call("device:sign_out", {"device_id": "phone"}))["sessions"] == 1
    assert await refusal(cluster.urls[1], token, "phone") == "token_revoked"
    await deaf.until(lambda: deaf.named("session:ended"), 10)
    await deaf.closed()
    assert deaf.named("session:ended")[0]["by"]["device_id"] == "laptop"

    # It sleeps, for less time than it takes until its sessions are reaped.
    asleep, _ = await phone()
    await cluster.signal_node(cluster.ports[1], signal.SIGSTOP)
    assert (await laptop.call("device:sign_out", {"device_id": "phone"}))["sessions"] == 1
    await cluster.signal_node(cluster.ports[1], signal.SIGCONT)
    await asleep.until(lambda: asleep.named("session:ended"), 10)
    await asleep.closed()

    # It is paused until it is taken for dead. When it wakes it writes the tablet's session again, not the phone's.
    tablet = RawClient()
    await tablet.connect(cluster.urls[1], {"token": token_of("ann"), "device_id": "tablet"})

    def tablet_online() -> bool:
        devices = laptop.named("devices:changed")[-1]["devices"]
        return any(device["device_id"] == "tablet" and device["online"] for device in devices)

    back, _ = await phone()
    await laptop.until(tablet_online)  # before it is waited for that it is not
    await cluster.signal_node(cluster.ports[1], signal.SIGSTOP)
    assert (await laptop.call("device:sign_out", {"device_id": "phone"}))["sessions"] == 1
    await redis.client_kill_filter(_type="pubsub")  # what the sleeping node would have heard is lost, too
    await laptop.until(lambda: not tablet_online(), 20)
    await cluster.signal_node(cluster.ports[1], signal.SIGCONT)
    await back.until(lambda: back.named("session:ended"), 10)

    async def written_again() -> bool:
        # A node that was paused for longer than a ping may take ends the tablet's connection instead.
        return tablet_online() or not tablet.sio.connected

    await poll(written_again, "the tablet's session")
    await tablet.sio.disconnect()

    # It is killed in the same moment.
    dying, token = await phone()
    await asyncio.gather(
        laptop.call("device:sign_out", {"device_id": "phone"}),
        cluster.signal_node(cluster.ports[1], signal.SIGKILL),
    )
    assert await refusal(cluster.urls[0], token, "phone") == "token_revoked"
    assert await listed(laptop) == {"laptop": True, "tablet": False}
    await cluster.start_node(cluster.ports[1])
    assert await refusal(cluster.urls[1], token, "phone") == "token_revoked"
    assert await redis.hlen(user_sessions("ann")) == 1
    await dying.closed()
    await laptop.sio.disconnect()
    await redis.aclose()


@pytest.mark.faults
async def test_without_redis_handshakes_are_refused_as_unavailable(start_cluster):
    cluster = await start_cluster(nodes=1)
    laptop, token = RawClient(), token_of("ann")
    await laptop.connect(cluster.urls[0], {"token": token, "device_id": "laptop"})
    phone = RawClient()
    await phone.connect(cluster.urls[0], {"token": token, "device_id": "phone"})
    await laptop.call("device:sign_out", {"device_id": "phone"})
    await cluster.signal_redis(signal.SIGSTOP)
    again = RawClient()
    with pytest.raises(socketio.exceptions.ConnectionError):
        await again.connect(cluster.urls[0], {"token": token, "device_id": "phone"})
    assert (again.refusals[0]["data"]["code"], again.refusals[0]["data"]["retryable"]) == ("unavailable", True)
    ack = await laptop.call("device:sign_out", {"device_id": "laptop"})
    assert (ack["error"]["code"], ack["error"]["retryable"]) == ("unavailable", True)
    await cluster.signal_redis(signal.SIGCONT)

    async def verdict() -> str:
        code = await refusal(cluster.urls[0], token, "phone")
        return code if code != "unavailable" else ""

    assert await poll(verdict, "a verdict on the token", 10) == "token_revoked"
    await laptop.sio.disconnect()


async def test_a_signed_out_sdk_client_ends_with_an_error_and_does_not_reconnect(cluster, new_client, new_id):
    token = token_of(new_id)
    laptop = await new_client(token=token, device_id="laptop", device_name="Laptop")
    phone = await new_client(token=token, node=1, device_id="phone")
    conversation = await phone.create(conversation_id=new_id, access="open", agent="off")
    connects: list[dict] = []
    phone.on("session:opened", connects.append)
    assert await laptop.sign_out_device("phone") == 1
    with pytest.raises(SessionEnded, match="signed out on Laptop") as ended:
        async for _ in conversation.entries():
            pass
    assert (ended.value.reason, ended.value.by["device_id"]) == ("signed_out", "laptop")
    with pytest.raises(SessionEnded):
        await conversation.send("anybody?")
    with pytest.raises(SessionEnded):
        await phone.go_online()
    assert (phone.online, connects) == (False, [])
    late = ChatClient(cluster.urls, token, device_id="phone")
    with pytest.raises(Refused) as refused:
        await late.connect()
    assert refused.value.code == "token_revoked"


async def test_an_sdk_client_that_missed_its_sign_out_ends_when_it_reconnects(new_client, new_id):
    token = token_of(new_id)
    laptop = await new_client(token=token, device_id="laptop")
    phone = await new_client(token=token, node=1, device_id="phone")
    conversation = await phone.create(conversation_id=new_id, access="open", agent="off")
    await phone.go_offline()
    assert await laptop.sign_out_device("phone") in (0, 1)  # its node may not have noticed that it is gone
    with pytest.raises(Refused) as refused:
        await phone.go_online()
    assert refused.value.code == "token_revoked"
    with pytest.raises(Refused):
        async for _ in conversation.entries():
            pass


async def test_an_sdk_client_can_sign_itself_out(new_client, new_id):
    for turn in range(10):
        client = await new_client(token=token_of(f"{new_id}-{turn}"), device_id="laptop")
        assert await client.sign_out_device("laptop") == 1
        with pytest.raises(SessionEnded):
            await client.devices()


async def test_a_second_sign_out_holds_for_a_token_that_has_not_been_used_yet(cluster, raw_client, new_id):
    """From the ack on a handshake is refused unless its token was issued later."""
    laptop = await raw_client(0, token=token_of(new_id), device_id="laptop")
    await raw_client(1, token=token_of(new_id), device_id="phone")
    assert (await laptop.call("device:sign_out", {"device_id": "phone"}))["sessions"] == 1
    await asyncio.sleep(0.002)  # a token of the same millisecond would be refused for the first sign-out
    between = token_of(new_id)
    await asyncio.sleep(0.002)
    assert (await laptop.call("device:sign_out", {"device_id": "phone"}))["sessions"] == 0
    assert await refusal(cluster.urls[1], between, "phone") == "token_revoked"
    await asyncio.sleep(0.002)
    assert await refusal(cluster.urls[1], token_of(new_id), "phone") == ""
