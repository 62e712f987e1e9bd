"""The partitions of conversations: which tag each has in keys, so that they spread evenly over a Redis Cluster.

The slot of partition i lies in the middle half of the i-th of 96 equal parts of the 16384 slots: with slots in
equal ranges 2, 3, 4, 6, 8, 12, 16, 24 and 32 primaries have exactly as many partitions each. Neither the number
nor a tag can be changed while there is data: `store/format.py` sees to that.
"""

from __future__ import annotations

import zlib

TABLE = 1  # the version of these tags
TAGS = (
    *("8z", "6i", "6m", "19", "7n", "15", "z", "4z", "au", "k", "o", "4o", "0v", "0r", "73", "0g"),
    *("1u", "0k", "2e", "2a", "2", "2t", "2p", "3b", "03", "6h", "6l", "18", "6y", "8f", "4s", "5m"),
    *("w", "j", "29", "4n", "0w", "0s", "1a", "0f", "0b", "1p", "2d", "7", "3", "2u", "2q", "3c"),
    *("00", "04", "7u", "6r", "13", "17", "4p", "31", "t", "i", "26", "e", "1n", "1j", "0x", "66"),
    *("0m", "0i", "fv", "8", "2k", "2v", "3h", "2z", "01", "05", "6n", "6s", "6w", "16", "4q", "q"),
    *("34", "23", "27", "d", "0u", "1k", "0y", "du", "0l", "0h", "45", "2n", "1", "3m", "3i", "gp"),
)
PARTITIONS = len(TAGS)


def partition(name: str) -> int:
    """The partition of a conversation, or of another name: the same on every node, in every version."""
    return zlib.crc32(name.encode()) % PARTITIONS


def tag(number: int) -> str:
    """With what the keys of a partition begin, such as `{rg:8z}`."""
    return f"{{rg:{TAGS[number]}}}"
