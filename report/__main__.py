"""``python -m report``: see ``report.cli``."""

from report.command import main

if __name__ == "__main__":
    main()
