"""The device: picture to frame to answer."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edge.client import AsyncClient, Client

__all__ = ["AsyncClient", "Client"]


def __getattr__(name: str) -> object:
    """Import the clients when they are first asked for: all other parts of the package start without them."""
    if name in __all__:
        return getattr(import_module("edge.client"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
