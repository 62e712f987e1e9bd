"""The sessions of a node: authentication, registry, limits, how they end."""
