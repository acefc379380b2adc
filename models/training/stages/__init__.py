"""What is trained: stages, each with its settings, and what they have in common (``stage.py``)."""
