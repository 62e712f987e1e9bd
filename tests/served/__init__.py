"""Graphs that tests serve by `langgraph.json`, and devices that follow what they do."""
