"""The checkpoint savers that are offered."""
