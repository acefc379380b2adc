"""The networks, their training and their weights."""
