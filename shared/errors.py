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
    ├── ShapeInvalid              a network was given, or made, a tensor of another shape
    ├── LatentInvalid             an encoder was given a latent it can't code
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
    ├── JournalError              the record of a watched folder can't be kept
    │   ├── JournalForeign
    │   └── JournalHeld
    ├── PackagesMissing           an optional part of the installation is needed
    └── TrainingError             a training can't start or go on

``CODES`` at the end gives the HTTP status and the exit code of each.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

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


class ClientClosed(SettingsError):
    """A client of the Python API was closed while it worked, or is not open."""


class PictureError(SplitwireError):
    """A picture that can't be used."""

    def __init__(self, path: Path | str, reason: str) -> None:
        self.path = path
        self.reason = reason
        super().__init__(f"{shown(path)}: {reason}")


class PictureMissing(PictureError):
    """There is no readable file."""


class PictureBroken(PictureError):
    """The file is not a picture, or not one that can be classified."""


class PictureCostly(PictureBroken):
    """Decoding it takes more memory or time than a picture may, or has ended the process that did it."""


class DecoderFailed(SplitwireError):
    """The process that decodes pictures can't be started."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(f"the process that decodes pictures can't be used ({reason}); start again")


class BundleError(SplitwireError):
    """A model bundle that can't be used."""

    def __init__(self, path: Path | str, reason: str) -> None:
        self.path = path
        self.reason = reason
        super().__init__(f"model bundle {path}: {reason}")


class BundleMissing(BundleError):
    """There is no bundle, or a file of it is absent."""


class BundleInvalid(BundleError):
    """The manifest or a file of weights is not what the format says."""


class BundleUnwritable(BundleError):
    """There is no room for a bundle, or no permission to write it."""


class BundleFileMismatch(BundleError):
    """A file differs from what the manifest says of it."""

    def __init__(self, path: Path | str, file: str, expected: str, actual: str) -> None:
        self.file = file
        self.expected = expected
        self.actual = actual
        super().__init__(
            path,
            f"{file} has SHA-256 {actual[:12]}..., the manifest says {expected[:12]}...; "
            "copy the bundle again",
        )


class QualityMissing(BundleError):
    """The bundle has no quality of that name."""

    def __init__(self, path: Path | str, quality: str, available: Sequence[str]) -> None:
        self.quality = quality
        self.available = tuple(available)
        super().__init__(path, f"no quality {quality!r}; choose one of {', '.join(available)}")


class FallbackMissing(BundleError):
    """The bundle has no small classifier for the device."""

    def __init__(self, path: Path, option: str) -> None:
        self.option = option
        super().__init__(path, f"it has no classifier for the device alone; leave out {option}")


class ShapeInvalid(SplitwireError):
    """A network was given, or made, a tensor of another shape."""

    def __init__(self, what: str, expected: tuple[int, ...], actual: tuple[int, ...]) -> None:
        self.what = what
        self.expected = expected
        self.actual = actual
        shapes = ["x".join(map(str, shape)) for shape in (actual, expected)]
        super().__init__(f"a {what} of shape {shapes[0]}, expected {shapes[1]}")


class LatentInvalid(SplitwireError):
    """A latent of the wrong shape, or with values that are not finite."""


class FrameError(SplitwireError):
    """Bytes that are not a valid frame."""


class FrameTruncated(FrameError):
    """The bytes end too early."""

    def __init__(self, expected: int, actual: int) -> None:
        self.expected = expected
        self.actual = actual
        super().__init__(f"the frame needs at least {expected} bytes but has {actual}; send it whole")


class FrameMagicInvalid(FrameError):
    """The first nibble is not a frame's."""

    def __init__(self, actual: int) -> None:
        self.actual = actual
        super().__init__(
            f"the body is not a Splitwire frame (first nibble {actual:#x}); see docs/wire-format.md"
        )


class FrameVersionUnknown(FrameError):
    """A version that this code does not read."""

    def __init__(self, actual: int, supported: int) -> None:
        self.actual = actual
        self.supported = supported
        super().__init__(
            f"frame version {actual} is unknown, this side reads {supported}; "
            "install the same release on device and cloud"
        )


class FrameCountInvalid(FrameError):
    """A number of pictures that no frame may have."""

    def __init__(self, actual: int, smallest: int, largest: int) -> None:
        self.actual = actual
        self.smallest = smallest
        self.largest = largest
        super().__init__(
            f"a frame of this form has {smallest} to {largest} pictures, not {actual}; split or join frames"
        )


