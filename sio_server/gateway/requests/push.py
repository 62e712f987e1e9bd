"""The request about notifications: a device subscribes, or ends that."""

from __future__ import annotations

from typing import Any

from sio_server.gateway.push.addresses import refusal
from sio_server.gateway.push.encryption import Sealer, WrongKey
from sio_server.gateway.requests.identity import identify
from sio_server.gateway.sessions.session import Session
from sio_server.protocol import events
from sio_server.protocol.errors import ErrorCode, Refused
from sio_server.users.push import PushSubscriptions


class PushRequests:
    """The handler of `push:subscribe`; it returns its ack."""

    def __init__(self, subscriptions: PushSubscriptions, sealer: Sealer | None, *, private: bool) -> None:
        """`sealer`: None where no notifications are sent. `private`: addresses of this network are allowed."""
        self._subscriptions = subscriptions
        self._sealer = sealer
        self._private = private

    async def subscribe(self, session: Session, request: events.PushSubscribe) -> dict[str, Any]:
        told = request.subscription
        subscription = None
        if told is not None:
            self._check(told)
            subscription = {
                "endpoint": told.endpoint,
                **{"p256dh": told.keys.p256dh, "auth": told.keys.auth},
                "name": session.name,
            }
        await self._subscriptions.subscribe(
            session.sid, session.user_id, session.device_id, subscription, identify(session, request)
        )
        return {"device_id": session.device_id, "subscribed": told is not None}

    def _check(self, told: events.PushSubscription) -> None:
        if self._sealer is None:
            raise Refused(
                ErrorCode.NOT_SUPPORTED, "this server sends no notifications: VAPID_PRIVATE_KEY is not set"
            )
        if problem := refusal(told.endpoint, private=self._private):
            raise Refused(ErrorCode.INVALID_PAYLOAD, f"subscription.endpoint: {problem}")
        try:
            self._sealer.check_keys(told.keys.p256dh, told.keys.auth)
        except WrongKey as exc:
            raise Refused(ErrorCode.INVALID_PAYLOAD, f"subscription.keys: {exc}") from None
