"""The assistant: a graph around any chat model, with a tool that reads and one that asks before it acts."""

from sio_server.dialog.graphs.assistant.graph import builder
from sio_server.dialog.graphs.assistant.model import NoModel, chat_model

__all__ = ["NoModel", "builder", "chat_model"]
