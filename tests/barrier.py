"""A barrier on the bus, so that absence is proved by a marker that came later, not by a pause."""

from __future__ import annotations

from sio_clients import ChatClient
from tests.waiting import first_of


async def settled(client: ChatClient) -> None:
    """Wait until all that was published before has come: a message of its own, sent now, came over the bus.

    A node delivers in the order of the bus. What the client has not got by then does not come.
    """
    marker = await client.create(agent="off")
    ack = await marker.send("marker")
    await first_of(marker.entries(), lambda entry: entry.seq == ack.seq, "the marker")
