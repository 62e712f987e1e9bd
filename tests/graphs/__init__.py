"""Graphs that the tests serve: GRAPH=tests.graphs.steps:graph, with the repository as the current directory."""
