"""A user's devices: the list is true on every node, and a name that somebody gave stays."""

from __future__ import annotations

import signal
import uuid
from typing import Any

import pytest
from redis.asyncio import Redis

from sio_clients import ChatClient, Device, Refused, guest_token
from sio_server.protocol.events import MAX_DEVICE_SESSIONS, MAX_DEVICES
from sio_server.store.keys import DEVICES_KEPT_MS, user_devices
from tests.conftest import RawClient
from tests.waiting import Inbox, within


def listed(client: RawClient) -> list[dict]:
    """The devices as this client was told of them last."""
    told = [p["devices"] for name, p in client.events if name in ("session:opened", "devices:changed")]
    return told[-1] if told else []


def online(client: RawClient) -> set[str]:
    return {device["device_id"] for device in listed(client) if device["online"]}


async def test_a_device_is_listed_with_its_sessions_on_all_nodes_and_stays_when_it_is_offline(cluster, raw_client):
    laptop = await raw_client(0, device_id="laptop", device_name="Laptop")
    phone = await raw_client(1, token=laptop.token, device_id="phone", device_name="手机 📱")
    await laptop.until(lambda: online(laptop) == {"laptop", "phone"})
    assert online(phone) == {"laptop", "phone"}
    by_id = {device["device_id"]: device for device in listed(laptop)}
    assert by_id["phone"]["device_name"] == "手机 📱"
    (session,) = by_id["phone"]["sessions"]
    ready = phone.named("session:opened")[0]
    assert session == {
        "session_id": ready["session_id"],
        "node": str(cluster.ports[1]),
        "since": session["since"],
    }
    await phone.sio.disconnect()
    await laptop.until(lambda: online(laptop) == {"laptop"})
    first, second = listed(laptop)
    assert (first["device_id"], second["device_id"]) == ("laptop", "phone")
    assert (second["online"], second["sessions"]) == (False, [])
    assert ready["devices"][0]["last_seen"] <= second["last_seen"] <= first["last_seen"]
    assert (await laptop.call("device:list", {}))["devices"][1] == second


async def test_every_session_of_a_device_is_listed_and_it_is_online_until_the_last_ends(raw_client):
    one = await raw_client(0, device_id="laptop")
    two = await raw_client(1, token=one.token, device_id="laptop")
    await one.until(lambda: [len(device["sessions"]) for device in listed(one)] == [2])
    await two.sio.disconnect()
    await one.until(lambda: [len(device["sessions"]) for device in listed(one)] == [1])
    assert online(one) == {"laptop"}


async def test_the_device_list_after_every_event_is_what_a_new_request_returns(raw_client):
    laptop = await raw_client(0, device_id="laptop")

    def sessions() -> set[str]:
        return {session["session_id"] for device in listed(laptop) for session in device["sessions"]}

    for number in range(6):
        other = await raw_client(number % 3, token=laptop.token, device_id=f"other-{number % 2}")
        own = other.named("session:opened")[0]["session_id"]
        await laptop.until(lambda own=own: own in sessions())
        if number % 3:
            await other.sio.disconnect()
            await laptop.until(lambda own=own: own not in sessions())

    def shape(devices: list[dict]) -> dict:
        return {
            d["device_id"]: (d["device_name"], sorted(s["session_id"] for s in d["sessions"])) for d in devices
        }

    expected = {"laptop": 1, "other-0": 1, "other-1": 1}
    await laptop.until(lambda: {d["device_id"]: len(d["sessions"]) for d in listed(laptop)} == expected)
    assert shape(listed(laptop)) == shape((await laptop.call("device:list", {}))["devices"])


async def test_session_ready_names_the_addresses_of_the_nodes(cluster, raw_client):
    client = await raw_client(1)
    assert sorted(client.named("session:opened")[0]["nodes"]) == cluster.urls


async def test_a_rename_shows_on_all_devices_and_outlives_what_the_device_calls_itself(raw_client):
    laptop = await raw_client(0, device_id="laptop", device_name="Chrome on Linux")
    phone = await raw_client(1, token=laptop.token, device_id="phone", device_name="Safari")
    ack = await laptop.call("device:rename", {"device_id": "phone", "device_name": '  Anns "Telefon"  '})
    assert ack == {"ok": True, "device_id": "phone", "device_name": 'Anns "Telefon"'}

    def name_on(client: RawClient) -> str:
        return next((d["device_name"] for d in listed(client) if d["device_id"] == "phone"), "")

    for client in (laptop, phone):
        await client.until(lambda client=client: name_on(client) == 'Anns "Telefon"')
    await phone.sio.disconnect()
    await laptop.until(lambda: online(laptop) == {"laptop"})
    back = await raw_client(2, token=laptop.token, device_id="phone", device_name="Safari")
    assert name_on(back) == 'Anns "Telefon"'
    # Nobody has named the laptop: it is called what it calls itself.
    await raw_client(2, token=laptop.token, device_id="laptop", device_name="Firefox")
    await laptop.until(lambda: {d["device_id"]: d["device_name"] for d in listed(laptop)}["laptop"] == "Firefox")


