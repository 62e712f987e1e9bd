"""A user's devices: what they are called, which are online, and when they were last seen."""

from __future__ import annotations

import json
from typing import Any

from sio_server.store.scripts import Request
from sio_server.users.user_steps import UserSteps, check_session


class Devices(UserSteps):
    """The devices of all users."""

    async def listed(self, user_id: str) -> list[dict[str, Any]]:
        """The user's devices, those online first: `{device_id, device_name, online, sessions, last_seen}`."""
        devices: list[dict[str, Any]] = json.loads(await self.listed_json(user_id))
        return devices

    async def listed_json(self, user_id: str) -> str:
        """The same as JSON."""
        return str((await self._scripts.user("list_devices", user_id))["devices"])

    async def rename(
        self, session_id: str, user_id: str, device_id: str, name: str, request: Request | None = None
    ) -> None:
        """Call a device of the user otherwise. Raises Refused with `unknown_device`."""
        check_session(
            await self._scripts.user(
                "rename_device",
                user_id,
                request or Request.unrepeated(user_id),
                session_id=session_id,
                device_id=device_id,
                device_name=name,
            )
        )
