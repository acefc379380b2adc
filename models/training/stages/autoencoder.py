"""Stage ``autoencoder``: the CAE or the SAE, by mean squared error, everything else frozen."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional

from splitwire.models.autoencoder import Autoencoder, cae, sae
from splitwire.models.training.data.sources import outputs
from splitwire.models.training.fitting.log import Validation
from splitwire.models.training.fitting.loop import Fitted, Job, Training, fit

if TYPE_CHECKING:
    from splitwire.models.training.data.sources import Inputs, Source
    from splitwire.models.training.fitting.device import Compute
    from splitwire.models.training.settings import AutoencoderSettings


def build_autoencoder(kind: str, seed: int) -> Autoencoder:
    """Start from fresh weights: ``cae`` or ``sae``."""
    torch.manual_seed(seed)
    return cae() if kind == "cae" else sae()


def train_autoencoder(
    autoencoder: Autoencoder,
    classifier: nn.Module,
    features: Inputs,
    settings: AutoencoderSettings,
    job: Job,
) -> Fitted:
    """Train on features [N, 512, 7, 7]; ``classifier`` only measures, and is not changed."""
    return fit(
        Training(
            job=job,
            network=autoencoder,
            optimizer=torch.optim.Adam(autoencoder.parameters(), lr=settings.rate),
            source=features.training,
            loss=SquaredError(),
            validate=lambda network: validate_reconstruction(
                network, classifier, features.held_out, job.compute
            ),
            settings=settings,
        )
    )


class SquaredError(nn.Module):
    """Mean squared error of a network that gives back its input."""

    def forward(self, network: nn.Module, inputs: Tensor, _: Tensor) -> Tensor:
        """Compute the loss of one batch."""
        return functional.mse_loss(network(inputs).float(), inputs)


class _Reconstruction(nn.Module):
    """Logits and squared error of a feature and its reconstruction: [N, classes + 1]."""

    def __init__(self, autoencoder: nn.Module, classifier: nn.Module) -> None:
        super().__init__()
        self.autoencoder = autoencoder
        self.classifier = classifier

    def forward(self, feature: Tensor) -> Tensor:
        reconstruction = self.autoencoder(feature).float()
        error = functional.mse_loss(reconstruction, feature, reduction="none").flatten(1).mean(1)
        return torch.cat([self.classifier(reconstruction).float(), error[:, None]], dim=1)


def validate_reconstruction(
    autoencoder: nn.Module, classifier: nn.Module, source: Source, compute: Compute
) -> Validation:
    """Mean squared error, and the accuracy of the classifier on reconstructed features."""
    network = _Reconstruction(autoencoder, classifier).to(compute.device).eval()
    measured = torch.cat(list(outputs(network, source, compute)))
    labels = torch.from_numpy(source.labels)
    return Validation(
        loss=float(measured[:, -1].mean()),
        accuracy=float((measured[:, :-1].argmax(1) == labels).float().mean()),
    )
