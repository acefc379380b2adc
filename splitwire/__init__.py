"""Split computing over a very thin wire: half a network on the device, half in the cloud."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from splitwire.edge.client import AsyncClient, Client

__all__ = ["AsyncClient", "Client"]
__version__ = "0.1.0"


def __getattr__(name: str) -> object:
    """Import the clients when they are first asked for: commands and the cloud start without them."""
    if name in __all__:
        return getattr(import_module("splitwire.edge.client"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
