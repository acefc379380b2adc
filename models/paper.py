"""Figures of the paper that Splitwire reproduces.

Go, Kwon, Kim: "Compression method of feature based on CNN image classification network using
Autoencoder" (Kyung Hee University, 2020), table 1: VGG16 on 2,500 test pictures of CIFAR-10.
"""

from __future__ import annotations

ACCURACY = {
    "airplane": (87, 87),
    "automobile": (95, 96),
    "bird": (75, 69),
    "cat": (60, 55),
    "deer": (78, 75),
    "dog": (75, 79),
    "frog": (91, 91),
    "horse": (87, 82),
    "ship": (89, 82),
    "truck": (87, 82),
}
"""By class, %: without and with the convolutional autoencoder."""

AVERAGE_ACCURACY = (82.4, 79.8)
"""The same over all classes."""
