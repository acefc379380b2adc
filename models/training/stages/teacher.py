"""Stage ``teacher``: the network whose soft labels other stages learn from."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from splitwire.models.teacher import Teacher
from splitwire.models.training.fitting.loop import Fitted, Job, Training, fit
from splitwire.models.training.stages.backbone import CrossEntropy, validate_classification

if TYPE_CHECKING:
    from splitwire.models.training.data.sources import Inputs
    from splitwire.models.training.settings import TeacherSettings

_WHITENING_PICTURES = 5000


def build_teacher(settings: TeacherSettings, classes: int, seed: int) -> Teacher:
    """Start from fresh weights."""
    torch.manual_seed(seed)
    return Teacher(classes, settings.widths)


def train_teacher(teacher: Teacher, pixels: Inputs, settings: TeacherSettings, job: Job) -> Fitted:
    """Train on pixels [N, 3, side, side]; ``teacher`` is changed in place."""
    count = len(pixels.training.labels)
    some = np.arange(0, count, max(1, count // _WHITENING_PICTURES), dtype=np.int64)
    teacher.whiten(pixels.training.batch(some, np.zeros_like(some)).cpu())
    trained = [parameter for parameter in teacher.parameters() if parameter.requires_grad]
    return fit(
        Training(
            job=job,
            network=teacher,
            optimizer=torch.optim.SGD(
                trained, lr=settings.rate, momentum=0.9, nesterov=True, weight_decay=settings.weight_decay
            ),
            source=pixels.training,
            loss=CrossEntropy(label_smoothing=settings.label_smoothing),
            validate=lambda network: validate_classification(network, pixels.held_out, job.compute),
            settings=settings,
        )
    )
