"""A cluster on this machine: the bundled Redis, nodes, the controller, the fault proxy."""
