"""Every error that Splitwire raises on purpose, and what each becomes outside.

    SplitwireError
    ├── SettingsError             an option, variable or file of settings is wrong
    │   └── ClientClosed
    ├── PictureError              one picture can't be used; the others go on
    │   ├── PictureMissing
    │   └── PictureBroken
    │       └── PictureCostly
    ├── DecoderFailed             the process that decodes pictures can't be started
    ├── BundleError               a model bundle can't be used
    │   ├── BundleMissing
    │   ├── BundleInvalid
    │   ├── BundleUnwritable
    │   ├── BundleFileMismatch
    │   ├── QualityMissing
    │   └── FallbackMissing
    ├── TensorInvalid             a table or a weight is absent or unusable; loaders turn it into BundleInvalid
    ├── GraphInvalid              a device's graph that ncnn is not given; loaders turn it into BundleInvalid
    ├── LatentInvalid             a codec was given a latent that it can't quantise
    ├── FrameError                bytes that are not a valid frame
    │   ├── FrameTruncated
    │   ├── FrameMagicInvalid
    │   ├── FrameVersionUnknown
    │   ├── FrameCountInvalid
    │   ├── FrameLengthInvalid
    │   ├── FrameQualityInvalid
    │   └── PayloadInvalid
    ├── AnswerError               bytes that are not a valid compact answer
    │   ├── AnswerMagicInvalid
    │   ├── AnswerVersionUnknown
    │   ├── AnswerLengthInvalid
    │   └── AnswerValueInvalid
    ├── RequestError              a request that the cloud does not serve
    │   ├── ParameterInvalid
    │   ├── FileUnknown
    │   ├── FingerprintUnknown
    │   ├── KeyMissing
    │   ├── KeyWrong
    │   ├── BodyLate
    │   ├── BodyTooLarge
    │   ├── BodyTypeUnsupported
    │   ├── ConnectionsFull
    │   ├── HeadersLate
    │   ├── HeadersTooLarge
    │   ├── QueueFull
    │   ├── RangeUnsatisfiable
    │   ├── RequestMalformed
    │   ├── NotReady
    │   └── DeadlinePassed
    ├── CloudError                the device got no answer from its cloud
    │   ├── CloudUnreachable
    │   ├── CloudLate
    │   ├── CloudBusy
    │   ├── CloudRefused
    │   └── CloudAnswerInvalid
    ├── OutboxError               the outbox of a watched folder can't be kept
    │   ├── OutboxForeign
    │   └── OutboxHeld
    ├── PackagesMissing           an optional part of the installation is needed
    └── TrainingError             a training can't start or go on

``CODES`` at the end gives the HTTP status and the exit code of each.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path


LONGEST_SHOWN = 300
"""How many characters of somebody else's words are shown."""


def shown(words: Path | str, most: int | None = None) -> str:
    """Write a path, or somebody else's words, so that they can be printed: one line of UTF-8.

    Control characters, line ends and marks that turn the direction of reading become visible escapes, and so
    do a path's bytes that are no UTF-8. ``most``: how many characters to show.
    """
    text = str(words)
    cut = text if most is None else text[: most + 1]
    if not cut.isprintable():
        cut = "".join(map(_visible, cut))
    return cut if most is None or len(cut) <= most else f"{cut[: most - 3]}..."


def _visible(character: str) -> str:
    if character.isprintable():
        return character
    if "\udc80" <= character <= "\udcff":  # Python's way to keep a path's byte that is no UTF-8
        return f"\\x{ord(character) - 0xDC00:02x}"
    return character.encode("unicode_escape").decode()


class SplitwireError(Exception):
    """The root. Its text is one line that says what to do, and can be printed whatever was put into it."""

    def __init__(self, message: str = "") -> None:
        super().__init__(shown(message))


class SettingsError(SplitwireError):
    """An option, an environment variable or a settings file is wrong."""


class PictureError(SplitwireError):
    """A picture that can't be used."""

    def __init__(self, path: Path | str, reason: str) -> None:
        self.reason = reason
        super().__init__(f"{shown(path)}: {reason}")


class PictureMissing(PictureError):
    """There is no readable file."""


class PictureBroken(PictureError):
    """The file is not a picture, or not one that can be classified."""


class PictureCostly(PictureBroken):
    """Decoding it takes more memory or time than a picture may, or has ended the process that did it."""


class BundleError(SplitwireError):
    """A model bundle that can't be used."""

    def __init__(self, path: Path | str, reason: str) -> None:
        super().__init__(f"model bundle {path}: {reason}")


class BundleMissing(BundleError):
    """There is no bundle, or a file of it is absent."""


class BundleInvalid(BundleError):
    """The manifest or a file of weights is not what the format says."""


class BundleFileMismatch(BundleError):
    """A file differs from what the manifest says of it."""

    def __init__(self, path: Path | str, file: str, expected: str, actual: str) -> None:
        super().__init__(
            path,
            f"{file} has SHA-256 {actual[:12]}..., the manifest says {expected[:12]}...; "
            "copy the bundle again",
        )


class QualityMissing(BundleError):
    """The bundle has no quality of that name."""

    def __init__(self, path: Path | str, quality: str, available: Sequence[str]) -> None:
        super().__init__(path, f"no quality {quality!r}; choose one of {', '.join(available)}")


