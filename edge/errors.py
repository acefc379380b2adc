"""Errors that only a device raises; ``splitwire.shared.errors`` has the whole tree and what each becomes outside."""

from __future__ import annotations

from typing import TYPE_CHECKING

from splitwire.shared.errors import BundleError, SettingsError, SplitwireError, shown

if TYPE_CHECKING:
    from pathlib import Path


class ClientClosed(SettingsError):
    """A client of the Python API was closed while it worked, or is not open."""


class DecoderFailed(SplitwireError):
    """The process that decodes pictures can't be started."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(f"the process that decodes pictures can't be used ({reason}); start again")


class BundleUnwritable(BundleError):
    """There is no room for a bundle, or no permission to write it."""


class FallbackMissing(BundleError):
    """The bundle has no small classifier for the device."""

    def __init__(self, path: Path, option: str) -> None:
        self.option = option
        super().__init__(path, f"it has no classifier for the device alone; leave out {option}")


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


class OutboxError(SplitwireError):
    """The outbox of a watched folder can't be kept."""

    def __init__(self, path: Path | str, reason: str) -> None:
        self.path = path
        self.reason = reason
        super().__init__(f"outbox {shown(path)}: {reason}")


class OutboxForeign(OutboxError):
    """The file is something else, or a newer release's."""


class OutboxHeld(OutboxError):
    """Another program has it."""
