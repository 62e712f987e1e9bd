"""Why a node has ended a connection, for its log, its metrics and the client's next session."""

from __future__ import annotations

from enum import StrEnum


class DropReason(StrEnum):
    """Why the node has ended a connection."""

    TOO_FAR_BEHIND = "too_far_behind"  # more waits for the client than is kept for one
    NOT_READING = "not_reading"  # something waits for the client, and it reads next to nothing
    NO_CONNECT = "no_connect"  # the connection has no session, and the client does not ask for one
    FLOODING = "flooding"  # the client sends more frames or bytes than any client needs
