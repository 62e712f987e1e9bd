"""The doctor: what of a server's surroundings is not as it should be, and what to change."""
