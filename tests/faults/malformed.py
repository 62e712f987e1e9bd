"""Frames that no client of ours would send, by chance from a seed: mutated, truncated, oversized, nonsense."""

from __future__ import annotations

import json
import os
import random
import struct
from typing import Any

from sio_server.protocol.events import REQUESTS
from tests.faults.raw_websocket import BINARY, CLOSE, PING, PONG, TEXT, frame, upgrade_request

VALID: dict[str, dict[str, Any]] = {
    "conversation:create": {
        "request_id": "c",
        "conversation_id": "m",
        "title": "t",
        "access": "open",
        "agent": "off",
    },
    "conversation:join": {"request_id": "c", "conversation_id": "m", "position": {"epoch": "e", "seq": 1}},
    "history:read": {"conversation_id": "m", "after": 1, "limit": 5},
    "list:set": {"request_id": "c", "conversation_id": "m", "pinned": True, "archived": False},
    "message:search": {"query": "hello", "conversation_id": "m", "limit": 5},
    "entry:read": {"conversation_id": "m", "seq": 1, "page": 0},
    "message:send": {"conversation_id": "m", "request_id": "c", "text": "hello"},
    "message:delete": {"conversation_id": "m", "request_id": "c", "seq": 3},
    "conversation:rename": {"conversation_id": "m", "request_id": "c", "title": "T"},
    "conversation:configure": {"conversation_id": "m", "request_id": "c", "agent": "off", "access": "open"},
    "conversation:delete": {"conversation_id": "none", "request_id": "c"},
    "message:edit": {"conversation_id": "m", "request_id": "c", "seq": 3, "text": "hello"},
    "marks:set": {"marks": {"m": {"read": 3, "delivered": 3}}},
    "draft:save": {"request_id": "c", "conversation_id": "m", "text": "x"},
    "typing:set": {"conversation_id": "m", "typing": True},
    "session:sync": {"positions": {"m": {"epoch": "e", "seq": 1}}},
    "device:rename": {"request_id": "c", "device_id": "d", "device_name": "n"},
    "device:unlink": {"request_id": "c", "code": "ann.AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"},
    "interrupt:respond": {"request_id": "c", "conversation_id": "m", "interrupt_id": "i", "value": "approve"},
}
EVENTS = [*REQUESTS, "connect", "disconnect", "__init__", "", "*", "message", "你好", "x" * 3000]


