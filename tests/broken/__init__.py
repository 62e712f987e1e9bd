"""Nodes in which one guarantee is switched off, to prove that the checker would notice. For tests only."""
