"""Stage ``teacher``: the network whose soft labels other stages learn from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from pydantic import Field
from torch import nn
from torch.optim import Optimizer

from splitwire.models.teacher import Teacher
from splitwire.models.training.data.augmentation import AugmentedBatches
from splitwire.models.training.data.batches import Batches, Parts, sample
from splitwire.models.training.settings import StageSettings, Widths
from splitwire.models.training.stages.classification import CrossEntropy
from splitwire.models.training.stages.stage import Earlier, InputSizes, Stage

if TYPE_CHECKING:
    from splitwire.models.training.run import Run

_WHITENING_PICTURES = 5000
_MOMENTUM = 0.85
_BIAS_RATE = 64


class TeacherSettings(StageSettings):
    """The teacher of soft labels: cross-entropy, Nesterov's momentum; biases of norms at 64 times the rate.

    ``widths``: channels of its three groups. ``shift``: as in ``ConvolutionSettings``.
    """

    widths: Widths = (64, 256, 256)
    epochs: int = Field(default=16, gt=0)
    batch: int = Field(default=1024, gt=0)
    rate: float = Field(default=1.5, gt=0)
    weight_decay: float = Field(default=0.00133, ge=0)
    label_smoothing: float = Field(default=0.2, ge=0, lt=1)
    shift: int = Field(default=2, ge=0)


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
        device = run.compute.device
        return Parts(
            training=AugmentedBatches(
                run.pictures.training, device, mirrored=True, shift=self.settings.shift
            ),
            held_out=AugmentedBatches(run.pictures.held_out, device, mirrored=False, shift=0),
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
        side = training.image(0).width
        return InputSizes(shape=(3, side, side), count=len(training))
