"""``split-report``: see ``report.cli``."""

from shared.command import run_module


def main() -> None:
    """Run the command."""
    run_module("report.cli", extra="train")
