"""The HTTP routes of a node."""
