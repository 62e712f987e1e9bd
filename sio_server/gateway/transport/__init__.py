"""Websockets and HTTP connections: bounded queues, admission, time limits."""