class TensorInvalid(SplitwireError):
    """A tensor that is absent, of another shape, or with values that can't be."""


class GraphInvalid(SplitwireError):
    """A graph with a layer that is not allowed, or that does not fit the others or the weights."""


class LatentInvalid(SplitwireError):
    """A latent of the wrong shape, or with values that are not finite."""


class FrameError(SplitwireError):
    """Bytes that are not a valid frame."""


class FrameTruncated(FrameError):
    """The bytes end too early."""

    def __init__(self, expected: int, actual: int) -> None:
        super().__init__(f"the frame needs at least {expected} bytes but has {actual}; send it whole")


class FrameMagicInvalid(FrameError):
    """The first nibble is not a frame's."""

    def __init__(self, actual: int) -> None:
        super().__init__(
            f"the body is not a Splitwire frame (first nibble {actual:#x}); see docs/wire-format.md"
        )


class FrameVersionUnknown(FrameError):
    """A version that this code does not read."""

    def __init__(self, actual: int, supported: int) -> None:
        super().__init__(
            f"frame version {actual} is unknown, this side reads up to {supported}; "
            "install the same release on device and cloud"
        )


class FrameCountInvalid(FrameError):
    """A number of pictures that no frame may have."""

    def __init__(self, actual: int, smallest: int, largest: int) -> None:
        super().__init__(
            f"a frame of this form has {smallest} to {largest} pictures, not {actual}; split or join frames"
        )


class FrameLengthInvalid(FrameError):
    """Lengths that don't add up, or break a cap."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"{reason}; the frame was damaged or made by other software")


class PayloadInvalid(FrameError):
    """A payload that the quality's codec can't decode."""

    def __init__(self, codec: str, reason: str) -> None:
        super().__init__(f"payload of codec {codec}: {reason}; encode the picture again")


class AnswerError(SplitwireError):
    """Bytes that are not a valid compact answer."""


class AnswerMagicInvalid(AnswerError):
    """The first nibble is not a compact answer's."""

    def __init__(self, actual: int) -> None:
        super().__init__(f"not a compact answer (first nibble {actual:#x}); is the URL a Splitwire cloud's?")


class AnswerVersionUnknown(AnswerError):
    """A version that this code does not read."""

    def __init__(self, actual: int, supported: int) -> None:
        super().__init__(
            f"compact answer version {actual} is unknown, this side reads {supported}; "
            "install the same release on device and cloud"
        )


class AnswerLengthInvalid(AnswerError):
    """Numbers of bytes, pictures or classes that don't add up, or break a cap."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"{reason}; the answer was damaged or made by other software")


class AnswerValueInvalid(AnswerError):
    """A class, a probability or a time that no answer has."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"{reason}; the answer was damaged or made by other software")


class PackagesMissing(SplitwireError):
    """An optional part of the installation is needed."""

    def __init__(self, package: str, purpose: str, remedy: str) -> None:
        super().__init__(f"{purpose} needs the package {package}, which is not installed; {remedy}")


class Codes(NamedTuple):
    """What an error becomes outside: an HTTP status (0: none) and a process exit code."""

    status: int
    exit: int


CODES: Mapping[str, Codes] = {
    "SplitwireError": Codes(status=500, exit=1),
    "SettingsError": Codes(status=500, exit=2),
    "PictureError": Codes(status=0, exit=3),
    "BundleError": Codes(status=500, exit=4),
    "QualityMissing": Codes(status=500, exit=2),
    "FrameError": Codes(status=400, exit=6),
    "AnswerError": Codes(status=500, exit=6),
    "ParameterInvalid": Codes(status=400, exit=6),
    "FileUnknown": Codes(status=404, exit=6),
    "FingerprintUnknown": Codes(status=409, exit=6),
    "KeyMissing": Codes(status=401, exit=6),
    "KeyWrong": Codes(status=403, exit=6),
    "BodyLate": Codes(status=408, exit=6),
    "BodyTooLarge": Codes(status=413, exit=6),
    "BodyTypeUnsupported": Codes(status=415, exit=6),
    "ConnectionsFull": Codes(status=503, exit=6),
    "HeadersLate": Codes(status=408, exit=6),
    "HeadersTooLarge": Codes(status=431, exit=6),
    "QueueFull": Codes(status=429, exit=6),
    "RangeUnsatisfiable": Codes(status=416, exit=6),
    "RequestMalformed": Codes(status=400, exit=6),
    "NotReady": Codes(status=503, exit=6),
    "DeadlinePassed": Codes(status=504, exit=6),
    "CloudUnreachable": Codes(status=0, exit=5),
    "CloudLate": Codes(status=0, exit=5),
    "CloudBusy": Codes(status=0, exit=5),
    "CloudRefused": Codes(status=0, exit=6),
    "CloudAnswerInvalid": Codes(status=0, exit=6),
    "PackagesMissing": Codes(status=500, exit=7),
    "TrainingError": Codes(status=0, exit=8),
    "OutboxError": Codes(status=0, exit=9),
}


def codes_of(error: SplitwireError) -> Codes:
    """Return the entry of ``CODES`` for the nearest class in the error's ancestry."""
    return next(CODES[kind.__name__] for kind in type(error).__mro__ if kind.__name__ in CODES)
