"""The model bundle: the unit that is trained, shipped, loaded and named on the wire.

<bundle>/
    manifest.json                     what is in it, with the SHA-256 of every file and of itself
    README.md                         the model card
    device/*.ncnn.param, *.ncnn.bin   what a device computes: a graph and its weights
    cloud/*.safetensors               what a cloud needs: the network after its cut, and a decoder a quality
    codecs/*.safetensors              tables that both need
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeInt,
    ValidationError,
    model_validator,
)
from safetensors import SafetensorError
from safetensors.numpy import load

from splitwire.shared.codecs import CODECS
from splitwire.shared.errors import (
    LONGEST_SHOWN,
    BundleFileMismatch,
    BundleInvalid,
    BundleMissing,
    GraphInvalid,
    QualityMissing,
    TensorInvalid,
    shown,
)
from splitwire.shared.frame import MAX_QUALITY
from splitwire.shared.graph.reading import CLASSES, FEATURE, PICTURE, read_graph
from splitwire.shared.pictures.loading import Preparation
from splitwire.shared.regular_file import FileUnfit, read_regular

if TYPE_CHECKING:
    from collections.abc import Mapping

    from splitwire.shared.codecs.abc import Codec
    from splitwire.shared.graph.reading import Graph
    from splitwire.shared.tensors import Tensors

Role = Literal["device", "cloud"]
MANIFEST = "manifest.json"
ID = re.compile(r"^[a-z0-9][a-z0-9.-]{0,63}$")
SYNTHESIS, DECODER = "synthesis", "decoder"
"""How the names of tensors begin in a quality's files."""
FORMAT: Literal[2] = 2
MAX_FILES = 256
MAX_FILE_BYTES = 256 << 20
MAX_BUNDLE_BYTES = 1 << 30
"""Of what one side needs."""
MAX_MANIFEST_BYTES = 1 << 20
"""Also of an evaluation."""
MAX_CLASSES = 1 << 16
"""A compact answer has 16 bits for a class."""
_OLD_FORMAT, _OLD_BYTES = re.compile(rb'^\{\s*"format":\s*1\s*,'), 200
_MAX_HEADER_BYTES = 1 << 20
"""Of a safetensors file: names and shapes of its tensors."""


def _printable(word: str) -> str:
    if not word.isprintable():
        raise ValueError("has characters that can't be printed")
    return word


Word = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_printable)]
"""What may be shown to people."""
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
_PART = r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}"
FilePath = Annotated[str, Field(pattern=rf"^{_PART}(/{_PART}){{0,3}}$")]
"""A file inside a bundle, on any system: plain names, few folders."""

