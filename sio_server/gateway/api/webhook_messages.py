"""What an endpoint is sent: messages and signatures as Standard Webhooks has them, and when one is tried again.

No I/O and no clock (https://www.standardwebhooks.com).
"""

from __future__ import annotations

import base64
import hmac
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sio_server.protocol.events import EntryType
from sio_server.protocol.webhook_type import WebhookType

SECRET_PREFIX = "whsec_"
FIRST_DELAY_S = 1.0
MAX_DELAY_S = 300.0
GONE = 410  # the endpoint wants no more


_TYPES: dict[str, WebhookType] = {
    EntryType.ANSWER: WebhookType.RUN_ENDED,
    EntryType.STOPPED: WebhookType.RUN_ENDED,
    EntryType.FAILED: WebhookType.RUN_ENDED,
    EntryType.INTERRUPT: WebhookType.QUESTION_ASKED,
    "conversation_deleted": WebhookType.CONVERSATION_DELETED,  # in the form of an entry, which no log has
}


def type_of(entry_type: str) -> WebhookType:
    """The type of the message for an entry: a final one ends a run, or asks."""
    return _TYPES.get(entry_type, WebhookType.ENTRY_APPENDED)


@dataclass(frozen=True)
class Endpoint:
    """An address that is told, the secrets that sign (one, or both while one is replaced), and what it wants."""

    name: str
    url: str
    secrets: Sequence[bytes]
    types: frozenset[WebhookType]


def parse_endpoints(listed: Iterable[str], secrets: Iterable[str]) -> list[Endpoint]:
    """The endpoints of the settings: `name=url` or `name=url#type+type`, and `name=whsec_...` for each secret."""
    keys: dict[str, list[bytes]] = {}
    for item in secrets:
        name, _, secret = item.partition("=")
        keys.setdefault(name, []).append(base64.b64decode(secret.removeprefix(SECRET_PREFIX)))
    found = []
    for item in listed:
        name, _, address = item.partition("=")
        url, _, types = address.partition("#")
        wanted = frozenset(map(WebhookType, types.split("+"))) if types else frozenset(WebhookType)
        found.append(Endpoint(name, url, keys[name], wanted))
    return found


@dataclass(frozen=True)
class Message:
    """One message; the same id and body each time that it is tried."""

    id: str
    body: bytes

    def headers(self, secrets: Sequence[bytes], now_s: int) -> dict[str, str]:
        """The headers of an attempt at this time."""
        signed = f"{self.id}.{now_s}.".encode() + self.body
        signatures = [base64.b64encode(hmac.digest(secret, signed, "sha256")).decode() for secret in secrets]
        return {
            "Content-Type": "application/json",
            "webhook-id": self.id,
            "webhook-timestamp": str(now_s),
            "webhook-signature": " ".join(f"v1,{signature}" for signature in signatures),
        }


def message_of(conversation_id: str, entry_type: str, epoch: str, seq: int, ts: str, envelope: str) -> Message:
    """The message for an entry: `{type, timestamp, data}`, with the entry as the data."""
    body = f'{{"type":"{type_of(entry_type)}","timestamp":"{ts}","data":{envelope}}}'
    return Message(f"{conversation_id}.{epoch}.{seq}", body.encode())


def delay_s(failures: int) -> float:
    """How long after so many failures it is tried again: 1, 2, 4, ... seconds, 5 minutes at most."""
    return float(min(FIRST_DELAY_S * 2 ** min(failures - 1, 20), MAX_DELAY_S))
