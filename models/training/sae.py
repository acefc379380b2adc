"""The SAE beside the CAE: same code size, same features, same classifier.

The SAE's 160 million weights stay in the run; what it can do is written into a bundle's ``sae.json``.
"""

from __future__ import annotations

import math

from pydantic import BaseModel, ConfigDict

from splitwire.models.autoencoder import LATENT_SHAPE
from splitwire.models.training.data.pictures import Pictures
from splitwire.models.training.run import Run
from splitwire.models.training.stages.features import AutoencoderSettings, AutoencoderStage, features
from splitwire.models.training.stages.stage import Earlier
from splitwire.shared.evaluation import Share, share

SAE = "sae.json"


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
    """Measure the run's SAE and CAE on test pictures."""
    pipeline = run.pipeline
    backbone = run.trained(pipeline.backbone)
    tested = features(run, test, backbone, "test")

    def score(stage: AutoencoderStage) -> AutoencoderScore:
        autoencoder, result = run.trained(stage), run.result(stage)
        measured = stage.validate(autoencoder, tested, Earlier(stage, run.trained), run.compute)
        return AutoencoderScore(
            parameters=sum(parameter.numel() for parameter in autoencoder.parameters()),
            reconstruction_error=measured.loss,
            accuracy=share(round(measured.accuracy * len(test)), len(test)),
            settings=AutoencoderSettings.model_validate(result.settings),
            hours=result.hours,
        )

    return AutoencoderComparison(
        sae=score(pipeline.sae),
        cae=score(pipeline.cae),
        code_elements=math.prod(LATENT_SHAPE),
        pictures=len(test),
        data_sha256=test.digest(),
        training_pictures=run.result(pipeline.sae).training_pictures,
        seed=run.seed,
        compute=str(run.compute),
    )
