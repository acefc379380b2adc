"""``edge-client``: options, commands and what they print."""
