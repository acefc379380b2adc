"""Stages ``q1``, ``q2``, ...: learned qualities, encoder and decoder trained for the task and for the rate.

feature ─encoder─> latent ─bottleneck─> latent ─decoder─> feature ─classifier (frozen)─> logits
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import Optimizer

from splitwire.models.autoencoder import cae, latent_shape
from splitwire.models.bottleneck import Bottleneck, code_shape
from splitwire.models.device import Compute
from splitwire.models.loading import fill, learned_encoder, part, tensors_of
from splitwire.models.training.data.batches import Batches, sample
from splitwire.models.training.fitting.log import Validation
from splitwire.models.training.stages.features import AutoencoderStage, FeatureStage
from splitwire.models.training.stages.stage import AnyStage, Draft, Earlier, StageSettings, Widths, measure
from splitwire.shared.bundle import DECODER, SYNTHESIS, Bundle, Quality

if TYPE_CHECKING:
    from splitwire.models.training.run import Run

_SPREAD_FEATURES = 500
_FIRST_ID = 16


class QualitySettings(StageSettings):
    """A learned quality: CAE and bottleneck, for the task and the rate.

    ``numbers``: integers that a picture becomes; ``hidden``: widths of the layers before and, in
    reverse, after. Loss: divergence from the uncompressed network's answer (nats) + ``class_weight``
    x cross-entropy + ``rate_weight`` x the bits by which a batch's mean exceeds ``payload_bytes``. ``mixup``:
    features are mixed in pairs, in shares drawn from Beta(mixup, mixup); 0: none is mixed. ``unmixed``: the part of
    the features that is left as it is. ``seed`` is added to the run's.
    """

    numbers: int = Field(gt=0, le=4096)
    hidden: Widths = (256,)
    payload_bytes: float = Field(gt=0)
    rate_weight: float = Field(default=0.01, ge=0)
    class_weight: float = Field(default=0.1, ge=0)
    mixup: float = Field(default=1.0, ge=0)
    unmixed: float = Field(default=0.5, ge=0, le=1)
    seed: int = Field(default=0, ge=0)
    epochs: int = Field(default=5, gt=0)
    batch: int = Field(default=128, gt=0)
    rate: float = Field(default=1e-3, gt=0)
    weight_decay: float = Field(default=0.01, ge=0)


class LearnedQuality(nn.Module):
    """Feature -> (feature, bits): [N, *feature_shape] -> [N, *feature_shape], [N]."""

    def __init__(self, feature_shape: Sequence[int], numbers: int, hidden: Widths, *, negative: bool) -> None:
        super().__init__()
        autoencoder = cae(feature_shape, negative=negative)
        self.encoder = autoencoder.encoder
        latent = latent_shape(feature_shape)
        self.bottleneck = Bottleneck(latent, code_shape(latent, numbers), hidden)
        self.decoder = autoencoder.decoder

    def forward(self, feature: Tensor) -> tuple[Tensor, Tensor]:
        """Compress and restore a feature."""
        latent, bits = self.bottleneck(self.encoder(feature))
        return self.decoder(latent), bits

    def integers(self, feature: Tensor) -> Tensor:
        """Compute what would be coded: [N, *feature_shape] -> [N, *code_shape]."""
        return self.bottleneck.integers(self.encoder(feature))


@dataclass(frozen=True, kw_only=True)
class QualityStage(FeatureStage[LearnedQuality]):
    """Starts from the trained CAE and a fresh bottleneck; the classifier is not changed."""

    settings: QualitySettings
    cae: AutoencoderStage
    prefix = "quality."
    what = (
        "encoder and decoder from `cae` on, and what lies between them, for the divergence from the uncompressed "
        "network's answers, the class, and the rate; Adam"
    )

    @property
    def needs(self) -> tuple[AnyStage, ...]:
        return (self.backbone, self.cae)

    @property
    def seed(self) -> int:
        return self.settings.seed

    def build(self, classes: int) -> LearnedQuality:
        settings, feature = self.settings, self.feature
        return LearnedQuality(feature.shape, settings.numbers, settings.hidden, negative=feature.negative)

    def start(self, network: LearnedQuality, run: Run, earlier: Earlier) -> None:
        network.encoder.load_state_dict(earlier[self.cae].encoder.state_dict())
        network.decoder.load_state_dict(earlier[self.cae].decoder.state_dict())

    def calibrate(self, network: LearnedQuality, inputs: Batches) -> None:
        with torch.no_grad():
            network.bottleneck.spread(network.encoder(sample(inputs, _SPREAD_FEATURES).float()))

    def optimizer(self, network: LearnedQuality) -> Optimizer:
        settings = self.settings
        return torch.optim.AdamW(network.parameters(), lr=settings.rate, weight_decay=settings.weight_decay)

    def loss(self, earlier: Earlier) -> nn.Module:
        return TaskAndRate(earlier[self.backbone].after(), self.settings)

    def validate(
        self, network: LearnedQuality, held_out: Batches, earlier: Earlier, compute: Compute
    ) -> Validation:
        """Divergence and bits beyond the payload aimed at as the loss, and the accuracy through rounded numbers."""
        settings, classifier = self.settings, earlier[self.backbone].after().to(compute.device).eval()

        def answer(inputs: Tensor) -> Tensor:
            feature, bits = network(inputs)
            logits, wanted = classifier(feature).float(), classifier(inputs).float().log_softmax(1)
            differs = functional.kl_div(logits.log_softmax(1), wanted, reduction="none", log_target=True).sum(
                1
            )
            loss = differs + settings.rate_weight * functional.relu(bits - 8 * settings.payload_bytes)
            return torch.cat([logits, loss[:, None]], dim=1)

        return measure(answer, held_out, compute, beside=True)

    def export(self, network: LearnedQuality, draft: Draft) -> None:
        name, bottleneck = self.name, network.bottleneck
        draft.outputs[name] = learned_encoder(network.encoder, bottleneck)
        restored = {DECODER: network.decoder, SYNTHESIS: bottleneck.synthesis}
        decoder = draft.add(f"cloud/{name}.safetensors", restored)
        tables = draft.fit(f"codecs/{name}.safetensors", "factorised", network.integers)
        draft.qualities[name] = Quality(
            id=max([_FIRST_ID, *(quality.id + 1 for quality in draft.qualities.values())]),
            codec="factorised",
            latent_shape=bottleneck.code_shape,
            output=name,
            tables=tables,
            tail=(decoder,),
            hidden=self.settings.hidden,
        )

    def restore(self, network: LearnedQuality, device: Mapping[str, Tensor], cloud: Bundle) -> None:
        """Take all but the prior, which only training needs: a bundle has tables instead."""
        tail = tensors_of(cloud, cloud.quality(self.name).tail)
        fill(network.encoder, part(device, f"{self.name}.encoder"), cloud)
        fill(network.bottleneck.analysis, part(device, f"{self.name}.analysis"), cloud)
        fill(network.bottleneck.synthesis, part(tail, SYNTHESIS), cloud)
        fill(network.decoder, part(tail, DECODER), cloud)


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
        answer = self.classifier(inputs).float().log_softmax(1)  # [N, classes]
        feature, bits = network(inputs)  # [N, *feature_shape], [N]
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
    weight = share.view(-1, *(1 for _ in inputs.shape[1:]))
    return weight * inputs + (1 - weight) * inputs[order], labels[order], share
