"""What is trained: a file a stage."""
