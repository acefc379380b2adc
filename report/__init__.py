"""The report: both halves measured across a link, and written down."""
