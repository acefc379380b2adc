"""Stages ``cae`` and ``sae``: the paper's autoencoders, by mean squared error, everything else frozen."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import Optimizer

from splitwire.models.autoencoder import Autoencoder, cae, sae
from splitwire.models.device import Compute
from splitwire.models.loading import fill
from splitwire.models.training.data.batches import Batches
from splitwire.models.training.fitting.log import Validation
from splitwire.models.training.settings import StageSettings
from splitwire.models.training.stages.classification import measure
from splitwire.models.training.stages.features import FeatureStage
from splitwire.models.training.stages.stage import Draft, Earlier
from splitwire.shared.bundle import DECODER, ENCODER, Bundle, Files, Quality


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
