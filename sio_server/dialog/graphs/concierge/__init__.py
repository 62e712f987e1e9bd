"""The concierge: a graph that books a meeting room in a dialog, and interrupts for an approval before it does."""

from sio_server.dialog.graphs.concierge.graph import builder

__all__ = ["builder"]
