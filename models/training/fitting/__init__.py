"""How it is trained: one loop, its checkpoints and its log."""
