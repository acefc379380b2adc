"""Stage ``backbone``: VGG16's convolutions and the classifier, by cross-entropy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn import functional

from models.training.log import Validation
from models.training.loop import Fitted, Stage, fit
from models.training.sources import outputs
from models.training.weights import initial_convolutions
from models.vgg16 import Classifier, split_blocks

if TYPE_CHECKING:
    from pathlib import Path

    from models.training.device import Compute
    from models.training.settings import BackboneSettings
    from models.training.sources import Inputs, Source


@dataclass(frozen=True, kw_only=True)
class Backbone:
    """The first stage's networks: the frozen and the trained convolutions, and the classifier."""

    frozen: nn.Sequential
    trained: nn.Sequential
    classifier: Classifier

    def convolutions(self) -> nn.Sequential:
        """All 13 convolutions, under VGG16's numbering."""
        return nn.Sequential(*self.frozen, *self.trained)


def build_backbone(
    settings: BackboneSettings, initial_weights: str | Path, classes: int, seed: int
) -> Backbone:
    """Start from pre-trained convolutions and a fresh classifier."""
    torch.manual_seed(seed)
    frozen, trained = split_blocks(initial_convolutions(initial_weights), settings.frozen_blocks)
    frozen.requires_grad_(requires_grad=False)
    return Backbone(
        frozen=frozen,
        trained=trained,
        classifier=Classifier(classes, settings.hidden, settings.dropout),
    )


def train_backbone(
    backbone: Backbone,
    inputs: Inputs,
    settings: BackboneSettings,
    *,
    folder: Path,
    seed: int,
    compute: Compute,
    resume: bool,
) -> Fitted:
    """Train what is not frozen; the networks in ``backbone`` are changed in place."""
    optimizer_class = torch.optim.AdamW if settings.weight_decay else torch.optim.Adam
    groups = [
        {"params": list(backbone.trained.parameters()), "lr": settings.convolution_rate},
        {"params": list(backbone.classifier.parameters()), "lr": settings.classifier_rate},
    ]
    stage = Stage(
        title="backbone",
        folder=folder,
        network=nn.Sequential(backbone.trained, backbone.classifier),
        optimizer=optimizer_class(
            [group for group in groups if group["params"]], weight_decay=settings.weight_decay
        ),
        source=inputs.training,
        loss=lambda network, batch, labels: functional.cross_entropy(
            network(batch).float(), labels, label_smoothing=settings.label_smoothing
        ),
        validate=lambda network: validate_classification(network, inputs.held_out, compute),
        settings=settings,
        seed=seed,
        compute=compute,
    )
    return fit(stage, resume=resume)


def validate_classification(network: nn.Module, source: Source, compute: Compute) -> Validation:
    """Cross-entropy and accuracy over a whole source."""
    labels = torch.from_numpy(source.labels)
    logits = torch.cat(list(outputs(network, source, compute)))
    return Validation(
        loss=float(functional.cross_entropy(logits, labels)),
        accuracy=float((logits.argmax(1) == labels).float().mean()),
    )
