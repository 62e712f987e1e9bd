"""The concierge: a graph that books a meeting room in a dialog over several turns."""

from sio_server.dialog.graphs.concierge.graph import builder

__all__ = ["builder"]
