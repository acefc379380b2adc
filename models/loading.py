"""The networks of a model bundle, float32 and not to be trained."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from splitwire.models.autoencoder import Autoencoder, cae, latent_shape
from splitwire.models.bottleneck import Bottleneck
from splitwire.models.cuts import split
from splitwire.models.fallback import Fallback
from splitwire.models.graph import Head, read_weights, restore
from splitwire.models.networks import build
from splitwire.shared.bundle import DECODER, SYNTHESIS
from splitwire.shared.codecs.factorised import Factorised
from splitwire.shared.errors import BundleInvalid, SettingsError
from splitwire.shared.graph.reading import CLASSES

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from splitwire.shared.bundle import Bundle, Manifest, Quality

_SHAPES_ONLY = torch.device("meta")
"""What a manifest asks for takes memory only once the weights fit it."""
_COUNTER = "num_batches_tracked"


class Tail(nn.Module):
    """A quality's latents to logits.

    [N, d] ─(synthesis, for q1 ...)─> [N, *latent_shape] ─decoder─> [N, *feature_shape] ─back─> [N, classes]

    ``back``: the network after its cut.
    """

    def __init__(
        self,
        decoder: nn.Module,
        back: nn.Module,
        latent_shape: Sequence[int],
        synthesis: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.synthesis = synthesis
        self.decoder = decoder
        self.back = back
        self.latent_shape = tuple(latent_shape)

    def forward(self, latents: Tensor) -> Tensor:
        """Latents to logits."""
        if self.synthesis is not None:
            latents = self.synthesis(latents).view(-1, *self.latent_shape)
        logits: Tensor = self.back(self.decoder(latents))
        return logits


def load_head(bundle: Bundle) -> Head:
    """Build the default head, channels last: what its graph computes.

    Raises:
        BundleInvalid: the graph's weights are not those of the networks.

    """
    manifest, graph = bundle.manifest, bundle.graph()
    weights = read_weights(graph)
    front, _ = _halves(bundle)
    with _SHAPES_ONLY:
        outputs: dict[str, nn.Module] = {
            quality.output: _encoder(bundle, quality) for quality in manifest.qualities.values()
        }
        if manifest.fallback:
            widths = [len(value) for name, value in weights.items() if _is_layer(name, CLASSES)]
            outputs[CLASSES] = Fallback(manifest.feature_shape[0], len(manifest.classes), widths[:-1])
    head = Head(front, outputs).eval()
    try:
        restore(head, weights, graph.picture_shape)
    except RuntimeError as exc:
        raise BundleInvalid(bundle.path, "the graph's weights don't fit the networks") from exc
    return head.to(memory_format=torch.channels_last)


def _is_layer(name: str, output: str) -> bool:
    return name.startswith(f"{output}.layers.") and name.endswith(".weight")


def _encoder(bundle: Bundle, quality: Quality) -> nn.Module:
    encoder, bottleneck = _cae(bundle.manifest).encoder, _bottleneck(bundle, quality)
    return learned_encoder(encoder, bottleneck) if bottleneck else encoder


def learned_encoder(encoder: nn.Module, bottleneck: Bottleneck) -> nn.Module:
    """Join what makes a learned quality's numbers of a feature."""
    flat = nn.Identity() if bottleneck.in_maps else nn.Flatten()
    return nn.Sequential(OrderedDict(encoder=encoder, flat=flat, analysis=bottleneck.analysis))


def _cae(manifest: Manifest) -> Autoencoder:
    return cae(manifest.feature_shape, negative=manifest.negative)


def _bottleneck(bundle: Bundle, quality: Quality) -> Bottleneck | None:
    """Build a learned quality's; None for others, whose code is the autoencoder's latent."""
    if quality.codec != Factorised.id:
        return None
    latent = latent_shape(bundle.manifest.feature_shape)
    try:
        return Bottleneck(latent, quality.latent_shape, quality.hidden)
    except SettingsError as exc:
        raise BundleInvalid(bundle.path, f"{exc}; copy the bundle again") from exc


def load_tails(bundle: Bundle) -> dict[str, Tail]:
    """Build the tail of every quality; what they share is loaded once.

    Raises:
        BundleInvalid: the weights are not those of the networks.

    """
    manifest = bundle.manifest
    _, back = _halves(bundle)
    fill(back, tensors_of(bundle, manifest.tail), bundle)
    shared: dict[tuple[object, ...], Tail] = {}
    tails: dict[str, Tail] = {}
    for name, quality in manifest.qualities.items():
        key = (quality.tail, quality.latent_shape, quality.hidden)
        if key not in shared:
            tensors = tensors_of(bundle, quality.tail)
            with _SHAPES_ONLY:
                decoder, bottleneck = _cae(manifest).decoder, _bottleneck(bundle, quality)
            fill(decoder, part(tensors, DECODER), bundle)
            synthesis = fill(bottleneck.synthesis, part(tensors, SYNTHESIS), bundle) if bottleneck else None
            shared[key] = Tail(decoder, back, latent_shape(manifest.feature_shape), synthesis).eval()
        tails[name] = shared[key]
    return tails


def _halves(bundle: Bundle) -> tuple[nn.Module, nn.Module]:
    """Build the bundle's network, cut in two, without weights."""
    manifest = bundle.manifest
    try:
        with _SHAPES_ONLY:
            network = build(manifest.network, len(manifest.classes))
        if dict(network.named_buffers()).keys() - network.state_dict().keys():
            network = build(manifest.network, len(manifest.classes))  # with what no file has
        return split(network.eval(), manifest.network.cut)
    except SettingsError as exc:
        raise BundleInvalid(bundle.path, f"{exc}") from exc


def tensors_of(bundle: Bundle, files: Iterable[str]) -> dict[str, Tensor]:
    """Collect the tensors of files, as float32."""
    return {
        name: torch.from_numpy(values.astype("float32"))
        for file in files
        for name, values in bundle.tensors[file].items()
    }


def part(tensors: Mapping[str, Tensor], name: str) -> dict[str, Tensor]:
    """Choose the tensors of a part, whose names begin with its own."""
    prefix = f"{name}."
    return {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}


def fill(network: nn.Module, tensors: Mapping[str, Tensor], bundle: Bundle) -> nn.Module:
    """Give a network its weights.

    Raises:
        BundleInvalid: they are not those of the network.

    """
    counters = {key: torch.tensor(0) for key in network.state_dict() if key.endswith(_COUNTER)}
    try:
        network.load_state_dict({**counters, **tensors}, assign=True)
    except RuntimeError as exc:
        raise BundleInvalid(bundle.path, "weights don't fit the network") from exc
    return network.requires_grad_(requires_grad=False)
