"""The dialog: what the agent says and how its graphs are run."""
