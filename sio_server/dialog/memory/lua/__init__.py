"""The atomic steps of the store: one Lua file each, run by name from `store.py`."""
