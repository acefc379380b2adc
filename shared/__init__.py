"""The contract that both sides obey."""
