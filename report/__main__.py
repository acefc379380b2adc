"""``python -m splitwire.report``: see ``splitwire.report.cli``."""

from splitwire.report.entry import main

if __name__ == "__main__":
    main()