class FrameLengthInvalid(FrameError):
    """Lengths that don't add up, or break a cap."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(f"{reason}; the frame was damaged or made by other software")


class FrameQualityInvalid(FrameError):
    """A quality that the addressed bundle does not have."""

    def __init__(self, actual: int, expected: int) -> None:
        self.actual = actual
        self.expected = expected
        super().__init__(
            f"the frame says quality {actual}, its fingerprint belongs to quality {expected}; "
            "encode it again with the bundle's own quality"
        )


class PayloadInvalid(FrameError):
    """A payload that the quality's codec can't decode."""

    def __init__(self, codec: str, reason: str) -> None:
        self.codec = codec
        self.reason = reason
        super().__init__(f"payload of codec {codec}: {reason}; encode the picture again")


class AnswerError(SplitwireError):
    """Bytes that are not a valid compact answer."""


class AnswerMagicInvalid(AnswerError):
    """The first nibble is not a compact answer's."""

    def __init__(self, actual: int) -> None:
        self.actual = actual
        super().__init__(f"not a compact answer (first nibble {actual:#x}); is the URL a Splitwire cloud's?")


class AnswerVersionUnknown(AnswerError):
    """A version that this code does not read."""

    def __init__(self, actual: int, supported: int) -> None:
        self.actual = actual
        self.supported = supported
        super().__init__(
            f"compact answer version {actual} is unknown, this side reads {supported}; "
            "install the same release on device and cloud"
        )


class AnswerLengthInvalid(AnswerError):
    """Numbers of bytes, pictures or classes that don't add up, or break a cap."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(f"{reason}; the answer was damaged or made by other software")


class AnswerValueInvalid(AnswerError):
    """A class, a probability or a time that no answer has."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(f"{reason}; the answer was damaged or made by other software")


class RequestError(SplitwireError):
    """A request that the cloud does not serve."""


class ParameterInvalid(RequestError):
    """A query parameter or a header has a value that is not allowed."""

    def __init__(self, name: str, actual: str, allowed: str) -> None:
        self.name = name
        self.actual = actual
        self.allowed = allowed
        super().__init__(f"{name} is {actual!r}; send {allowed}")


class FileUnknown(RequestError):
    """A bundle or a file that this cloud does not give out."""

    def __init__(self, bundle: str, name: str, reason: str) -> None:
        self.bundle = bundle
        self.name = name
        self.reason = reason
        super().__init__(f"{bundle}/{name}: {reason}; GET /bundles lists what can be fetched")


class FingerprintUnknown(RequestError):
    """No loaded bundle decodes this frame."""

    def __init__(self, actual: int, loaded: Mapping[int, str]) -> None:
        self.actual = actual
        self.loaded = dict(loaded)
        names = ", ".join(f"{name} {fingerprint:08x}" for fingerprint, name in self.loaded.items())
        super().__init__(
            f"no loaded bundle has fingerprint {actual:08x} (loaded: {names}); "
            "give device and cloud the same bundle"
        )


class KeyMissing(RequestError):
    """The cloud wants an API key and got none."""

    def __init__(self) -> None:
        super().__init__("an API key is needed; give edge-client --key, or send 'Authorization: Bearer KEY'")


class KeyWrong(RequestError):
    """The API key is not one of the cloud's."""

    def __init__(self) -> None:
        super().__init__("the API key is not accepted; ask the cloud's operator for a current one")


class BodyLate(RequestError):
    """The body did not arrive in time."""

    def __init__(self) -> None:
        super().__init__("the body did not arrive in time; send it again")


class BodyTooLarge(RequestError):
    """The body is over the cap."""

    def __init__(self, cap: int) -> None:
        self.cap = cap
        super().__init__(f"the body is over {cap} bytes; send fewer pictures a frame")


class BodyTypeUnsupported(RequestError):
    """The body is not announced as a plain frame."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(f"{reason}; send Content-Type application/octet-stream and no Content-Encoding")


class ConnectionsFull(RequestError):
    """The cloud has as many connections as it takes."""

    def __init__(self, retry_after: int = 1) -> None:
        self.retry_after = retry_after
        super().__init__(f"too many connections are open; try again in {retry_after} s")


class HeadersLate(RequestError):
    """The request line and headers did not arrive in time."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        super().__init__(f"the headers did not arrive within {seconds:g} s; send the request again")


class HeadersTooLarge(RequestError):
    """The request line and headers are over their caps."""

    def __init__(self, most_bytes: int, most_lines: int) -> None:
        self.most_bytes = most_bytes
        self.most_lines = most_lines
        super().__init__(f"the headers are over {most_bytes} bytes or {most_lines} lines; send fewer")


class QueueFull(RequestError):
    """The cloud has as much work as it takes. ``unread``: the body is left where it is, which ends the connection."""

    def __init__(self, retry_after: int, *, unread: bool = False) -> None:
        self.retry_after = retry_after
        self.unread = unread
        super().__init__(f"the queue is full; try again in {retry_after} s")


class RangeUnsatisfiable(RequestError):
    """A file does not have the part that is asked for."""

    def __init__(self, size: int) -> None:
        self.size = size
        super().__init__(f"the file has {size} bytes; ask for a Range within them")


