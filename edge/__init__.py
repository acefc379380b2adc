"""The device: picture to frame to answer."""

from edge.client import AsyncClient, Client

__all__ = ["AsyncClient", "Client"]
