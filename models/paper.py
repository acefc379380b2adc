"""Figures of the paper that Splitwire reproduces.

Go, Kwon, Kim: "Compression method of feature based on CNN image classification network using
Autoencoder" (Kyung Hee University, 2020), table 1: VGG16 on 2,500 test pictures of CIFAR-10.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from splitwire.models.networks import PAPERS
from splitwire.models.vgg16 import CUT

if TYPE_CHECKING:
    from collections.abc import Collection

    from splitwire.shared.bundle import NetworkSpec

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
_SIDE = 32


def has_its_pictures(classes: Collection[str], side: int | None) -> bool:
    """Tell whether pictures are CIFAR-10's: by their classes, and the side of all of them in pixels."""
    return set(classes) == ACCURACY.keys() and side == _SIDE


def has_its_network(network: NetworkSpec) -> bool:
    """Tell whether a network is the paper's, cut where the paper's is."""
    return (network.name, network.cut) == (PAPERS, CUT)
