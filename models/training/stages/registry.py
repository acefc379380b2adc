"""The stages of a run: what each trains, on what, and from where."""

from __future__ import annotations

from typing import TYPE_CHECKING

from splitwire.models.training.data.inputs import convolution_inputs, feature_inputs, teacher_inputs
from splitwire.models.training.fitting.loop import Fitted, Job
from splitwire.models.training.settings import (
    ConvolutionSettings,
    FallbackSettings,
    QualitySettings,
    TeacherSettings,
)
from splitwire.models.training.stages.autoencoder import build_autoencoder, train_autoencoder
from splitwire.models.training.stages.backbone import cross_entropy, train_backbone
from splitwire.models.training.stages.fallback import build_fallback, train_fallback
from splitwire.models.training.stages.qualities import train_quality
from splitwire.models.training.stages.teacher import build_teacher, train_teacher

if TYPE_CHECKING:
    from torch import nn

    from splitwire.models.training.run import Pair, Run, StageResult
    from splitwire.models.training.settings import FeatureSettings

    _Trained = tuple[Fitted, dict[str, nn.Module]]


def train_stage(run: Run, stage: str, *, resume: bool) -> StageResult:
    """Train one stage; write its folder.

    Raises:
        TrainingError: a stage that it needs has not ended, its checkpoint can't be continued, or
            the loss is no number.
        SettingsError: the run has no such stage.

    """
    settings = run.settings.preset.settings_of(stage)
    if not resume:
        run.begin_stage(stage)
    pictures = run.pictures
    seed = run.seed + (settings.seed if isinstance(settings, QualitySettings) else 0)
    job = Job(title=stage, folder=run.folder / stage, seed=seed, compute=run.compute, resume=resume)
    if isinstance(settings, TeacherSettings):
        fitted, networks = _teacher(run, settings, pictures, job)
    elif isinstance(settings, ConvolutionSettings):
        fitted, networks = _convolutions(run, settings, pictures, job)
    else:
        fitted, networks = _on_features(run, settings, pictures, job)
    return run.end_stage(stage, networks, run.result_of(stage, fitted, pictures))


def _teacher(run: Run, settings: TeacherSettings, pictures: Pair, job: Job) -> _Trained:
    teacher = build_teacher(settings, len(pictures.training.classes), run.seed)
    fitted = train_teacher(teacher, teacher_inputs(run, pictures, settings), settings, job)
    return fitted, {"teacher": teacher}


def _convolutions(run: Run, settings: ConvolutionSettings, pictures: Pair, job: Job) -> _Trained:
    classes = len(pictures.training.classes)
    teacher = None
    if settings.soft_labels:
        teacher = build_teacher(run.settings.preset.teacher, classes, run.seed)
        run.load("teacher", teacher=teacher)
    first = job.title == "backbone"
    backbone = run.fresh_backbone(classes) if first else run.trained_backbone("backbone", classes)
    inputs = convolution_inputs(run, pictures, backbone, settings)
    loss = cross_entropy(settings, teacher)
    fitted = train_backbone(backbone, inputs, settings, loss, run.settings.preparation, job)
    return fitted, {"convolutions": backbone.convolutions, "classifier": backbone.classifier}


def _on_features(run: Run, settings: FeatureSettings, pictures: Pair, job: Job) -> _Trained:
    classes = len(pictures.training.classes)
    backbone = run.trained_backbone(run.last_backbone_stage, classes)
    inputs = feature_inputs(run, pictures, backbone)
    if isinstance(settings, FallbackSettings):
        fallback = build_fallback(settings, classes, run.seed)
        return train_fallback(fallback, inputs, settings, job), {"fallback": fallback}
    if isinstance(settings, QualitySettings):
        quality = run.new_quality(job.title)
        return train_quality(quality, backbone.classifier, inputs, settings, job), {"quality": quality}
    autoencoder = build_autoencoder(job.title, run.seed)
    fitted = train_autoencoder(autoencoder, backbone.classifier, inputs, settings, job)
    return fitted, {"encoder": autoencoder.encoder, "decoder": autoencoder.decoder}
