"""What the report measures on: clouds, shaped links, this machine."""
