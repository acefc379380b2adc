"""``python -m splitwire.report``: see ``splitwire.report.cli``."""

from splitwire.split_report import main

if __name__ == "__main__":
    main()
