"""What graphs remember beyond a conversation: LangGraph's store, in Redis."""

from sio_server.dialog.memory.store import RedisStore

__all__ = ["RedisStore"]
