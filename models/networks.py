"""Networks by name: ``vgg16``, the paper's (``vgg16.py``), or any classifier of timm.

A network maps prepared pictures [N, 3, size, size], float32, to logits [N, classes].
"""

from __future__ import annotations

from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING

from safetensors import SafetensorError
from safetensors.torch import load_file

from splitwire.models.errors import TrainingError
from splitwire.models.vgg16 import VGG16
from splitwire.shared.errors import PackagesMissing, SettingsError
from splitwire.shared.pictures.loading import Preparation

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from timm.models import PretrainedCfg
    from torch import Tensor, nn

    from splitwire.shared.bundle import NetworkSpec

PAPERS = "vgg16"
"""Ours; timm's has a tag, as in ``vgg16.tv_in1k``."""
DOWNLOAD = "download"
"""Initial weights that torchvision (for the paper's network) or timm fetches, once."""
_COUNTER = ".num_batches_tracked"
"""Of batch norm; tells how long it was trained, and some files leave it out."""
_SHOWN = 3


def build(network: NetworkSpec, classes: int, *, dropout: float = 0.0) -> nn.Module:
    """Build a whole network with random weights. ``dropout``: in or before its classifier, while it is trained.

    On the device "meta" it takes no memory, but some networks have buffers that stand in no file of weights, and
    those would be lost.

    Raises:
        SettingsError: there is none of that name.
        PackagesMissing: it is timm's, which is not installed.

    """
    if network.name == PAPERS:
        return VGG16(classes, network.hidden, dropout)
    _config(network.name)
    from timm import create_model  # noqa: PLC0415 - the paper's network starts without it

    built: nn.Module = create_model(network.name, num_classes=classes, drop_rate=dropout)
    return built


def preparation(name: str) -> Preparation:
    """Tell how a network wants its pictures; timm's as it evaluates them.

    Raises:
        SettingsError: there is none of that name, or it wants what ``Preparation`` has not.

    """
    if name == PAPERS:
        return Preparation()
    config = _config(name)
    from timm.data import resolve_data_config  # noqa: PLC0415

    wanted = resolve_data_config(pretrained_cfg=config.to_dict())
    channels, rows, columns = wanted["input_size"]
    if channels != 3 or rows != columns or wanted["crop_mode"] == "border" or wanted["crop_pct"] > 1:
        raise SettingsError(
            f"network {name!r} wants pictures of {columns} x {rows} pixels and {channels} channels, "
            f"cropped as {wanted['crop_mode']!r}: only squares without a border are made here; choose another network"
        )
    return Preparation(
        size=rows,
        mean=wanted["mean"],
        std=wanted["std"],
        crop=wanted["crop_pct"],
        squash=wanted["crop_mode"] == "squash",
        interpolation=wanted["interpolation"],
    )


def load_initial_weights(network: nn.Module, name: str, source: str | Path) -> None:
    """Give a network pre-trained weights. Its head keeps the random ones where the source has other classes.

    Args:
        network: what ``build`` made of this name.
        name: the network's.
        source: ``DOWNLOAD``, or a safetensors file with the names of the network's tensors.

    Raises:
        TrainingError: they can't be fetched or read, or don't fit the network.

    """
    state = _download(name) if str(source) == DOWNLOAD else _read(source)
    own, heads = network.state_dict(), head_names(name)
    head = {key for key in (*own, *state) if key.startswith(heads)}
    if not all(key in own and key in state and own[key].shape == state[key].shape for key in head):
        state = {key: value for key, value in state.items() if key not in head}
        own = {key: value for key, value in own.items() if key not in head}
    problems = {
        "absent": [key for key in own if key not in state and not key.endswith(_COUNTER)],
        "unknown": [key for key in state if key not in own],
        "of another shape": [
            f"{key} {list(value.shape)} instead of {list(own[key].shape)}"
            for key, value in state.items()
            if key in own and own[key].shape != value.shape
        ],
    }
    if any(problems.values()):
        found = "; ".join(f"{what}: {_first(names)}" for what, names in problems.items() if names)
        raise TrainingError(f"initial weights {source} are not those of {name} ({found})")
    network.load_state_dict(state, strict=False)


def _config(name: str) -> PretrainedCfg:
    """Look up what timm says of a network."""
    try:
        from timm import get_pretrained_cfg, is_model, list_models  # noqa: PLC0415
    except ImportError as exc:
        raise PackagesMissing(
            "timm", f"the network {name!r}", "install it, in a clone with: pip install '.[networks]'"
        ) from exc
    if not is_model(name):
        near = get_close_matches(name, [PAPERS, *list_models()], cutoff=0.5)
        meant = f"; did you mean {' or '.join(near)}?" if near else "."
        raise SettingsError(
            f"there is no network {name!r}{meant} timm.list_models() lists all; {PAPERS} is ours"
        )
    try:
        found = get_pretrained_cfg(name)
    except RuntimeError:
        from timm.models import get_arch_pretrained_cfgs  # noqa: PLC0415

        tagged = get_arch_pretrained_cfgs(name)
        raise SettingsError(f"there is no network {name!r}; the tags are {', '.join(tagged)}") from None
    if found is None:
        raise SettingsError(f"network {name!r} has no configuration in timm; choose another")
    return found


def head_names(name: str) -> tuple[str, ...]:
    """Tell how the names of the tensors begin that depend on the number of classes."""
    if name == PAPERS:
        return ("classifier.",)
    heads = _config(name).classifier or ()
    return tuple(f"{head}." for head in ((heads,) if isinstance(heads, str) else heads))


def _download(name: str) -> Mapping[str, Tensor]:
    try:
        if name == PAPERS:
            from torchvision.models import VGG16_Weights  # noqa: PLC0415 - only these weights need it

            state: Mapping[str, Tensor] = VGG16_Weights.IMAGENET1K_FEATURES.get_state_dict(
                progress=True, check_hash=True
            )
        else:
            from timm import create_model  # noqa: PLC0415

            state = create_model(name, pretrained=True).state_dict()
    except Exception as exc:  # whatever the client of a download raises
        raise TrainingError(
            f"the weights of {name} can't be fetched ({exc}); give --initial-weights a safetensors file instead"
        ) from exc
    return state


def _read(file: str | Path) -> Mapping[str, Tensor]:
    try:
        return load_file(file)
    except FileNotFoundError:
        raise TrainingError(
            f"no initial weights at {file}; give --initial-weights a safetensors file, or leave it out"
        ) from None
    except (SafetensorError, OSError) as exc:
        raise TrainingError(
            f"initial weights {file} can't be read ({exc}); they are a safetensors file"
        ) from exc


def _first(names: Iterable[str]) -> str:
    shown = list(names)
    more = f" and {len(shown) - _SHOWN} more" if len(shown) > _SHOWN else ""
    return ", ".join(shown[:_SHOWN]) + more
