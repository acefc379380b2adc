"""``python -m models.training``: see ``models.training.commands``."""

from shared.command import run_module

if __name__ == "__main__":
    run_module("models.training.commands", extra="train")
