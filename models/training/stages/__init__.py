"""What is trained: a file a stage, each with its settings, and one contract (``stage.py``)."""
