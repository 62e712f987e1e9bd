"""The commands of `roomgraph`, one module a group.

Modules here import at their top only what options and help need. What a command runs is imported when the command
is called, inside it: `roomgraph --help` loads neither LangGraph nor the tour, and `roomgraph chat` no server.
"""
