"""``edge-client``: see ``edge.cli``."""

from shared.command import run_module


def main() -> None:
    """Run the command."""
    run_module("edge.cli")


if __name__ == "__main__":
    main()
