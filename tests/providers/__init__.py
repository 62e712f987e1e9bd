"""Model servers for tests: they speak the protocols of OpenAI and Anthropic, and refuse what these refuse."""
