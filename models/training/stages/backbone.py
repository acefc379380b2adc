"""Stages ``backbone`` and ``finetune``: VGG16's convolutions and the classifier, by cross-entropy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional

from splitwire.models.training.data.augmentation import Enlarge, Frozen
from splitwire.models.training.data.sources import outputs
from splitwire.models.training.fitting.log import Validation
from splitwire.models.training.fitting.loop import Fitted, Job, Training, fit
from splitwire.models.training.fitting.weights import initial_convolutions
from splitwire.models.vgg16 import Classifier, convolutions, split_blocks

if TYPE_CHECKING:
    from pathlib import Path

    from splitwire.models.training.data.sources import Inputs, Source
    from splitwire.models.training.fitting.device import Compute
    from splitwire.models.training.settings import BackboneSettings, ConvolutionSettings
    from splitwire.shared.pictures.loading import Preparation


@dataclass(frozen=True, kw_only=True)
class Backbone:
    """All 13 convolutions, under VGG16's numbering, and the classifier."""

    convolutions: nn.Sequential
    classifier: Classifier


def build_backbone(
    settings: BackboneSettings, classes: int, seed: int, initial_weights: str | Path | None = None
) -> Backbone:
    """Build pre-trained convolutions, or random ones, and a fresh classifier."""
    torch.manual_seed(seed)
    return Backbone(
        convolutions=initial_convolutions(initial_weights) if initial_weights else convolutions(),
        classifier=Classifier(classes, settings.hidden, settings.dropout),
    )


def train_backbone(
    backbone: Backbone,
    inputs: Inputs,
    settings: ConvolutionSettings,
    loss: CrossEntropy,
    preparation: Preparation,
    job: Job,
) -> Fitted:
    """Train what is not frozen; the networks in ``backbone`` are changed in place.

    ``inputs``: to train on, the output of frozen blocks, or pixels where they are augmented; to
    measure on, always the former.
    """
    network, measured = stage_networks(backbone, settings, preparation)
    frozen, trained = split_blocks(backbone.convolutions, settings.frozen_blocks)
    frozen.requires_grad_(requires_grad=False)
    groups = [
        {"params": list(trained.parameters()), "lr": settings.convolution_rate},
        {"params": list(backbone.classifier.parameters()), "lr": settings.classifier_rate},
    ]
    optimizer_class = torch.optim.AdamW if settings.weight_decay else torch.optim.Adam
    return fit(
        Training(
            job=job,
            network=network,
            optimizer=optimizer_class(
                [group for group in groups if group["params"]], weight_decay=settings.weight_decay
            ),
            source=inputs.training,
            loss=loss,
            validate=lambda _: validate_classification(measured, inputs.held_out, job.compute),
            settings=settings,
        )
    )


def stage_networks(
    backbone: Backbone, settings: ConvolutionSettings, preparation: Preparation
) -> tuple[nn.Sequential, nn.Sequential]:
    """Build the network that a stage trains, and the part of it that follows the frozen blocks."""
    frozen, trained = split_blocks(backbone.convolutions, settings.frozen_blocks)
    following = nn.Sequential(trained, backbone.classifier)
    if not settings.augmented:
        return following, following
    return nn.Sequential(Enlarge(preparation), Frozen(frozen), following), following


def cross_entropy(settings: ConvolutionSettings, teacher: nn.Module | None) -> CrossEntropy:
    """Build the loss of a stage."""
    return CrossEntropy(
        label_smoothing=settings.label_smoothing, teacher=teacher, soft_labels=settings.soft_labels
    )


class CrossEntropy(nn.Module):
    """Cross-entropy with the class, smoothed, and with a teacher's probabilities.

    ``soft_labels``: the teacher's share, 0 to 1. It sees the same pixels as the network, and their mirror
    image.
    """

    def __init__(
        self, *, label_smoothing: float = 0.0, teacher: nn.Module | None = None, soft_labels: float = 0.0
    ) -> None:
        super().__init__()
        self._label_smoothing = label_smoothing
        self._soft_labels = soft_labels
        self.teacher = teacher.eval().requires_grad_(requires_grad=False) if teacher else None

    def forward(self, network: nn.Module, inputs: Tensor, labels: Tensor) -> Tensor:
        """Compute the loss of one batch."""
        logits = network(inputs).float()
        loss = functional.cross_entropy(logits, labels, label_smoothing=self._label_smoothing)
        if self.teacher is None:
            return loss
        seen = self.teacher(torch.cat([inputs, inputs.flip(3)])).float()
        probabilities = seen.view(2, *logits.shape).mean(0).softmax(1)
        taught = functional.cross_entropy(logits, probabilities)
        return (1 - self._soft_labels) * loss + self._soft_labels * taught


def validate_classification(network: nn.Module, source: Source, compute: Compute) -> Validation:
    """Cross-entropy and accuracy over a whole source."""
    labels = torch.from_numpy(source.labels)
    logits = torch.cat(list(outputs(network, source, compute)))
    return Validation(
        loss=float(functional.cross_entropy(logits, labels)),
        accuracy=float((logits.argmax(1) == labels).float().mean()),
    )
