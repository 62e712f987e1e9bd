"""The atomic steps of the checkpointer: one Lua file each, run by name from `plain_saver.py`."""
