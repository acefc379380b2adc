"""Stages ``fallback``, ``cae``, ``sae``: what sees the feature that crosses the cut, everything else frozen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import Optimizer

from splitwire.models.autoencoder import Autoencoder, cae, latent_shape, sae
from splitwire.models.cuts import Cut
from splitwire.models.device import Compute
from splitwire.models.fallback import Fallback
from splitwire.models.loading import fill, part, tensors_of
from splitwire.models.training.data.batches import Batches, Parts
from splitwire.models.training.fitting.log import Validation
from splitwire.models.training.stages.backbone import BackboneStage, feature_sizes, features
from splitwire.models.training.stages.stage import (
    AnyStage,
    CrossEntropy,
    Draft,
    Earlier,
    InputSizes,
    Network,
    Stage,
    StageSettings,
    Widths,
    measure,
)
from splitwire.shared.bundle import DECODER, Bundle, Quality
from splitwire.shared.graph.reading import CLASSES

if TYPE_CHECKING:
    from splitwire.models.training.run import Run


@dataclass(frozen=True, kw_only=True)
class FeatureStage(Stage[Network]):
    """Sees features, [N, *feature_shape], of training pictures in several variants; what is before them is frozen."""

    backbone: BackboneStage

    @property
    def needs(self) -> tuple[AnyStage, ...]:
        return (self.backbone,)

    def inputs(self, _: Network, run: Run, earlier: Earlier) -> Parts[Batches]:
        return features(run, earlier[self.backbone])

    def sizes(self, run: Run) -> InputSizes:
        return feature_sizes(run, self.backbone.architecture)

    @property
    def feature(self) -> Cut:
        """What it sees, where the network is cut."""
        return self.backbone.architecture.cut


class FallbackSettings(StageSettings):
    """The device's own small classifier. ``hidden``: widths of its layers."""

    hidden: Widths = (128,)
    epochs: int = Field(default=5, gt=0)
    batch: int = Field(default=256, gt=0)
    rate: float = Field(default=1e-3, gt=0)
    weight_decay: float = Field(default=0.01, ge=0)
    label_smoothing: float = Field(default=0.0, ge=0, lt=1)


@dataclass(frozen=True, kw_only=True)
class FallbackStage(FeatureStage[Fallback]):
    """Features to logits."""

    settings: FallbackSettings
    prefix = "fallback."
    what = (
        "the device's own classifier, on the mean of each of the feature's channels, by cross-entropy; Adam"
    )

    def build(self, classes: int) -> Fallback:
        return Fallback(self.feature.shape[0], classes, self.settings.hidden)

    def optimizer(self, network: Fallback) -> Optimizer:
        settings = self.settings
        return torch.optim.AdamW(network.parameters(), lr=settings.rate, weight_decay=settings.weight_decay)

    def loss(self, earlier: Earlier) -> nn.Module:
        return CrossEntropy(label_smoothing=self.settings.label_smoothing)

    def export(self, network: Fallback, draft: Draft) -> None:
        draft.outputs[CLASSES] = network

    def restore(self, network: Fallback, device: Mapping[str, Tensor], cloud: Bundle) -> None:
        fill(network, part(device, CLASSES), cloud)


class AutoencoderSettings(StageSettings):
    """A stage that trains only an autoencoder: mean squared error, Adam.

    ``answer_weight``: of the divergence from the uncompressed network's answer (nats), in variances of the features;
    0: squared error alone, as the paper's.
    """

    answer_weight: float = Field(default=0.0, ge=0)
    epochs: int = Field(default=20, gt=0)
    batch: int = Field(default=64, gt=0)
    rate: float = Field(default=1e-3, gt=0)


@dataclass(frozen=True, kw_only=True)
class AutoencoderStage(FeatureStage[Autoencoder]):
    """Features to features. The classifier only measures, and is not changed."""

    settings: AutoencoderSettings
    what = "encoder and decoder, by mean squared error and, where it has a weight, the network's answer; Adam"

    def build(self, classes: int) -> Autoencoder:
        return cae(self.feature.shape, negative=self.feature.negative)

    def optimizer(self, network: Autoencoder) -> Optimizer:
        return torch.optim.Adam(network.parameters(), lr=self.settings.rate)

    def loss(self, earlier: Earlier) -> nn.Module:
        return SquaredError(earlier[self.backbone].after(), self.settings.answer_weight)

    def validate(
        self, network: Autoencoder, held_out: Batches, earlier: Earlier, compute: Compute
    ) -> Validation:
        """Mean squared error, and the accuracy of the classifier on reconstructed features."""
        network.to(compute.device).eval()
        classifier = earlier[self.backbone].after().to(compute.device).eval()

        def answer(feature: Tensor) -> Tensor:
            reconstruction = network(feature).float()
            error = functional.mse_loss(reconstruction, feature, reduction="none").flatten(1).mean(1)
            return torch.cat([classifier(reconstruction).float(), error[:, None]], dim=1)

        return measure(answer, held_out, compute, beside=True)

    def export(self, network: Autoencoder, draft: Draft) -> None:
        draft.outputs[self.name] = network.encoder
        tail = (draft.add(f"cloud/{self.name}.safetensors", {DECODER: network.decoder}),)
        scales = draft.fit("codecs/int8.safetensors", "int8", network.encoder)
        shape = latent_shape(self.feature.shape)
        for number, (name, codec) in enumerate((("paper", "float32"), ("int8", "int8"), ("half", "half"))):
            draft.qualities[name] = Quality(
                id=number,
                codec=codec,
                latent_shape=shape,
                output=self.name,
                tables=scales if codec == "int8" else None,
                tail=tail,
            )

    def restore(self, network: Autoencoder, device: Mapping[str, Tensor], cloud: Bundle) -> None:
        fill(network.encoder, part(device, self.name), cloud)
        fill(network.decoder, part(tensors_of(cloud, cloud.quality("paper").tail), DECODER), cloud)


@dataclass(frozen=True, kw_only=True)
class FullyConnectedStage(AutoencoderStage):
    """The SAE, to compare the CAE with. Its 160 million weights stay in the run."""

    for_bundle: bool = False
    in_bundle: bool = False

    def build(self, classes: int) -> Autoencoder:
        return sae(self.feature.shape)


class SquaredError(nn.Module):
    """Mean squared error of a network that gives back its input, and how much a classifier's answer changes by it."""

    def __init__(self, classifier: nn.Module, answer_weight: float) -> None:
        super().__init__()
        self.classifier = classifier.eval().requires_grad_(requires_grad=False)
        self._answer_weight = answer_weight

    def forward(self, network: nn.Module, inputs: Tensor, _: Tensor) -> Tensor:
        """Compute the loss of one batch."""
        restored = network(inputs).float()
        loss = functional.mse_loss(restored, inputs)
        if not self._answer_weight:
            return loss
        answer, wanted = (self.classifier(each).float().log_softmax(1) for each in (restored, inputs))
        divergence = functional.kl_div(answer, wanted, reduction="batchmean", log_target=True)
        return loss + self._answer_weight * inputs.var() * divergence