async def stopped_by(client: RawClient, conversation_id: str) -> dict:
    """Whom the log names when this client stops the agent."""
    for number in range(20):
        send = {
            "conversation_id": conversation_id,
            "request_id": f"c{uuid.uuid4().hex}",
            "text": f"hello {number}",
        }
        sent = await client.call("message:send", send)
        await client.call("run:stop", {"conversation_id": conversation_id})
        page = await client.call("history:read", {"conversation_id": conversation_id, "after": sent["seq"]})
        for entry in page["entries"]:
            if entry["type"] == "stopped":  # otherwise the agent was quicker
                return entry["data"]["by"]
    raise AssertionError("the agent is always quicker")


async def test_a_rename_on_another_node_reaches_what_the_live_session_writes(raw_client, new_id):
    laptop = await raw_client(0, device_id="laptop", device_name="Laptop")
    phone = await raw_client(1, token=laptop.token, device_id="phone", device_name="Phone")
    await phone.call("conversation:create", {"conversation_id": new_id, "access": "open"})
    assert (await stopped_by(phone, new_id))["device_name"] == "Phone"
    await laptop.call("device:rename", {"device_id": "phone", "device_name": "Pocket"})
    await phone.until(lambda: "Pocket" in {device["device_name"] for device in listed(phone)})
    by = await stopped_by(phone, new_id)
    assert (by["device_id"], by["device_name"]) == ("phone", "Pocket")


@pytest.mark.faults
async def test_a_rename_that_the_bus_lost_is_taken_over_when_it_is_back(start_cluster):
    cluster = await start_cluster(nodes=2)
    _, token = await guest_token(cluster.urls[0], "Ann")
    laptop, phone = RawClient(), RawClient()
    await laptop.connect(cluster.urls[0], {"token": token, "device_id": "laptop"})
    await phone.connect(cluster.urls[1], {"token": token, "device_id": "phone", "device_name": "Phone"})
    await phone.call("conversation:create", {"conversation_id": "plans", "access": "open"})
    async with Redis.from_url(cluster.redis_url) as redis:
        await redis.client_kill_filter(_type="pubsub")
    assert (await laptop.call("device:rename", {"device_id": "phone", "device_name": "Pocket"}))["ok"]
    async with within(10, "the new name"):
        while (await stopped_by(phone, "plans"))["device_name"] != "Pocket":
            pass
    # It is told again, as it is now; also to a session that follows no conversation.
    for client in (phone, laptop):
        await client.until(lambda: "Pocket" in {device["device_name"] for device in listed(client)})  # noqa: B023
    await laptop.sio.disconnect()
    await phone.sio.disconnect()


@pytest.mark.parametrize("name", ["", "   ", "x" * 61, 7, None])
async def test_an_empty_too_long_or_untyped_device_name_is_refused(raw_client, name):
    client = await raw_client(device_id="laptop", device_name="Laptop")
    ack = await client.call("device:rename", {"device_id": "laptop", "device_name": name})
    assert ack["error"]["code"] == "invalid_payload"
    assert listed(client)[0]["device_name"] == "Laptop"


@pytest.mark.parametrize("event", ["device:rename", "device:sign_out"])
async def test_another_users_device_is_as_unknown_as_one_that_does_not_exist(raw_client, event):
    ann = await raw_client(0, name="Ann", device_id="laptop", device_name="Laptop")
    eve = await raw_client(1, name="Eve", device_id="evil")
    rest = {"device_name": "Mine"} if event == "device:rename" else {}
    for device_id in ("laptop", "nothing"):
        ack = await eve.call(event, {"device_id": device_id, **rest})
        assert ack["error"]["code"] == "unknown_device"
    assert [d["device_id"] for d in (await eve.call("device:list", {}))["devices"]] == ["evil"]
    (device,) = (await ann.call("device:list", {}))["devices"]
    assert (device["device_name"], device["online"]) == ("Laptop", True)
    await ann.settled()
    assert not ann.named("session:ended")
    # Two users may have devices of the same id: each has its own.
    twin = await raw_client(1, token=eve.token, device_id="laptop", device_name="Eve's")
    await eve.call(event, {"device_id": "laptop", **rest})
    (device,) = (await ann.call("device:list", {}))["devices"]
    assert (device["device_name"], device["online"]) == ("Laptop", True)
    await ann.settled()
    assert not ann.named("session:ended")
    assert len(ann.named("devices:changed")) <= 1
    await twin.sio.disconnect()


