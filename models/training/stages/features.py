"""Stages that see the output of all convolutions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from splitwire.models.training.data.augmentation import AugmentedBatches, DrawnBatches
from splitwire.models.training.data.batches import Batches, Parts, PictureBatches
from splitwire.models.training.data.cache import CachedBatches, frozen_network
from splitwire.models.training.data.pictures import Pictures
from splitwire.models.training.stages.backbone import Backbone, ConvolutionStage
from splitwire.models.training.stages.stage import AnyStage, Earlier, InputSizes, Network, Stage
from splitwire.models.vgg16 import FEATURE_SHAPE

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
