"""``edge-client``: see ``splitwire.edge.commands.cli``."""

from splitwire.shared.command import run_module


def main() -> None:
    """Run the command."""
    run_module("splitwire.edge.commands.cli")


if __name__ == "__main__":
    main()
