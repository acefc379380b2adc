"""Stage ``fallback``: the device's own small classifier, by cross-entropy, everything else frozen."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from splitwire.models.fallback import Fallback
from splitwire.models.training.fitting.loop import Fitted, Job, Training, fit
from splitwire.models.training.stages.backbone import CrossEntropy, validate_classification

if TYPE_CHECKING:
    from splitwire.models.training.data.sources import Inputs
    from splitwire.models.training.settings import FallbackSettings


def build_fallback(settings: FallbackSettings, classes: int, seed: int) -> Fallback:
    """Start from fresh weights."""
    torch.manual_seed(seed)
    return Fallback(classes, settings.hidden)


def train_fallback(fallback: Fallback, features: Inputs, settings: FallbackSettings, job: Job) -> Fitted:
    """Train on features [N, 512, 7, 7]."""
    return fit(
        Training(
            job=job,
            network=fallback,
            optimizer=torch.optim.AdamW(
                fallback.parameters(), lr=settings.rate, weight_decay=settings.weight_decay
            ),
            source=features.training,
            loss=CrossEntropy(label_smoothing=settings.label_smoothing),
            validate=lambda network: validate_classification(network, features.held_out, job.compute),
            settings=settings,
        )
    )
