"""The token of a client, and where it gets another one."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from sio_clients.errors import ErrorCode, Refused, RoomgraphError, SessionEnded

TokenProvider = Callable[[], str | Awaitable[str]]


class Token:
    """A token, or the latest one of a provider, which is asked again when that one has expired."""

    def __init__(self, given: str | TokenProvider) -> None:
        self._provider = None if isinstance(given, str) else given
        self._token = given if isinstance(given, str) else ""
        self._was_good = False

    async def current(self) -> str:
        """The token to connect with. Raises what the provider says, as RoomgraphError."""
        if self._provider is not None and not self._token:
            try:
                token = self._provider()
                self._token = token if isinstance(token, str) else await token
            except RoomgraphError:
                raise
            except Exception as exc:
                raise Refused(ErrorCode.TOKEN_MISSING, f"there is no new token: {exc!r}") from exc
            self._was_good = False
        return self._token

    def accepted(self) -> None:
        """A node has accepted the token."""
        self._was_good = True

    def renews(self, why: RoomgraphError) -> bool:
        """Whether to ask the provider again, after `why` ended the client: if an accepted token has expired."""
        said = why.reason if isinstance(why, SessionEnded) else why.code
        if self._provider is None or not self._was_good or said != ErrorCode.TOKEN_EXPIRED:
            return False
        self._token = ""
        return True
