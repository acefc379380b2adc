"""From a finished run to a model bundle: weights in float16, manifest, evaluation, card."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import torch
from safetensors.torch import save_file

from splitwire.models.autoencoder import LATENT_SHAPE
from splitwire.models.training.card import Origins, model_card
from splitwire.models.training.data.inputs import feature_inputs
from splitwire.models.training.data.sources import outputs
from splitwire.models.training.evaluate import evaluate_bundle
from splitwire.models.training.provenance import RECORD, record_of
from splitwire.models.training.sae import compare_autoencoders
from splitwire.models.training.stages.qualities import Integers
from splitwire.models.vgg16 import FEATURE_SHAPE
from splitwire.shared.bundle import (
    ANALYSIS,
    CLASSIFIER,
    CONVOLUTIONS,
    DECODER,
    ENCODER,
    FALLBACK,
    ID,
    MANIFEST,
    SYNTHESIS,
    Files,
    Manifest,
    Quality,
)
from splitwire.shared.codecs import CODECS
from splitwire.shared.errors import SettingsError
from splitwire.shared.evaluation import EVALUATION, Evaluation

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor, nn

    from splitwire.models.training.data.pictures import Pictures
    from splitwire.models.training.run import Run
    from splitwire.models.training.stages.qualities import LearnedQuality

SAE = "sae.json"
_CONVOLUTIONS_FILE = "device/convolutions.safetensors"
_ENCODER_FILE = "device/cae.safetensors"
_CLASSIFIER_FILE = "cloud/classifier.safetensors"
_DECODER_FILE = "cloud/cae.safetensors"
_FALLBACK_FILE = "device/fallback.safetensors"
_INT8_FILE = "codecs/int8.safetensors"
_FIRST_LEARNED_ID = 16


def export_bundle(run: Run, folder: Path, test: Pictures, origins: Origins) -> Evaluation:
    """Write a bundle, measure it on test pictures, and write what was measured into it.

    Raises:
        TrainingError: a stage of the run has not ended yet, or the pictures can't be used.
        SettingsError: the folder's name can't be a bundle's id.

    """
    check_name(folder)
    classes = run.result(run.last_backbone_stage).classes
    backbone = run.trained_backbone(run.last_backbone_stage, len(classes))
    autoencoder = run.trained_autoencoder("cae")
    features = feature_inputs(run, run.pictures, backbone).training

    def of_training(network: nn.Module) -> Tensor:
        return torch.cat(list(outputs(network, features, run.compute)))

    files: dict[str, dict[str, Tensor]] = {
        _CONVOLUTIONS_FILE: _half(CONVOLUTIONS, backbone.convolutions),
        _CLASSIFIER_FILE: _half(CLASSIFIER, backbone.classifier),
        _ENCODER_FILE: _half(ENCODER, autoencoder.encoder),
        _DECODER_FILE: _half(DECODER, autoencoder.decoder),
        _INT8_FILE: _tables("int8", of_training(autoencoder.encoder)),
    }
    plain = Files(device=(_ENCODER_FILE,), cloud=(_DECODER_FILE,))
    scaled = Files(device=(*plain.device, _INT8_FILE), cloud=(*plain.cloud, _INT8_FILE))
    qualities = {
        "paper": Quality(id=0, codec="float32", files=plain),
        "int8": Quality(id=1, codec="int8", files=scaled),
        "half": Quality(id=2, codec="half", files=plain),
    }
    for number, name in enumerate(filter(run.has_ended, run.settings.preset.qualities)):
        quality = Quality(id=_FIRST_LEARNED_ID + number, codec="factorised", files=_learned_files(name))
        learned = run.trained_quality(name)
        qualities[name] = quality
        files |= _learned_tensors(quality.files, learned, of_training(Integers(learned)))
    device_files: tuple[str, ...] = (_CONVOLUTIONS_FILE,)
    if run.has_ended("fallback"):
        files[_FALLBACK_FILE] = _half(FALLBACK, run.trained_fallback().layers)
        device_files = (*device_files, _FALLBACK_FILE)
    for name, tensors in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        save_file(tensors, folder / name)
        (folder / name).chmod(0o644)
    manifest = Manifest(
        format=1,
        id=folder.name,
        classes=classes,
        preparation=run.settings.preparation,
        feature_shape=FEATURE_SHAPE,
        latent_shape=LATENT_SHAPE,
        hidden=run.settings.preset.backbone.hidden,
        files=Files(device=device_files, cloud=(_CLASSIFIER_FILE,)),
        qualities=qualities,
        default_quality="int8",
        sha256={name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in files},
    ).sealed()
    (folder / MANIFEST).write_text(manifest.model_dump_json(indent=2) + "\n")
    evaluation = evaluate_bundle(folder, test)
    (folder / EVALUATION).write_text(evaluation.model_dump_json(indent=2) + "\n")
    (folder / RECORD).write_text(record_of(run).model_dump_json(indent=2) + "\n")
    comparison = None
    (folder / SAE).unlink(missing_ok=True)
    if run.has_ended("sae"):
        comparison = compare_autoencoders(run, test)
        (folder / SAE).write_text(comparison.model_dump_json(indent=2) + "\n")
    sizes = {name: (folder / name).stat().st_size for name in files}
    (folder / "README.md").write_text(model_card(run, manifest, evaluation, comparison, sizes, origins))
    return evaluation


def check_name(folder: Path) -> None:
    """Refuse a folder whose name can't be a bundle's id.

    Raises:
        SettingsError: it has other characters.

    """
    if not ID.fullmatch(folder.name):
        raise SettingsError(f"a bundle's name is lower-case letters, digits, . and -, not {folder.name!r}")


def _learned_files(name: str) -> Files:
    tables = f"codecs/{name}.safetensors"
    return Files(device=(f"device/{name}.safetensors", tables), cloud=(f"cloud/{name}.safetensors", tables))


def _learned_tensors(files: Files, quality: LearnedQuality, integers: Tensor) -> dict[str, dict[str, Tensor]]:
    device, tables = files.device
    cloud, _ = files.cloud
    return {
        device: {**_half(ENCODER, quality.encoder), **_half(ANALYSIS, quality.bottleneck.analysis)},
        cloud: {**_half(DECODER, quality.decoder), **_half(SYNTHESIS, quality.bottleneck.synthesis)},
        tables: _tables("factorised", integers),
    }


def _tables(codec: str, latents: Tensor) -> dict[str, Tensor]:
    return {name: torch.from_numpy(table) for name, table in CODECS[codec].fit(latents.numpy()).items()}


def _half(prefix: str, network: nn.Module) -> dict[str, Tensor]:
    return {
        f"{prefix}.{name}": value.detach().cpu().to(torch.float16).contiguous()
        for name, value in network.state_dict().items()
    }
