"""Stage ``teacher``: a small network on the pictures' own 32 x 32 pixels, whose soft labels other stages learn from.

It never leaves the training: its soft labels say more of a picture than the class alone. Its parts
are those published for fast training on CIFAR-10: a fixed whitening convolution, three groups of
two 3x3 convolutions that begin as the identity, normalisation without a scale, GELU (Keller Jordan:
94 % on CIFAR-10 in 3.29 Seconds on a Single GPU, 2024).

    3x32x32 ─whitening─> 24x31x31 ─group 1─> 15x15 ─2─> 7x7 ─3─> 3x3 ─pooling, linear─> logits
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.optim import Optimizer

from splitwire.models.training.data.batches import AugmentedBatches, Batches, Parts, augmented_side, sample
from splitwire.models.training.stages.stage import (
    CrossEntropy,
    Earlier,
    InputSizes,
    Stage,
    StageSettings,
    Widths,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from splitwire.models.training.run import Run

_PATCH = 2
_WHITENED = 2 * 3 * _PATCH * _PATCH
_LOGIT_SCALE = 1 / 9
_NORM_MOMENTUM = 0.4
_WHITENING_PICTURES = 5000
_MOMENTUM = 0.85
_BIAS_RATE = 64


class Teacher(nn.Module):
    """[N, 3, 32, 32], pixels in 0..255 -> logits [N, classes]; once trained, the mean of a picture's and its mirror image's."""

    def __init__(self, classes: int, widths: Sequence[int]) -> None:
        super().__init__()
        self.whitening = nn.Conv2d(3, _WHITENED, _PATCH).requires_grad_(requires_grad=False)
        groups = [_group(width, following) for width, following in pairwise((_WHITENED, *widths))]
        self.groups = nn.Sequential(nn.GELU(), *groups, nn.AdaptiveMaxPool2d(1), nn.Flatten())
        self.linear = nn.Linear(widths[-1], classes, bias=False)

    def whiten(self, pixels: Tensor, epsilon: float = 3e-5) -> None:
        """Make the first convolution's outputs uncorrelated, each and its negative, on these pixels."""
        with torch.no_grad():
            values = pixels.float() / 255
            patches = nn.functional.unfold(values, _PATCH).transpose(1, 2).flatten(0, 1)
            mean = patches.mean(0)
            variances, directions = torch.linalg.eigh((patches - mean).T @ (patches - mean) / len(patches))
            filters = (directions / (variances + epsilon).sqrt()).T
            filters = torch.cat([filters, -filters])
            self.whitening.weight.copy_(filters.view_as(self.whitening.weight) / 255)
            self.whitening.bias = nn.Parameter(-filters @ mean, requires_grad=False)

    def forward(self, pixels: Tensor) -> Tensor:
        """Pixels to logits."""
        if self.training:
            return self._logits(pixels)
        return (self._logits(pixels) + self._logits(pixels.flip(3))) / 2

    def _logits(self, pixels: Tensor) -> Tensor:
        logits: Tensor = _LOGIT_SCALE * self.linear(self.groups(self.whitening(pixels)))
        return logits


def _group(width: int, following: int) -> nn.Sequential:
    return nn.Sequential(
        _convolution(width, following),
        nn.MaxPool2d(2),
        _norm(following),
        nn.GELU(),
        _convolution(following, following),
        _norm(following),
        nn.GELU(),
    )


def _convolution(width: int, following: int) -> nn.Conv2d:
    """Build one whose first outputs are its inputs."""
    layer = nn.Conv2d(width, following, 3, padding=1, bias=False)
    nn.init.dirac_(layer.weight.data[:width])
    return layer


def _norm(width: int) -> nn.BatchNorm2d:
    layer = nn.BatchNorm2d(width, momentum=_NORM_MOMENTUM)
    layer.weight.requires_grad = False
    return layer


class TeacherSettings(StageSettings):
    """The teacher of soft labels: cross-entropy, Nesterov's momentum; biases of norms at 64 times the rate.

    ``widths``: channels of its three groups. ``shift``: as in ``NetworkSettings``.
    """

    widths: Widths = (64, 256, 256)
    epochs: int = Field(default=16, gt=0)
    batch: int = Field(default=1024, gt=0)
    rate: float = Field(default=1.5, gt=0)
    weight_decay: float = Field(default=0.00133, ge=0)
    label_smoothing: float = Field(default=0.2, ge=0, lt=1)
    shift: int = Field(default=2, ge=0, lt=32)


@dataclass(frozen=True, kw_only=True)
class TeacherStage(Stage[Teacher]):
    """Sees the pictures' own pixels, [N, 3, side, side], 0..255, mirrored and moved."""

    settings: TeacherSettings
    in_bundle: bool = False
    prefix = "teacher."
    what = (
        "a small network on the pictures' own pixels, mirrored and moved, by cross-entropy; it teaches only. SGD, "
        f"Nesterov's momentum {_MOMENTUM:g}, norms' biases at {_BIAS_RATE} times the rate"
    )

    def build(self, classes: int) -> Teacher:
        return Teacher(classes, self.settings.widths)

    def inputs(self, network: Teacher, run: Run, earlier: Earlier) -> Parts[Batches]:
        device, preparation = run.compute.device, run.settings.preparation
        return Parts(
            training=AugmentedBatches(
                run.pictures.training, preparation, device, mirrored=True, shift=self.settings.shift
            ),
            held_out=AugmentedBatches(run.pictures.held_out, preparation, device, mirrored=False, shift=0),
        )

    def calibrate(self, network: Teacher, inputs: Batches) -> None:
        network.whiten(sample(inputs, _WHITENING_PICTURES).cpu())

    def optimizer(self, network: Teacher) -> Optimizer:
        rate, decay = self.settings.rate, self.settings.weight_decay
        norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
        convolutions = [module for module in network.groups.modules() if isinstance(module, nn.Conv2d)]
        groups: list[dict[str, Any]] = [
            {"params": [layer.weight for layer in (*convolutions, network.linear)]},
            {
                "params": [norm.bias for norm in norms],
                "lr": _BIAS_RATE * rate,
                "weight_decay": decay / _BIAS_RATE,
            },
        ]
        return torch.optim.SGD(groups, lr=rate, momentum=_MOMENTUM, nesterov=True, weight_decay=decay)

    def loss(self, earlier: Earlier) -> nn.Module:
        return CrossEntropy(label_smoothing=self.settings.label_smoothing)

    def sizes(self, run: Run) -> InputSizes:
        training = run.pictures.training
        side = augmented_side(training, run.settings.preparation)
        return InputSizes(shape=(3, side, side), count=len(training))
