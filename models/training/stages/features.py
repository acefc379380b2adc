"""Stages ``fallback``, ``cae``, ``sae``: what sees the output of all convolutions, everything else frozen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import Optimizer

from splitwire.models.autoencoder import Autoencoder, cae, sae
from splitwire.models.device import Compute
from splitwire.models.fallback import Fallback
from splitwire.models.loading import fill
from splitwire.models.training.data.batches import (
    AugmentedBatches,
    Batches,
    DrawnBatches,
    Parts,
    PictureBatches,
)
from splitwire.models.training.data.cache import CachedBatches, frozen_network
from splitwire.models.training.data.pictures import Pictures
from splitwire.models.training.fitting.log import Validation
from splitwire.models.training.stages.convolutions import Backbone, ConvolutionStage
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
from splitwire.models.vgg16 import FEATURE_SHAPE
from splitwire.shared.bundle import DECODER, ENCODER, FALLBACK, Bundle, Files, Quality

if TYPE_CHECKING:
    from splitwire.models.training.run import Run

_SHIFT = 4
_ALL_BLOCKS = 5


@dataclass(frozen=True, kw_only=True)
class FeatureStage(Stage[Network]):
    """Sees features, [N, 512, 7, 7], of training pictures in several variants; what is before them is frozen."""

    backbone: ConvolutionStage

    @property
    def needs(self) -> tuple[AnyStage, ...]:
        return (self.backbone,)

    def inputs(self, _: Network, run: Run, earlier: Earlier) -> Parts[Batches]:
        backbone, pictures, data = earlier[self.backbone], run.pictures, run.settings.preset.data
        if data.plain and data.variants == 1:
            training = features(run, pictures.training, backbone, "training")
        else:
            pixels = AugmentedBatches(pictures.training, run.compute.device, mirrored=True, shift=_SHIFT)
            drawn = DrawnBatches(pixels, run.settings.preparation, data.variants, run.seed, plain=data.plain)
            training = run.cached(
                "features-training", frozen_network(backbone.convolutions, _ALL_BLOCKS), drawn
            )
        return Parts(training=training, held_out=features(run, pictures.held_out, backbone, "held-out"))

    def sizes(self, run: Run) -> InputSizes:
        count = len(run.pictures.training) * run.settings.preset.data.variants
        return InputSizes(
            shape=FEATURE_SHAPE,
            count=count,
            cache="features",
            cached_blocks=_ALL_BLOCKS,
            cached_count=count + len(run.pictures.held_out),
        )


def features(run: Run, pictures: Pictures, backbone: Backbone, part: str) -> CachedBatches:
    """Compute the features of pictures as they are, once: [N, 512, 7, 7]."""
    batches = PictureBatches(pictures, run.settings.preparation)
    return run.cached(f"features-{part}", frozen_network(backbone.convolutions, _ALL_BLOCKS), batches)


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
        return Fallback(classes, self.settings.hidden)

    def optimizer(self, network: Fallback) -> Optimizer:
        settings = self.settings
        return torch.optim.AdamW(network.parameters(), lr=settings.rate, weight_decay=settings.weight_decay)

    def loss(self, earlier: Earlier) -> nn.Module:
        return CrossEntropy(label_smoothing=self.settings.label_smoothing)

    def export(self, network: Fallback, draft: Draft) -> None:
        draft.device.append(draft.add("device/fallback.safetensors", {FALLBACK: network.layers}))

    def restore(self, network: Fallback, device: Bundle, cloud: Bundle) -> None:
        fill(network.layers, FALLBACK, device, None)


class AutoencoderSettings(StageSettings):
    """A stage that trains only an autoencoder: mean squared error, Adam."""

    epochs: int = Field(default=20, gt=0)
    batch: int = Field(default=64, gt=0)
    rate: float = Field(default=1e-3, gt=0)


@dataclass(frozen=True, kw_only=True)
class AutoencoderStage(FeatureStage[Autoencoder]):
    """Features to features. The classifier only measures, and is not changed."""

    settings: AutoencoderSettings
    what = "encoder and decoder, by mean squared error; Adam"

    def build(self, classes: int) -> Autoencoder:
        return cae()

    def optimizer(self, network: Autoencoder) -> Optimizer:
        return torch.optim.Adam(network.parameters(), lr=self.settings.rate)

    def loss(self, earlier: Earlier) -> nn.Module:
        return SquaredError()

    def validate(
        self, network: Autoencoder, held_out: Batches, earlier: Earlier, compute: Compute
    ) -> Validation:
        """Mean squared error, and the accuracy of the classifier on reconstructed features."""
        network.to(compute.device).eval()
        classifier = earlier[self.backbone].classifier.to(compute.device).eval()

        def answer(feature: Tensor) -> Tensor:
            reconstruction = network(feature).float()
            error = functional.mse_loss(reconstruction, feature, reduction="none").flatten(1).mean(1)
            return torch.cat([classifier(reconstruction).float(), error[:, None]], dim=1)

        return measure(answer, held_out, compute, beside=True)

    def export(self, network: Autoencoder, draft: Draft) -> None:
        encoder = draft.add("device/cae.safetensors", {ENCODER: network.encoder})
        decoder = draft.add("cloud/cae.safetensors", {DECODER: network.decoder})
        scales = draft.fit("codecs/int8.safetensors", "int8", network.encoder)
        plain = Files(device=(encoder,), cloud=(decoder,))
        scaled = Files(device=(encoder, scales), cloud=(decoder, scales))
        draft.qualities["paper"] = Quality(id=0, codec="float32", files=plain)
        draft.qualities["int8"] = Quality(id=1, codec="int8", files=scaled)
        draft.qualities["half"] = Quality(id=2, codec="half", files=plain)

    def restore(self, network: Autoencoder, device: Bundle, cloud: Bundle) -> None:
        fill(network.encoder, ENCODER, device, "paper")
        fill(network.decoder, DECODER, cloud, "paper")


@dataclass(frozen=True, kw_only=True)
class FullyConnectedStage(AutoencoderStage):
    """The SAE, to compare the CAE with. Its 160 million weights stay in the run."""

    for_bundle: bool = False
    in_bundle: bool = False

    def build(self, classes: int) -> Autoencoder:
        return sae()


class SquaredError(nn.Module):
    """Mean squared error of a network that gives back its input."""

    def forward(self, network: nn.Module, inputs: Tensor, _: Tensor) -> Tensor:
        """Compute the loss of one batch."""
        return functional.mse_loss(network(inputs).float(), inputs)
