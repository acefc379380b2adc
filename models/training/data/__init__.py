"""What it is trained on: pictures, or cached features of frozen layers."""