async def test_only_so_many_devices_are_remembered_and_the_oldest_that_are_offline_go_first(raw_client):
    keeper = await raw_client(0, device_id="keeper")
    for number in range(MAX_DEVICES + 5):
        device_id = f"d-{number}"
        other = await raw_client(number % 3, token=keeper.token, device_id=device_id)
        # What keeper knows may be from before this device came: only one that was seen online can be seen to go.
        await keeper.until(lambda name=device_id: name in online(keeper))
        await other.sio.disconnect()
        await keeper.until(lambda: online(keeper) == {"keeper"})
    kept = [device["device_id"] for device in (await keeper.call("device:list", {}))["devices"]]
    newest = [f"d-{number}" for number in range(MAX_DEVICES + 4, 5, -1)]
    assert kept == ["keeper", *newest]
    assert (await keeper.call("device:rename", {"device_id": "d-0", "device_name": "x"}))["error"]["code"] == (
        "unknown_device"
    )


async def test_of_a_device_with_very_many_sessions_the_newest_are_listed_and_all_are_signed_out(raw_client):
    keeper = await raw_client(0, device_id="keeper")
    count = MAX_DEVICE_SESSIONS + 3
    tabs = [await raw_client(n % 3, token=keeper.token, device_id="tabs") for n in range(count)]
    devices = {d["device_id"]: d for d in (await keeper.call("device:list", {}))["devices"]}
    assert len(devices["tabs"]["sessions"]) == MAX_DEVICE_SESSIONS
    assert (await keeper.call("device:sign_out", {"device_id": "tabs"}))["sessions"] == count
    for tab in tabs:
        await tab.until(lambda tab=tab: tab.named("session:ended"))


async def test_devices_are_forgotten_long_after_the_last_session_and_not_while_one_lives(
    raw_client, redis, new_id
):
    client, bob = await raw_client(0, device_id="laptop"), await raw_client(1, name="Bob")
    await client.call("conversation:create", {"conversation_id": new_id, "access": "open", "agent": "off"})
    await bob.call("conversation:join", {"conversation_id": new_id})
    key = user_devices(client.user_id)
    assert await redis.pttl(key) == -1
    await client.sio.disconnect()
    await bob.until(lambda: bob.named("presence:changed"))
    assert 0 < await redis.pttl(key) <= DEVICES_KEPT_MS
    await raw_client(1, token=client.token, device_id="laptop")
    assert await redis.pttl(key) == -1


@pytest.mark.faults
async def test_sessions_of_a_dead_node_leave_the_list_and_the_device_stays(start_cluster):
    cluster = await start_cluster(nodes=2)
    _, token = await guest_token(cluster.urls[0], "Ann")
    laptop = ChatClient(cluster.urls[0], token, device_id="laptop", device_name="Laptop")
    phone = ChatClient(cluster.urls[1], token, device_id="phone", device_name="Phone")
    async with laptop, phone:
        assert [(d.device_id, d.online) for d in sorted(await laptop.devices(), key=lambda d: d.device_id)] == [
            ("laptop", True),
            ("phone", True),
        ]
        updates: Inbox[dict[str, Any]] = Inbox()
        laptop.on("devices:changed", updates)
        await cluster.signal_node(cluster.ports[1], signal.SIGKILL)
        await updates.first(
            lambda update: not {d["device_id"]: d["online"] for d in update["devices"]}["phone"],
            "the phone's going",
            15,
        )
        first, second = await laptop.devices()
        assert (first.device_id, [session.node for session in first.sessions]) == (
            "laptop",
            [str(cluster.ports[0])],
        )
        assert second == Device("phone", "Phone", False, (), second.last_seen)
        # It can be renamed and signed out while it is away, like any other.
        await laptop.rename_device("phone", "Old phone")
        assert [d.device_name for d in await laptop.devices()] == ["Laptop", "Old phone"]
        assert await laptop.sign_out_device("phone") == 0
        assert [d.device_id for d in await laptop.devices()] == ["laptop"]
        with pytest.raises(Refused) as refused:
            await laptop.rename_device("phone", "x")
        assert refused.value.code == "unknown_device"
