"""Redis: connections, keys, the clock, and the atomic scripts."""
