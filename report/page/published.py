"""What others published, to set beside: their own measurements, on their own pictures and machines."""

from __future__ import annotations

from splitwire.models import paper
from splitwire.report.results import Published

_LATENT_ELEMENTS = 128 * 5 * 5
_CIFAR_PIXELS = 32 * 32
_GO = "Go, Kwon, Kim: Compression method of feature based on CNN image classification network using Autoencoder, 2020"
_CHAMAIN = (
    "Chamain, Qi, Ding: End-to-End Image Classification and Compression With Variational Autoencoders, IEEE Internet "
    "of Things Journal 9 (21), 2022, doi:10.1109/JIOT.2022.3182313; read off the figure in "
    "https://github.com/chamain/VAE-classifier (AE-V2)"
)
_SHAO = (
    "Shao, Zhang: BottleNet++: An End-to-End Approach for Feature Compression in Device-Edge Co-Inference Systems, "
    "2019, https://arxiv.org/abs/1910.14315"
)
_CHAMAIN_POINTS = ((0.825, 87.4), (1.454, 88.3), (1.882, 88.5))
"""Bits a pixel, and percent."""


def published() -> tuple[Published, ...]:
    """List the points; what could not be traced to its source is not among them."""
    without, with_autoencoder = paper.AVERAGE_ACCURACY
    return (
        Published(
            who="Go, Kwon, Kim",
            what="VGG16 with the CAE",
            body_bytes=4 * _LATENT_ELEMENTS,
            accuracy=with_autoencoder,
            note=f"CIFAR-10, 2,500 pictures; VGG16 alone {without:g} %. The bytes are ours: its 3,200 elements as float32.",
            source=_GO,
        ),
        *(
            Published(
                who="Chamain, Qi, Ding",
                what="VAE classifier",
                body_bytes=round(bits * _CIFAR_PIXELS / 8),
                accuracy=accuracy,
                note=f"CIFAR-10; {bits:g} bits a pixel of 32 x 32.",
                source=_CHAMAIN,
            )
            for bits, accuracy in _CHAMAIN_POINTS
        ),
        Published(
            who="Shao, Zhang",
            what="BottleNet++",
            body_bytes=None,
            accuracy=None,
            note="CIFAR-100, another task, and so not in the plot: up to 256 times fewer bits than the feature as it is, "
            "for under 2 % of accuracy.",
            source=_SHAO,
        ),
    )
