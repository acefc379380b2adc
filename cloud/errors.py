"""Errors that only a cloud raises; ``splitwire.shared.errors`` has the whole tree and what each becomes outside."""

from __future__ import annotations

from typing import TYPE_CHECKING

from splitwire.shared.errors import FrameError, SplitwireError
from splitwire.shared.messages import OCTETS

if TYPE_CHECKING:
    from collections.abc import Mapping


class RequestError(SplitwireError):
    """A request that the cloud does not serve."""


class ParameterInvalid(RequestError):
    """A query parameter or a header has a value that is not allowed."""

    def __init__(self, name: str, actual: str, allowed: str) -> None:
        super().__init__(f"{name} is {actual!r}; send {allowed}")


class FileUnknown(RequestError):
    """A bundle or a file that this cloud does not give out."""

    def __init__(self, bundle: str, name: str, reason: str) -> None:
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
    """The body did not arrive in time. ``unread``: see ``QueueFull``."""

    unread = True

    def __init__(self) -> None:
        super().__init__("the body did not arrive in time; send it again")


class BodyTooLarge(RequestError):
    """The body is over the cap. ``unread``: see ``QueueFull``."""

    unread = True

    def __init__(self, cap: int) -> None:
        super().__init__(f"the body is over {cap} bytes; send fewer pictures a frame")


class BodyTypeUnsupported(RequestError):
    """The body is not announced as a plain frame."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"{reason}; send Content-Type {OCTETS} and no Content-Encoding")


class ConnectionsFull(RequestError):
    """The cloud has as many connections as it takes."""

    retry_after = 1

    def __init__(self) -> None:
        super().__init__(f"too many connections are open; try again in {self.retry_after} s")


class HeadersLate(RequestError):
    """The request line and headers did not arrive in time."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"the headers did not arrive within {seconds:g} s; send the request again")


class HeadersTooLarge(RequestError):
    """The request line and headers are over their caps."""

    def __init__(self, most_bytes: int, most_lines: int) -> None:
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
        super().__init__(f"{reason}; send a request as RFC 9112 has it")


class NotReady(RequestError):
    """The cloud is starting or stopping."""

    retry_after = 1

    def __init__(self, state: str) -> None:
        super().__init__(f"the cloud is {state}; try again in {self.retry_after} s")


class DeadlinePassed(RequestError):
    """The caller's deadline passed before the model ran."""

    def __init__(self) -> None:
        super().__init__("the deadline passed before the model ran; allow more time or send less")


class FrameQualityInvalid(FrameError):
    """A quality that the addressed bundle does not have."""

    def __init__(self, actual: int, expected: int) -> None:
        super().__init__(
            f"the frame says quality {actual}, its fingerprint belongs to quality {expected}; "
            "encode it again with the bundle's own quality"
        )
