"""The model bundle: the unit that is trained, shipped, loaded and named on the wire.

<bundle>/
    manifest.json               what is in it, with the SHA-256 of every file and of itself
    README.md                   the model card
    device/*.safetensors        what a device needs: convolutions, and an encoder a quality
    cloud/*.safetensors         what a cloud needs: classifier, and a decoder a quality
    codecs/*.safetensors        tables that both need
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    PositiveInt,
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
    QualityMissing,
    TensorInvalid,
    shown,
)
from splitwire.shared.frame import MAX_QUALITY
from splitwire.shared.pictures.loading import Preparation
from splitwire.shared.regular_file import FileUnfit, read_regular
from splitwire.shared.tensors import tensor

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

    from splitwire.shared.codecs.abc import Codec
    from splitwire.shared.tensors import Tensors

Role = Literal["device", "cloud"]
MANIFEST = "manifest.json"
ID = re.compile(r"^[a-z0-9][a-z0-9.-]{0,63}$")
CONVOLUTIONS, FALLBACK, CLASSIFIER = "convolutions", "fallback", "classifier"
ENCODER, ANALYSIS, SYNTHESIS, DECODER = "encoder", "analysis", "synthesis", "decoder"
"""How the names of a network's tensors begin: those that all qualities share, and a quality's own."""
MAX_FILES = 256
MAX_FILE_BYTES = 256 << 20
MAX_BUNDLE_BYTES = 1 << 30
"""Of what one side needs."""
MAX_MANIFEST_BYTES = 1 << 20
"""Also of an evaluation."""
MAX_CLASSES = 1 << 16
"""A compact answer has 16 bits for a class."""
_MAX_HEADER_BYTES = 1 << 20
"""Of a safetensors file: names and shapes of its tensors."""
_SHAPES = (224, (512, 7, 7), (128, 5, 5))
"""Side of the picture, feature, latent: format 1 is for one network."""


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


def _weights(name: str) -> str:
    if not name.endswith(".safetensors"):
        raise ValueError("a file of weights is a .safetensors file")
    return name


FileName = Annotated[FilePath, AfterValidator(_weights)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Files(_Part):
    """The files that each side needs."""

    device: tuple[FileName, ...]
    cloud: tuple[FileName, ...]

    def of(self, role: Role) -> tuple[str, ...]:
        """List the files that one side needs."""
        return self.device if role == "device" else self.cloud


class Quality(_Part):
    """One way to send a latent: its number on the wire, its codec and its files."""

    id: int = Field(ge=0, le=MAX_QUALITY)
    codec: Name
    files: Files


class Manifest(_Part):
    """What a bundle is. Shapes are channels, rows, columns. ``digest``: see ``manifest_digest``."""

    format: Literal[1]
    id: Annotated[str, Field(pattern=ID.pattern)]
    classes: tuple[Word, ...] = Field(min_length=2, max_length=MAX_CLASSES)
    preparation: Preparation
    feature_shape: tuple[PositiveInt, PositiveInt, PositiveInt]
    latent_shape: tuple[PositiveInt, PositiveInt, PositiveInt]
    hidden: tuple[Annotated[int, Field(ge=1, le=1 << 20)], ...] = Field(max_length=16)
    files: Files
    qualities: dict[Name, Quality] = Field(min_length=1)
    default_quality: str
    sha256: dict[FileName, Sha256] = Field(max_length=MAX_FILES)
    digest: str = ""

    @model_validator(mode="after")
    def _consistent(self) -> Manifest:
        ids = [quality.id for quality in self.qualities.values()]
        if len(set(ids)) != len(ids):
            raise ValueError("two qualities have the same id")
        if self.default_quality not in self.qualities:
            raise ValueError("default_quality is not one of the qualities")
        missing = {*self.needed("device"), *self.needed("cloud")} - self.sha256.keys()
        if missing:
            raise ValueError(f"no sha256 of {', '.join(sorted(missing))}")
        shapes = (self.preparation.size, self.feature_shape, self.latent_shape)
        if shapes != _SHAPES:
            raise ValueError(f"size and shapes {shapes}, but format 1 has {_SHAPES}")
        if not all(map(math.isfinite, (*self.preparation.mean, *self.preparation.std))):
            raise ValueError("a mean or deviation is no number")
        return self

    def needed(self, role: Role) -> tuple[str, ...]:
        """Every file that one side needs, each once."""
        parts = (self.files, *(quality.files for quality in self.qualities.values()))
        return tuple(dict.fromkeys(name for part in parts for name in part.of(role)))

    def contract(self, quality: str) -> bytes:
        """Write down what turns a quality's payload into an answer: codec, shapes, classes, the cloud's files.

        Encoders, other qualities and the card may change without changing it.
        """
        entry = self.qualities[quality]
        contract = {
            "classes": self.classes,
            "codec": entry.codec,
            "feature_shape": self.feature_shape,
            "hidden": self.hidden,
            "id": entry.id,
            "latent_shape": self.latent_shape,
            "sha256": [self.sha256[name] for name in (*self.files.cloud, *entry.files.cloud)],
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
    """A loaded bundle: its manifest, and the tensors of the files that one side needs."""

    path: Path
    manifest: Manifest
    tensors: Mapping[str, Tensors]
    """File name -> tensor name -> array."""

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
        name = self.quality(quality).codec
        if name not in CODECS:
            raise BundleInvalid(self.path, f"codec {name!r} is unknown here; install a newer release")
        with self._naming(quality):
            return CODECS[name].from_tables(self.manifest.latent_shape, self.tensors_of(quality))

    def tensor(self, quality: str | None, name: str, shape: tuple[int | None, ...]) -> NDArray[Any]:
        """Find one of ``tensors_of``; None in ``shape``: any size.

        Raises:
            BundleInvalid: it is absent, of another shape, or not all finite.

        """
        with self._naming(quality):
            return tensor(self.tensors_of(quality), name, shape)

    def tensors_of(self, quality: str | None) -> dict[str, NDArray[Any]]:
        """Collect a quality's tensors, or with None those that all share, from the files that were loaded."""
        files = self.manifest.files if quality is None else self.quality(quality).files
        return {
            name: values
            for file in (*files.device, *files.cloud)
            for name, values in self.tensors.get(file, {}).items()
        }

    @contextmanager
    def _naming(self, quality: str | None) -> Iterator[None]:
        """Say which bundle and quality an unusable tensor is of."""
        try:
            yield
        except TensorInvalid as exc:
            where = "" if quality is None else f" in quality {quality!r}"
            raise BundleInvalid(self.path, f"{exc}{where}; copy the bundle again") from exc


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
    left = MAX_BUNDLE_BYTES
    for name in manifest.needed(role):
        tensors[name] = _read(path, name, manifest.sha256[name], min(left, MAX_FILE_BYTES))
        left -= sum(values.nbytes for values in tensors[name].values())
    return Bundle(path=path, manifest=manifest, tensors=tensors)


def _read(path: Path, name: str, expected: str, most: int) -> Tensors:
    try:
        data = read_bundle_file(path, name, most)
    except FileNotFoundError:
        raise BundleMissing(path, f"{name} is absent; copy the bundle again") from None
    actual = hashlib.sha256(data).hexdigest()
    if actual != expected:
        raise BundleFileMismatch(path, name, expected, actual)
    if int.from_bytes(data[:8], "little") > _MAX_HEADER_BYTES:
        raise BundleInvalid(path, f"{name} has too long a list of tensors; copy the bundle again")
    try:
        return load(data)
    except (SafetensorError, KeyError, ValueError) as exc:
        what = shown(str(exc), LONGEST_SHOWN)
        raise BundleInvalid(path, f"{name} is not a usable safetensors file ({what})") from exc
