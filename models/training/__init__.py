"""The training of the networks: ``python -m models.training``."""
