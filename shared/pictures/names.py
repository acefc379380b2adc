"""What the name of a file says of it: a picture, a video, a URL."""

from __future__ import annotations

import re
from pathlib import PurePath

_PICTURES = frozenset(
    [
        ".jpg",
        ".jpeg",
        ".jpe",
        ".jfif",
        ".mpo",
        ".png",
        ".webp",
        ".avif",
        ".tif",
        ".tiff",
        ".gif",
        ".bmp",
        ".dib",
        ".ppm",
        ".pgm",
        ".pbm",
        ".pnm",
        ".heic",
        ".heif",
        ".hif",
    ]
)
_VIDEOS = frozenset(
    [
        ".mp4",
        ".m4v",
        ".mov",
        ".avi",
        ".mkv",
        ".webm",
        ".mpg",
        ".mpeg",
        ".mts",
        ".m2ts",
        ".wmv",
        ".flv",
        ".3gp",
        ".ogv",
    ]
)
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/")
"""How a URL begins; as a path it has lost a slash. One letter and a colon are a drive of Windows."""


def may_be_picture(name: str) -> bool:
    """Tell whether a file of a folder is worth a look: it is named as a picture is, or has no suffix at all."""
    suffix = PurePath(name).suffix.lower()
    return not suffix or suffix in _PICTURES


def is_url(path: PurePath) -> bool:
    """Tell whether a path was meant as a URL."""
    return _URL.match(str(path)) is not None


def is_video(path: PurePath) -> bool:
    """Tell whether a file is named as a video is."""
    return path.suffix.lower() in _VIDEOS
