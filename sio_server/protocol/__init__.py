"""The contract: events, errors, positions and the state machines, with no I/O and no clock inside."""
