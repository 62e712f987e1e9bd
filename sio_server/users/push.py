"""Where notifications of a user's devices go: the subscriptions of their browsers."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sio_server.store.json_text import to_json
from sio_server.store.keys import user_keys
from sio_server.store.scripts import Request
from sio_server.users.user_steps import UserSteps, check_session


@dataclass(frozen=True)
class Subscription:
    """One device that is sent notifications. `name`: the user's, by which others mention them."""

    user_id: str
    device_id: str
    endpoint: str
    p256dh: str
    auth: str
    name: str


@dataclass(frozen=True)
class Reachable:
    """The subscriptions of a user, who is online or not."""

    online: bool
    subscriptions: Sequence[Subscription]


class PushSubscriptions(UserSteps):
    """The subscriptions of all users, one of a device, as long as the device is signed in."""

    async def subscribe(
        self,
        session_id: str,
        user_id: str,
        device_id: str,
        subscription: Mapping[str, Any] | None,
        request: Request | None = None,
    ) -> None:
        """Send a device notifications from now on, or no more (None)."""
        check_session(
            await self._scripts.user(
                "subscribe_push",
                user_id,
                request or Request.unrepeated(user_id),
                session_id=session_id,
                device_id=device_id,
                endpoint=subscription["endpoint"] if subscription else "",
                subscription=to_json(dict(subscription)) if subscription else "",
            )
        )

    async def read(self, user_ids: Sequence[str]) -> dict[str, Reachable]:
        """The users who have subscriptions; without those whose shard is away."""
        replies = await self._scripts.some("read_push", [(user_keys(user_id), {}) for user_id in user_ids])
        found = {}
        for user_id, reply in zip(user_ids, replies, strict=True):
            if reply is None or not reply["subscriptions"]:
                continue
            flat = [str(value) for value in reply["subscriptions"]]
            subscriptions = [
                Subscription(user_id, device_id, **json.loads(told))
                for device_id, told in zip(flat[::2], flat[1::2], strict=True)
            ]
            found[user_id] = Reachable(str(reply["online"]) == "1", subscriptions)
        return found

    async def forget(self, subscription: Subscription) -> None:
        """Its endpoint is gone."""
        await self._scripts.user(
            "forget_push", subscription.user_id, device_id=subscription.device_id, endpoint=subscription.endpoint
        )
