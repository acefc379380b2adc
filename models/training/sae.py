"""The SAE beside the CAE: same code size, same features, same classifier.

The SAE's 160 million weights stay in the run; what it can do is written into a bundle's ``sae.json``.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

from splitwire.models.autoencoder import LATENT_SHAPE
from splitwire.models.training.data.inputs import features
from splitwire.models.training.settings import AutoencoderSettings
from splitwire.models.training.stages.autoencoder import validate_reconstruction
from splitwire.shared.evaluation import Share, share

if TYPE_CHECKING:
    from splitwire.models.training.data.pictures import Pictures
    from splitwire.models.training.run import Run


class AutoencoderScore(BaseModel):
    """What an autoencoder costs and loses: float32 latents, no codec.

    ``reconstruction_error``: mean squared error of an element of the feature.
    """

    model_config = ConfigDict(frozen=True)

    parameters: int
    reconstruction_error: float
    accuracy: Share
    settings: AutoencoderSettings
    hours: float


class AutoencoderComparison(BaseModel):
    """Both autoencoders on the same test pictures; ``compute``: on what they ran."""

    model_config = ConfigDict(frozen=True)

    sae: AutoencoderScore
    cae: AutoencoderScore
    code_elements: int
    pictures: int
    data_sha256: str
    training_pictures: int
    seed: int
    compute: str


def compare_autoencoders(run: Run, test: Pictures) -> AutoencoderComparison:
    """Measure the run's SAE and CAE on test pictures.

    Raises:
        TrainingError: one of them has not been trained.

    """
    backbone = run.trained_backbone(run.last_backbone_stage, len(test.classes))
    tested = features(run, test, backbone, "test")

    def score(kind: str) -> AutoencoderScore:
        autoencoder, result = run.trained_autoencoder(kind), run.result(kind)
        measured = validate_reconstruction(autoencoder, backbone.classifier, tested, run.compute)
        return AutoencoderScore(
            parameters=sum(parameter.numel() for parameter in autoencoder.parameters()),
            reconstruction_error=measured.loss,
            accuracy=share(round(measured.accuracy * len(test)), len(test)),
            settings=AutoencoderSettings.model_validate(result.settings),
            hours=result.hours,
        )

    return AutoencoderComparison(
        sae=score("sae"),
        cae=score("cae"),
        code_elements=math.prod(LATENT_SHAPE),
        pictures=len(test),
        data_sha256=test.digest(),
        training_pictures=run.result("sae").training_pictures,
        seed=run.seed,
        compute=str(run.compute),
    )
