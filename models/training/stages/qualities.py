"""Learned qualities: encoder and decoder trained for the task and for the rate.

feature ─encoder─> latent ─bottleneck─> latent ─decoder─> feature ─classifier (frozen)─> logits
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from splitwire.models.autoencoder import Autoencoder, cae
from splitwire.models.bottleneck import Bottleneck
from splitwire.models.training.data.sources import outputs
from splitwire.models.training.fitting.log import Validation
from splitwire.models.training.fitting.loop import Fitted, Job, Training, fit

if TYPE_CHECKING:
    from splitwire.models.training.data.sources import Inputs, Source
    from splitwire.models.training.fitting.device import Compute
    from splitwire.models.training.settings import QualitySettings

_SPREAD_FEATURES = 500


class LearnedQuality(nn.Module):
    """Feature -> (feature, bits): [N, 512, 7, 7] -> [N, 512, 7, 7], [N]."""

    def __init__(self, autoencoder: Autoencoder, bottleneck: Bottleneck) -> None:
        super().__init__()
        self.encoder = autoencoder.encoder
        self.bottleneck = bottleneck
        self.decoder = autoencoder.decoder

    def forward(self, feature: Tensor) -> tuple[Tensor, Tensor]:
        """Compress and restore a feature."""
        latent, bits = self.bottleneck(self.encoder(feature))
        return self.decoder(latent), bits


class Integers(nn.Module):
    """Feature -> integers: [N, 512, 7, 7] -> [N, d]."""

    def __init__(self, quality: LearnedQuality) -> None:
        super().__init__()
        self.encoder = quality.encoder
        self.bottleneck = quality.bottleneck

    def forward(self, feature: Tensor) -> Tensor:
        """Compute what would be coded."""
        integers: Tensor = self.bottleneck.integers(self.encoder(feature))
        return integers


def build_quality(settings: QualitySettings, start: Autoencoder, seed: int) -> LearnedQuality:
    """Start from the weights of a trained CAE and a fresh bottleneck."""
    torch.manual_seed(seed)
    autoencoder = cae()
    autoencoder.load_state_dict(start.state_dict())
    return LearnedQuality(autoencoder, Bottleneck(settings.numbers, settings.hidden))


def train_quality(
    quality: LearnedQuality, classifier: nn.Module, features: Inputs, settings: QualitySettings, job: Job
) -> Fitted:
    """Train on features [N, 512, 7, 7]; ``classifier`` is not changed."""
    count = len(features.training.labels)
    some = np.arange(0, count, max(1, count // _SPREAD_FEATURES), dtype=np.int64)
    with torch.no_grad():
        quality.bottleneck.spread(quality.encoder(features.training.batch(some, some).float()))
    return fit(
        Training(
            job=job,
            network=quality,
            optimizer=torch.optim.AdamW(
                quality.parameters(), lr=settings.rate, weight_decay=settings.weight_decay
            ),
            source=features.training,
            loss=TaskAndRate(classifier, settings),
            validate=lambda network: _validate(network, classifier, features.held_out, job.compute),
            settings=settings,
        )
    )


class TaskAndRate(nn.Module):
    """Divergence from the uncompressed network's answer, cross-entropy with the class, and bits.

    With ``mixup``, features are mixed in pairs, and so are their classes (Zhang et al., 2018).
    """

    def __init__(self, classifier: nn.Module, settings: QualitySettings) -> None:
        super().__init__()
        self.classifier = classifier.eval().requires_grad_(requires_grad=False)
        self._settings = settings

    def forward(self, network: nn.Module, inputs: Tensor, labels: Tensor) -> Tensor:
        """Compute the loss of one batch."""
        weights, others, share = self._settings, labels, torch.ones(len(labels), device=labels.device)
        if weights.mixup:
            inputs, others, share = _mixed(inputs, labels, weights)
        answer = self.classifier(inputs).float().log_softmax(1)
        feature, bits = network(inputs)
        logits = self.classifier(feature).float().log_softmax(1)
        divergence = functional.kl_div(logits, answer, reduction="batchmean", log_target=True)
        wrong = share * functional.nll_loss(logits, labels, reduction="none")
        wrong += (1 - share) * functional.nll_loss(logits, others, reduction="none")
        excess = functional.relu(bits.mean() - 8 * weights.payload_bytes)
        loss: Tensor = divergence + weights.class_weight * wrong.mean() + weights.rate_weight * excess
        return loss


def _mixed(inputs: Tensor, labels: Tensor, settings: QualitySettings) -> tuple[Tensor, Tensor, Tensor]:
    """Mix features with others of the batch: features, the others' classes, the first ones' shares."""
    count, device = len(inputs), inputs.device
    order = torch.randperm(count, device=device)
    share = torch.distributions.Beta(settings.mixup, settings.mixup).sample((count,)).to(device)
    share[torch.rand(count, device=device) < settings.unmixed] = 1
    weight = share[:, None, None, None]
    return weight * inputs + (1 - weight) * inputs[order], labels[order], share


class _Answer(nn.Module):
    """Logits and bits, as one tensor: [N, classes + 1]."""

    def __init__(self, quality: nn.Module, classifier: nn.Module) -> None:
        super().__init__()
        self.quality = quality
        self.classifier = classifier

    def forward(self, inputs: Tensor) -> Tensor:
        feature, bits = self.quality(inputs)
        return torch.cat([self.classifier(feature).float(), bits[:, None]], dim=1)


def _validate(quality: nn.Module, classifier: nn.Module, source: Source, compute: Compute) -> Validation:
    """Mean bytes under the prior as the loss, and the accuracy through rounded numbers."""
    network = _Answer(quality, classifier).to(compute.device).eval()
    measured = torch.cat(list(outputs(network, source, compute)))
    labels = torch.from_numpy(source.labels)
    return Validation(
        loss=float(measured[:, -1].mean()) / 8,
        accuracy=float((measured[:, :-1].argmax(1) == labels).float().mean()),
    )
