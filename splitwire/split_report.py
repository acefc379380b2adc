"""``split-report``: see ``splitwire.report.cli``. Wheels have this too, to say where the report's code is."""

from splitwire.shared.command import run_module


def main() -> None:
    """Run the command."""
    run_module("splitwire.report.cli", extra="train")


if __name__ == "__main__":
    main()
