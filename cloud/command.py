"""``cloud-server``: see ``cloud.server``."""

from shared.command import run_module


def main() -> None:
    """Run the command."""
    run_module("cloud.server", extra="cloud")


if __name__ == "__main__":
    main()
