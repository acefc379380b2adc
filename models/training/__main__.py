"""``python -m splitwire.models.training``: see ``splitwire.models.training.commands``."""

from splitwire.shared.command import run_module

if __name__ == "__main__":
    run_module("splitwire.models.training.commands", extra="train")
