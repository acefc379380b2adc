"""The contract that both sides obey."""

__version__ = "0.1.0"
