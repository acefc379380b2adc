"""Cross-entropy, and how a network that classifies is measured."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from splitwire.models.device import Compute
from splitwire.models.training.data.batches import Batches, outputs
from splitwire.models.training.fitting.log import Validation


class CrossEntropy(nn.Module):
    """Cross-entropy with the class, smoothed, and with a teacher's probabilities.

    ``soft_labels``: the teacher's share, 0 to 1. It sees the same inputs as the network.
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
        logits = network(inputs).float()  # [N, classes]
        loss = functional.cross_entropy(logits, labels, label_smoothing=self._label_smoothing)
        if self.teacher is None:
            return loss
        taught = functional.cross_entropy(logits, self.teacher(inputs).float().softmax(1))
        return (1 - self._soft_labels) * loss + self._soft_labels * taught


def measure(
    network: Callable[[Tensor], Tensor], held_out: Batches, compute: Compute, *, beside: bool = False
) -> Validation:
    """Measure accuracy and loss of what a network answers, [N, classes]: cross-entropy.

    With ``beside``, [N, classes + 1], the loss is the mean of the last column, and the rest are the logits.
    """
    logits, labels = torch.cat(list(outputs(network, held_out, compute))), torch.from_numpy(held_out.labels)
    if beside:
        loss, logits = logits[:, -1].mean(), logits[:, :-1]
    else:
        loss = functional.cross_entropy(logits, labels)
    return Validation(loss=float(loss), accuracy=float((logits.argmax(1) == labels).float().mean()))
