"""The trace of a node, for the stage: contract, recording, feed."""
