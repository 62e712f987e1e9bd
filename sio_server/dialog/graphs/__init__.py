"""The graphs the agent can run, one package each."""
