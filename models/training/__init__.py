"""The training of the networks: ``python -m splitwire.models.training``."""
