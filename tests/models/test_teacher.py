"""The teacher of soft labels."""

from __future__ import annotations

import torch
from torch import nn

from splitwire.models.training.stages.stage import CrossEntropy
from splitwire.models.training.stages.teacher import Teacher


def test_its_first_layer_makes_patches_of_neighbouring_pixels_uncorrelated() -> None:
    torch.manual_seed(0)
    coarse = torch.rand(64, 3, 8, 8)
    smooth = nn.functional.interpolate(coarse, (32, 32), mode="bilinear") * 255
    noisy = (smooth + 10 * torch.randn_like(smooth)).clamp(0, 255)
    teacher = Teacher(10, (8, 8, 8))
    teacher.whiten(noisy)
    outputs = teacher.whitening(noisy).transpose(0, 1).flatten(1)
    covariance = torch.cov(outputs[:12])
    assert torch.allclose(outputs[:12], -outputs[12:], atol=1e-3)
    assert (covariance - torch.diag(covariance.diag())).abs().max() < 0.05
    assert covariance.diag().min() > 0.3
    assert covariance.diag().max() < 1.1


class _Constant(nn.Module):
    """Gives the same logits for every picture."""

    def __init__(self, logits: list[float]) -> None:
        super().__init__()
        self.logits = torch.tensor(logits)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        return self.logits.expand(len(pixels), -1)


def test_soft_labels_pull_towards_the_teachers_probabilities() -> None:
    student, teacher = _Constant([1.0, 2.0, 0.0]), _Constant([3.0, 0.0, 1.0])
    inputs, labels = torch.zeros(4, 3, 8, 8), torch.tensor([0, 1, 2, 2])
    cross_entropy = nn.functional.cross_entropy
    logits = student(inputs)
    of_classes = cross_entropy(logits, labels)
    of_teacher = cross_entropy(logits, teacher(inputs).softmax(1))
    loss = CrossEntropy(teacher=teacher, soft_labels=0.7)(student, inputs, labels)
    assert torch.isclose(loss, 0.3 * of_classes + 0.7 * of_teacher)


def test_it_answers_a_picture_and_its_mirror_image_alike() -> None:
    torch.manual_seed(0)
    teacher, pixels = Teacher(10, (8, 8, 8)).eval(), torch.rand(4, 3, 32, 32)
    assert torch.allclose(teacher(pixels), teacher(pixels.flip(3)), atol=1e-6)
