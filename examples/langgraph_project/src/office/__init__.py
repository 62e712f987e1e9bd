"""Two agents for an office."""
