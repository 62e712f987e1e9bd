"""From the bus to the rooms of a node, in the order of the log."""
