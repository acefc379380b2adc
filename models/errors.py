"""Errors of networks and training; ``splitwire.shared.errors`` has the whole tree and what each becomes outside."""

from __future__ import annotations

from splitwire.shared.errors import SplitwireError


class TrainingError(SplitwireError):
    """A training can't start or go on."""
