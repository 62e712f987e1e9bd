"""The Roomgraph server: conversations in Socket.IO rooms, in step on every device and any node."""
