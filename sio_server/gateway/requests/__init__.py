"""What a client may ask: one handler for each event."""
