"""The clients of Roomgraph: a person, a bot, the tour and the checker of what they received."""
