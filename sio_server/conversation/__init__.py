"""The truth: logs, members, marks and run records in Redis, changed only by the scripts of this package."""