class RequestMalformed(RequestError):
    """Bytes that are not one HTTP request, or that could be read as another one."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(f"{reason}; send a request as RFC 9112 has it")


class NotReady(RequestError):
    """The cloud is starting or stopping."""

    def __init__(self, state: str, retry_after: int = 1) -> None:
        self.state = state
        self.retry_after = retry_after
        super().__init__(f"the cloud is {state}; try again in {retry_after} s")


class DeadlinePassed(RequestError):
    """The caller's deadline passed before the model ran."""

    def __init__(self) -> None:
        super().__init__("the deadline passed before the model ran; allow more time or send less")


class CloudError(SplitwireError):
    """The device got no answer from its cloud. ``may_pass``: trying again can help."""

    may_pass = False

    def __init__(self, url: str, reason: str) -> None:
        self.url = url
        self.reason = reason
        super().__init__(f"cloud {url}: {reason}")


class CloudUnreachable(CloudError):
    """No connection."""

    may_pass = True


class CloudLate(CloudError):
    """No answer before the deadline."""

    def __init__(self, url: str, reason: str, *, may_pass: bool = True) -> None:
        self.may_pass = may_pass
        super().__init__(url, reason)


class CloudBusy(CloudError):
    """The cloud, or a proxy before it, has no time for this now."""

    may_pass = True

    def __init__(self, url: str, status: int, message: str, retry_after: float) -> None:
        self.status = status
        self.message = message
        self.retry_after = retry_after
        super().__init__(url, f"{message} (HTTP {status})")


class CloudRefused(CloudError):
    """The cloud answered with an error."""

    def __init__(self, url: str, status: int, message: str) -> None:
        self.status = status
        self.message = message
        super().__init__(url, f"{message} (HTTP {status})")


class CloudAnswerInvalid(CloudError):
    """What answered does not speak Splitwire."""


class JournalError(SplitwireError):
    """The record of a watched folder can't be kept."""

    def __init__(self, path: Path | str, reason: str) -> None:
        self.path = path
        self.reason = reason
        super().__init__(f"record {shown(path)}: {reason}")


class JournalForeign(JournalError):
    """The file is something else, or a newer release's."""


class JournalHeld(JournalError):
    """Another program has it."""


class PackagesMissing(SplitwireError):
    """An optional part of the installation is needed."""

    def __init__(self, package: str, purpose: str, remedy: str) -> None:
        self.package = package
        self.purpose = purpose
        self.remedy = remedy
        super().__init__(f"{purpose} needs the package {package}, which is not installed; {remedy}")


class TrainingError(SplitwireError):
    """A training can't start or go on."""


@dataclass(frozen=True, kw_only=True)
class Codes:
    """What an error becomes outside: an HTTP status (0: none) and a process exit code."""

    status: int
    exit: int


CODES: Mapping[type[SplitwireError], Codes] = {
    SplitwireError: Codes(status=500, exit=1),
    SettingsError: Codes(status=500, exit=2),
    PictureError: Codes(status=0, exit=3),
    BundleError: Codes(status=500, exit=4),
    QualityMissing: Codes(status=500, exit=2),
    FrameError: Codes(status=400, exit=6),
    AnswerError: Codes(status=500, exit=6),
    ParameterInvalid: Codes(status=400, exit=6),
    FileUnknown: Codes(status=404, exit=6),
    FingerprintUnknown: Codes(status=409, exit=6),
    KeyMissing: Codes(status=401, exit=6),
    KeyWrong: Codes(status=403, exit=6),
    BodyLate: Codes(status=408, exit=6),
    BodyTooLarge: Codes(status=413, exit=6),
    BodyTypeUnsupported: Codes(status=415, exit=6),
    ConnectionsFull: Codes(status=503, exit=6),
    HeadersLate: Codes(status=408, exit=6),
    HeadersTooLarge: Codes(status=431, exit=6),
    QueueFull: Codes(status=429, exit=6),
    RangeUnsatisfiable: Codes(status=416, exit=6),
    RequestMalformed: Codes(status=400, exit=6),
    NotReady: Codes(status=503, exit=6),
    DeadlinePassed: Codes(status=504, exit=6),
    CloudUnreachable: Codes(status=0, exit=5),
    CloudLate: Codes(status=0, exit=5),
    CloudBusy: Codes(status=0, exit=5),
    CloudRefused: Codes(status=0, exit=6),
    CloudAnswerInvalid: Codes(status=0, exit=6),
    PackagesMissing: Codes(status=500, exit=7),
    TrainingError: Codes(status=0, exit=8),
    JournalError: Codes(status=0, exit=9),
}


def codes_of(error: SplitwireError) -> Codes:
    """Return the entry of ``CODES`` for the nearest class in the error's ancestry."""
    return next(CODES[kind] for kind in type(error).__mro__ if kind in CODES)
