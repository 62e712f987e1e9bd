"""The cluster: its nodes and what it is doing, its own Redis, and a cluster on this machine."""
