"""The edge: sockets, tokens, sessions and the fan-out of what the log says."""
