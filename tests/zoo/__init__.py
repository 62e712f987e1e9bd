"""A graph of each kind that people build, one file a kind; `langgraph.json` serves them all, unchanged."""
