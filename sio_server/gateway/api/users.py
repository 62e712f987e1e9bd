"""Users: delete one with everything of theirs."""

from __future__ import annotations

from typing import Any

from sio_server.data.user_deletion import UserDeletion
from sio_server.gateway.api import answers, models
from sio_server.gateway.api.endpoints import Call, Endpoint


class UserEndpoints:
    """The handlers; each returns its answer."""

    def __init__(self, deletions: UserDeletion) -> None:
        self._deletions = deletions

    def endpoints(self) -> list[Endpoint]:
        user = "/users/{user_id}"
        return [
            Endpoint(
                *("DELETE", user, self.delete_user, answers.UserDeletionPending),
                takes=models.DeleteUserQuery,
                status=202,
            ),
            Endpoint("GET", user + "/deletion", self.read_deletion, answers.UserDeletionPending),
        ]

    async def delete_user(self, call: Call, query: models.DeleteUserQuery) -> dict[str, Any]:
        """Delete a user with everything of theirs, or put a pseudonym in their place; a node does it, soon."""
        user_id = str(call.path["user_id"])
        await self._deletions.begin(user_id, pseudonymise=query.pseudonymise)
        return {"user_id": user_id, "pending": True}

    async def read_deletion(self, call: Call, query: models.Nothing) -> dict[str, Any]:
        """Read whether a user is still being deleted."""
        user_id = str(call.path["user_id"])
        return {"user_id": user_id, "pending": await self._deletions.is_pending(user_id)}
