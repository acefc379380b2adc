"""Errors of networks and training; ``splitwire.shared.errors`` has the whole tree and what each becomes outside."""

from __future__ import annotations

from splitwire.shared.errors import SplitwireError


class ShapeInvalid(SplitwireError):
    """A network was given, or made, a tensor of another shape."""

    def __init__(self, what: str, expected: tuple[int, ...], actual: tuple[int, ...]) -> None:
        shapes = ["x".join(map(str, shape)) for shape in (actual, expected)]
        super().__init__(f"a {what} of shape {shapes[0]}, expected {shapes[1]}")


class TrainingError(SplitwireError):
    """A training can't start or go on."""
