"""The server: frame to answer."""