class Chance:
    """The same frames for the same seed."""

    def __init__(self, seed: str) -> None:
        self._random = random.Random(seed)

    def bearable(self) -> bytes:
        """A frame that may be wrong in every way that ends no connection."""
        pick = self._random.choice
        return pick((self._event, self._event, self._event, self._mutated_event, self._ack, self._control))()

    def fatal(self) -> bytes:
        """A frame, or what is none, that most likely ends the connection."""
        kinds = (self._nonsense, self._flipped, self._protocol, self._binary, self._packet, self._truncated)
        return self._random.choice(kinds)()

    def request(self, port: int) -> bytes:
        """A request that opens no websocket."""
        good = upgrade_request(port)
        kind = self._random.randrange(6)
        if kind == 0:
            return self._random.randbytes(self._random.randrange(1, 2000))
        if kind == 1:
            return good.replace(b"websocket", b"polling", self._random.randrange(1, 3))
        if kind == 2:
            return good.replace(
                b"\r\n\r\n", b"\r\nX-A: " + b"a" * self._random.randrange(10, 20_000) + b"\r\n\r\n"
            )
        if kind == 3:
            return self._flip(good) + b"\r\n\r\n"
        if kind == 4:
            return good.replace(
                b"EIO=4", self._random.choice((b"EIO=3", b"EIO=4&sid=nobody", b"EIO=4&j=x", b"%00"))
            )
        return b"POST /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc"

    # Events

    def _event(self) -> bytes:
        name = self._random.choice(EVENTS)
        payload = self._worse(dict(VALID.get(name, {"a": 1}))) if self._random.random() < 0.8 else self._value(0)
        arguments = [name, payload, *[self._value(2) for _ in range(self._random.randrange(3) == 2)]]
        head = self._random.choice(("42", "42", "42", "42/,", "42/other,"))
        number = self._random.choice(("", "0", "7", "999999999999999", str(self._random.randrange(10**9))))
        text = head + number + json.dumps(arguments, ensure_ascii=self._random.random() < 0.5)
        return frame(text.encode(errors="replace"))

    def _mutated_event(self) -> bytes:
        """Valid JSON whose text was cut into elsewhere: within a string, so that it stays JSON."""
        name = self._random.choice(list(VALID))
        text = "".join(chr(self._random.randrange(32, 0x2FFF)) for _ in range(self._random.randrange(1, 60)))
        payload = {**VALID[name], self._random.choice(list(VALID[name])): text}
        return frame(f"4212{json.dumps([name, payload])}".encode())

    def _ack(self) -> bytes:
        number = self._random.choice(("0", "1", "99999", "123456789012345"))
        return frame(f"43{number}{json.dumps([self._value(1)])}".encode())

    def _control(self) -> bytes:
        kind = self._random.randrange(5)
        if kind == 0:
            return frame(self._random.randbytes(self._random.randrange(126)), PING)
        if kind == 1:
            return frame(self._random.randbytes(self._random.randrange(126)), PONG)
        if kind == 2:  # one text in many pieces, with a ping between
            text = b'425["conversation:list",{}]'
            cut = self._random.randrange(1, len(text))
            return frame(text[:cut], TEXT, final=False) + frame(b"", PING) + frame(text[cut:], 0)
        return frame(self._random.choice((b"3", b"3probe", b"2", b"2probe", b"3" + b"x" * 5000)))

    def _worse(self, payload: dict[str, Any]) -> dict[str, Any]:
        for _ in range(self._random.randrange(1, 3)):
            key = self._random.choice([*payload, "extra", ""])
            if self._random.random() < 0.3:
                payload.pop(key, None)
            else:
                payload[key] = self._value(0)
        return payload

    def _value(self, depth: int) -> Any:
        kind = self._random.randrange(14 if depth < 4 else 9)
        simple: list[Any] = [None, True, -1, 2**53, 10**400, float("nan"), 1.5, "", "\ud800"]
        if kind < len(simple):
            return simple[kind]
        if kind == 9:
            return self._random.choice(("m", "../m", "{m}", "\0", "​", "agent:echo", "*" * 70))
        if kind == 10:
            return "大" * self._random.choice((1, 100, 6_000, 12_000))
        if kind == 11:
            return [self._value(depth + 1) for _ in range(self._random.randrange(4))]
        if kind == 12:
            deep: Any = 1
            for _ in range(self._random.choice((5, 200))):
                deep = [deep] if self._random.random() < 0.5 else {"a": deep}
            return deep
        return {self._random.choice(("a", "lc", "__x", "_placeholder", "num")): self._value(depth + 1)}

    # What is no event

    def _nonsense(self) -> bytes:
        size = self._random.choice((0, 1, 2, 10, 500, 5000))
        kind = self._random.randrange(3)
        if kind == 0:
            return frame(self._random.randbytes(size))  # most of it is no UTF-8
        if kind == 1:
            return frame("".join(chr(self._random.randrange(1, 0xD7FF)) for _ in range(size)).encode())
        return self._random.randbytes(size + 1)

    def _packet(self) -> bytes:
        text = self._random.choice(
            (
                '451-["message:send",{"_placeholder":true,"num":0}]',
                "451000000000-[]",
                "45-[",
                '461-1[{"_placeholder":true,"num":9}]',
                "42" + "9" * self._random.choice((16, 101, 5000)) + "[]",
                "42[" * self._random.randrange(1, 9),
                "42" + "[" * self._random.choice((100, 30_000)),
                "4" + "{" * 1000,
                "431" + "[" * 5000 + "]" * 5000,
                '42["message:send",' + "9" * 10_000 + "]",
                "40{" + '"token":' * 50,
                '40/other,{"token":"x"}',
                "40[1,2",
                "41/other,",
                "44{}",
                "47",
                "0{}",
                "1",
                "5",
                "6",
                "b4AAAA",
                "٣",
                "4٢[]",
                "42٣[]",
            )
        )
        return frame(text.encode())

    def _binary(self) -> bytes:
        return frame(self._random.randbytes(self._random.choice((0, 1, 50, 70_000))), BINARY)

    def _flipped(self) -> bytes:
        return self._flip(self._event())

    def _flip(self, data: bytes) -> bytes:
        changed = bytearray(data)
        for _ in range(self._random.randrange(1, 5)):
            changed[self._random.randrange(len(changed))] ^= 1 << self._random.randrange(8)
        return bytes(changed)

    def _truncated(self) -> bytes:
        whole = self._event()
        return whole[: self._random.randrange(1, len(whole))]

    def _protocol(self) -> bytes:
        """What a websocket must not do."""
        kind = self._random.randrange(9)
        text = b'427["conversation:list",{}]'
        if kind == 0:
            return frame(text, masked=False)
        if kind == 1:
            return frame(text, reserved=self._random.randrange(1, 8))
        if kind == 2:
            return frame(b"", self._random.choice((3, 4, 5, 6, 7, 11, 15)))
        if kind == 3:
            return frame(b"x" * 126, PING)
        if kind == 4:
            return frame(b"x", PING, final=False)
        if kind == 5:
            return frame(text, 0)  # goes on with what was not begun
        if kind == 6:
            return frame(text, final=False) + frame(text, final=False)
        if kind == 7:
            return struct.pack("!BBQ", 0x81, 0xFF, 1 << self._random.choice((20, 40, 62, 63))) + b"\0" * 4
        return frame(self._random.choice((b"\0", b"\x03\xe7", b"\xff\xff", b"\x03\xe8\xff\xfe")), CLOSE)


def seed_of_environment() -> int:
    """The seed of this run: SEED, or always the same."""
    return int(os.environ.get("SEED", "20261123"))
