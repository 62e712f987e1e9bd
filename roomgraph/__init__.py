"""The `roomgraph` program: command line, tour, load and history checker."""
