"""``cloud-server``: see ``splitwire.cloud.cli``."""

from splitwire.shared.command import run_module


def main() -> None:
    """Run the command."""
    run_module("splitwire.cloud.cli", extra="cloud")


if __name__ == "__main__":
    main()