TensorFile = Annotated[str, Field(pattern=rf"^({_PART}/){{0,3}}{_PART}\.safetensors$")]
GraphFile = Annotated[str, Field(pattern=rf"^({_PART}/){{0,3}}{_PART}\.ncnn\.param$")]
WeightsFile = Annotated[str, Field(pattern=rf"^({_PART}/){{0,3}}{_PART}\.ncnn\.bin$")]
Shape = Annotated[tuple[Annotated[int, Field(ge=1, le=1 << 24)], ...], Field(min_length=1, max_length=3)]
Widths = Annotated[tuple[Annotated[int, Field(ge=1, le=1 << 20)], ...], Field(max_length=16)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class NetworkSpec(_Part):
    """A network by its name, and where it is cut; ``splitwire.models.networks`` builds it.

    ``hidden``: widths of the classifier of ``vgg16``; others have none.
    """

    name: Word
    cut: Word
    hidden: Widths = ()


class HeadFiles(_Part):
    """A graph that makes a device's codes, and what the network before the cut costs there.

    ``low_memory``: the same graph, slower, in less memory; none where it would be no other.
    """

    graph: GraphFile
    low_memory: GraphFile | None = None
    weights: WeightsFile
    parameters: NonNegativeInt
    multiplications: NonNegativeInt


class Quality(_Part):
    """One way to send a latent: its number on the wire, its codec, and what makes and decodes it.

    ``output``: the graph's, with that shape. ``tables``: the codec's, where it has some. ``tail``: what the cloud needs
    besides what all share. ``hidden``: widths of the layers that make a latent of a code.
    """

    id: int = Field(ge=0, le=MAX_QUALITY)
    codec: Name
    latent_shape: Shape
    output: Name
    tables: TensorFile | None = None
    tail: tuple[TensorFile, ...] = Field(max_length=16)
    hidden: Widths = ()


class FileEntry(_Part):
    """A file as it was when the bundle was written; ``size`` in bytes."""

    size: int = Field(ge=0, le=MAX_FILE_BYTES)
    sha256: Sha256

    @classmethod
    def of(cls, content: bytes) -> FileEntry:
        """Describe what a file has in it."""
        return cls(size=len(content), sha256=hashlib.sha256(content).hexdigest())


class Manifest(_Part):
    """What a bundle is. Shapes are channels, rows, columns. ``digest``: see ``manifest_digest``.

    ``negative``: whether features may have negative numbers. ``tail``: files that the cloud needs for every quality.
    ``fallback``: whether the graphs have an output with the device's own classes.
    """

    format: Literal[2]
    id: Annotated[str, Field(pattern=ID.pattern)]
    task: Literal["classification"] = "classification"
    classes: tuple[Word, ...] = Field(min_length=2, max_length=MAX_CLASSES)
    network: NetworkSpec
    preparation: Preparation
    feature_shape: Shape
    negative: bool = False
    heads: dict[Name, HeadFiles] = Field(min_length=1, max_length=16)
    default_head: str
    qualities: dict[Name, Quality] = Field(min_length=1)
    default_quality: str
    tail: tuple[TensorFile, ...] = Field(max_length=16)
    fallback: bool = False
    files: dict[FilePath, FileEntry] = Field(max_length=MAX_FILES)
    digest: str = ""

    @model_validator(mode="after")
    def _consistent(self) -> Manifest:
        ids = [quality.id for quality in self.qualities.values()]
        if len(set(ids)) != len(ids):
            raise ValueError("two qualities have the same id")
        if self.default_quality not in self.qualities:
            raise ValueError("default_quality is not one of the qualities")
        if self.default_head not in self.heads:
            raise ValueError("default_head is not one of the heads")
        missing = {*self.needed("device"), *self.needed("cloud")} - self.files.keys()
        if missing:
            raise ValueError(f"no sha256 of {', '.join(sorted(missing))}")
        if not all(map(math.isfinite, (*self.preparation.mean, *self.preparation.std))):
            raise ValueError("a mean or deviation is no number")
        return self

    def needed(self, role: Role) -> tuple[str, ...]:
        """Every file that one side needs, each once."""
        tables = [quality.tables for quality in self.qualities.values()]
        if role == "device":
            heads = self.heads.values()
            parts = [
                *(name for head in heads for name in (head.graph, head.low_memory, head.weights)),
                *tables,
            ]
        else:
            parts = [
                *self.tail,
                *(name for quality in self.qualities.values() for name in quality.tail),
                *tables,
            ]
        return tuple(dict.fromkeys(filter(None, parts)))

    def contract(self, quality: str) -> bytes:
        """Write down what turns a quality's payload into an answer: codec, shapes, network, classes, the cloud's files.

        Graphs, other qualities and the card may change without changing it.
        """
        entry = self.qualities[quality]
        files = (*self.tail, *entry.tail, *filter(None, [entry.tables]))
        contract = {
            "classes": self.classes,
            "codec": entry.codec,
            "feature_shape": self.feature_shape,
            "hidden": entry.hidden,
            "id": entry.id,
            "latent_shape": entry.latent_shape,
            "negative": self.negative,
            "network": self.network.model_dump(),
            "sha256": [self.files[name].sha256 for name in files],
            "task": self.task,
        }
        return json.dumps(contract, sort_keys=True, separators=(",", ":")).encode()

    def sealed(self) -> Manifest:
        """Give it the right ``digest``: see ``manifest_digest``."""
        return self.model_copy(update={"digest": manifest_digest(self.model_dump())})

    def fingerprint(self, quality: str) -> int:
        """32 bits that name the decoding contract of a quality."""
        return int.from_bytes(hashlib.sha256(self.contract(quality)).digest()[:4], "little")


def manifest_digest(values: Mapping[str, Any]) -> str:
    """Hash a manifest: the SHA-256, in hexadecimal, of its canonical JSON without ``digest``."""
    rest = {name: value for name, value in values.items() if name != "digest"}
    return hashlib.sha256(json.dumps(rest, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


@dataclass(frozen=True, kw_only=True)
class Bundle:
    """A loaded bundle: its manifest, and the files that one side needs.

    ``tensors``: of safetensors files, by file and name. ``data``: the bytes of others, by file.
    """

    path: Path
    manifest: Manifest
    tensors: Mapping[str, Tensors]
    data: Mapping[str, bytes]

    def quality(self, name: str) -> Quality:
        """Look a quality up.

        Raises:
            QualityMissing: the bundle has none of that name.

        """
        try:
            return self.manifest.qualities[name]
        except KeyError:
            raise QualityMissing(self.path, name, tuple(self.manifest.qualities)) from None

    def codec(self, quality: str) -> Codec:
        """Build the codec of a quality.

        Raises:
            QualityMissing: the bundle has no such quality.
            BundleInvalid: its codec is unknown here, or its tables are unusable.

        """
        entry = self.quality(quality)
        if entry.codec not in CODECS:
            raise BundleInvalid(self.path, f"codec {entry.codec!r} is unknown here; install a newer release")
        tables = self.tensors[entry.tables] if entry.tables else {}
        try:
            codec = CODECS[entry.codec].from_tables(entry.latent_shape, tables)
        except TensorInvalid as exc:
            raise BundleInvalid(self.path, f"{exc} in quality {quality!r}; copy the bundle again") from exc
        if codec.latent_shape != entry.latent_shape:
            raise BundleInvalid(
                self.path, f"tables of quality {quality!r} don't fit it; copy the bundle again"
            )
        return codec

    def graph(self, *, low_memory: bool = False) -> Graph:
        """Read the graph of the default head; ``low_memory``: the slower one that needs less.

        Raises:
            BundleInvalid: it can't be used, or has not the outputs that the manifest says.

        """
        head = self.manifest.heads[self.manifest.default_head]
        return self._graph(head.low_memory or head.graph if low_memory else head.graph, head.weights)

    def check_graphs(self) -> None:
        """Read all graphs.

        Raises:
            BundleInvalid: one can't be used, or has not the outputs that the manifest says.

        """
        for head in self.manifest.heads.values():
            for name in filter(None, (head.graph, head.low_memory)):
                self._graph(name, head.weights)

    def _graph(self, name: str, weights: str) -> Graph:
        manifest = self.manifest
        try:
            graph = read_graph(self.data[name], self.data[weights])
        except GraphInvalid as exc:
            raise BundleInvalid(self.path, f"{name}: {exc}; copy the bundle again") from exc
        wanted = [
            (PICTURE, (3, manifest.preparation.size, manifest.preparation.size)),
            (FEATURE, manifest.feature_shape),
            *((quality.output, quality.latent_shape) for quality in manifest.qualities.values()),
            *([(CLASSES, (len(manifest.classes),))] if manifest.fallback else []),
        ]
        for output, shape in wanted:
            if graph.shapes.get(output) != shape:
                raise BundleInvalid(
                    self.path, f"{name} has no {output} of shape {shape}; copy the bundle again"
                )
        return graph


def default_bundle_path() -> Path:
    """Find the bundle that is shipped."""
    return Path(__file__).resolve().parent.parent / "models" / "weights" / "vgg16-cifar10"


def load_manifest(path: Path) -> Manifest:
    """Read and check ``manifest.json``.

    Raises:
        BundleMissing: there is none.
        BundleInvalid: it is not a manifest of this format, or was changed after it was written.

    """
    try:
        text = read_bundle_file(path, MANIFEST, MAX_MANIFEST_BYTES)
    except FileNotFoundError:
        raise BundleMissing(path, f"no {MANIFEST} there; give the path of a bundle's folder") from None
    if _OLD_FORMAT.search(text[:_OLD_BYTES]):
        raise BundleInvalid(
            path, "its format is 1, this release reads 2; pull it from its cloud again, or export it again"
        )
    try:
        manifest = Manifest.model_validate_json(text)
    except ValidationError as exc:
        first = exc.errors()[0]
        where = ": ".join([MANIFEST, ".".join(str(part) for part in first["loc"])]).removesuffix(": ")
        what = shown(f"{where}: {first['msg'].lower()}", LONGEST_SHOWN)
        raise BundleInvalid(path, f"{what}; copy the bundle again") from exc
    if manifest != manifest.sealed():
        raise BundleInvalid(path, f"{MANIFEST} was changed after it was written; copy the bundle again")
    return manifest


def read_bundle_file(bundle: Path, name: str, most: int) -> bytes:
    """Read one of a bundle's files, a regular one of at most ``most`` bytes.

    Raises:
        FileNotFoundError: there is none.
        BundleMissing: it can't be read.
        BundleInvalid: it is something else.

    """
    try:
        return read_regular(bundle / name, most)[0]
    except FileNotFoundError:
        raise
    except FileUnfit as exc:
        raise BundleInvalid(bundle, f"{name} is unusable ({exc.strerror}); copy the bundle again") from exc
    except OSError as exc:
        raise BundleMissing(bundle, f"{name} can't be read ({exc.strerror})") from exc


def load_bundle(path: Path, role: Role) -> Bundle:
    """Load what one side needs; what is read is what was hashed.

    Raises:
        BundleMissing: the manifest or a file is absent.
        BundleInvalid: the manifest or a file is malformed.
        BundleFileMismatch: a file is not the one the manifest names.

    """
    manifest = load_manifest(path)
    tensors: dict[str, Tensors] = {}
    data: dict[str, bytes] = {}
    needed = {name: manifest.files[name] for name in manifest.needed(role)}
    if sum(entry.size for entry in needed.values()) > MAX_BUNDLE_BYTES:
        raise BundleInvalid(path, f"its files for a {role} are over {MAX_BUNDLE_BYTES:,} bytes")
    for name, entry in needed.items():
        content = _read(path, name, entry)
        if name.endswith(".safetensors"):
            tensors[name] = _tensors(path, name, content)
        else:
            data[name] = content
    bundle = Bundle(path=path, manifest=manifest, tensors=tensors, data=data)
    if role == "device":
        bundle.check_graphs()
    return bundle


def _read(path: Path, name: str, entry: FileEntry) -> bytes:
    try:
        data = read_bundle_file(path, name, MAX_FILE_BYTES)
    except FileNotFoundError:
        raise BundleMissing(path, f"{name} is absent; copy the bundle again") from None
    actual = hashlib.sha256(data).hexdigest()
    if actual != entry.sha256:
        raise BundleFileMismatch(path, name, entry.sha256, actual)
    if len(data) != entry.size:
        raise BundleInvalid(
            path, f"{name} has {len(data):,} bytes, not {entry.size:,}; copy the bundle again"
        )
    return data


def _tensors(path: Path, name: str, data: bytes) -> Tensors:
    if int.from_bytes(data[:8], "little") > _MAX_HEADER_BYTES:
        raise BundleInvalid(path, f"{name} has too long a list of tensors; copy the bundle again")
    try:
        return load(data)
    except (SafetensorError, KeyError, ValueError) as exc:
        what = shown(str(exc), LONGEST_SHOWN)
        raise BundleInvalid(path, f"{name} is not a usable safetensors file ({what})") from exc
