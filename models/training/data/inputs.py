"""What each stage of a run sees: pixels, pictures, or cached outputs of frozen layers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import nn

from splitwire.models.training.data.augmentation import AugmentedSource, DrawnSource, Enlarge, frozen_network
from splitwire.models.training.data.sources import CachedSource, Inputs, PictureSource, Source, cache_features

if TYPE_CHECKING:
    from splitwire.models.training.data.pictures import Pictures
    from splitwire.models.training.run import Pair, Run
    from splitwire.models.training.settings import ConvolutionSettings, TeacherSettings
    from splitwire.models.training.stages.backbone import Backbone

_FEATURE_SHIFT = 4
_ALL_BLOCKS = 5


def teacher_inputs(run: Run, pictures: Pair, settings: TeacherSettings) -> Inputs:
    """Build pixels: [N, 3, side, side], 0..255."""
    device = run.compute.device
    return Inputs(
        training=AugmentedSource(pictures.training, device, mirrored=True, shift=settings.shift),
        held_out=AugmentedSource(pictures.held_out, device, mirrored=False, shift=0),
    )


def convolution_inputs(run: Run, pictures: Pair, backbone: Backbone, settings: ConvolutionSettings) -> Inputs:
    """Build what a stage trains on (pictures, pixels or the output of frozen blocks) and measures on."""
    blocks = settings.frozen_blocks
    frozen = frozen_network(backbone.convolutions, blocks)

    def prepared(part: Pictures, name: str) -> Source:
        source = PictureSource(part, run.settings.preparation)
        return _cache(run, f"frozen-{name}", frozen, source) if blocks else source

    def pixels(part: Pictures) -> Source:
        device, mirrored, shift = run.compute.device, settings.mirrored, settings.shift
        return AugmentedSource(part, device, mirrored=mirrored, shift=shift)

    training = pixels if settings.augmented else lambda part: prepared(part, "training")
    return Inputs(training=training(pictures.training), held_out=prepared(pictures.held_out, "held-out"))


def feature_inputs(run: Run, pictures: Pair, backbone: Backbone) -> Inputs:
    """Build the output of all convolutions: [N, 512, 7, 7]; of training pictures in several variants."""
    data, preparation = run.settings.preset.data, run.settings.preparation
    if data.plain and data.variants == 1:
        training = features(run, pictures.training, backbone, "training")
    else:
        pixels = AugmentedSource(pictures.training, run.compute.device, mirrored=True, shift=_FEATURE_SHIFT)
        network = nn.Sequential(Enlarge(preparation), frozen_network(backbone.convolutions, _ALL_BLOCKS))
        drawn = DrawnSource(pixels, data.variants, run.seed, plain=data.plain)
        training = _cache(run, "features-training", network, drawn)
    return Inputs(training=training, held_out=features(run, pictures.held_out, backbone, "held-out"))


def features(run: Run, pictures: Pictures, backbone: Backbone, name: str) -> CachedSource:
    """Build the output of all convolutions for pictures as they are: [N, 512, 7, 7]."""
    source = PictureSource(pictures, run.settings.preparation)
    return _cache(run, f"features-{name}", frozen_network(backbone.convolutions, _ALL_BLOCKS), source)


def _cache(run: Run, name: str, network: nn.Module, source: Source) -> CachedSource:
    folder = run.folder / "cache" / name
    return cache_features(folder, network, source, compute=run.compute, title=name)
