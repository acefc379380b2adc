"""Options that several commands have. Each can also be a variable, and a line in the file of settings."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from splitwire.edge.compute.head import HeadName
from splitwire.shared.errors import SettingsError, shown
from splitwire.shared.regular_file import read_regular

_MAX_KEY_BYTES = 16_384
"""No cloud takes longer headers."""


def _read_key(key: str | None) -> str | None:
    """Read a key that is named as @FILE.

    Raises:
        SettingsError: the file can't be read.

    """
    if key is None or not key.startswith("@"):
        return key
    try:
        content, _ = read_regular(Path(key[1:]), _MAX_KEY_BYTES)
        return content.decode("utf-8-sig").strip()
    except OSError as exc:
        raise SettingsError(f"--key {shown(key)} can't be read ({exc.strerror}); write @FILE") from exc
    except UnicodeDecodeError as exc:
        raise SettingsError(f"--key {shown(key)} is no file with a key") from exc


BundlePath = Annotated[Path, typer.Option(envvar="SPLITWIRE_BUNDLE", help="Folder of the model bundle.")]
CloudUrl = Annotated[
    str | None,
    typer.Option(
        envvar="SPLITWIRE_CLOUD",
        metavar="URL",
        help="The cloud, as http://host:port. Without one, a cloud runs inside this process.",
        show_default=False,  # a file of settings may have a password in it
    ),
]
Quality = Annotated[
    str | None,
    typer.Option(
        envvar="SPLITWIRE_QUALITY",
        help="How the code is sent: a quality of the bundle (see info), or auto: what the link carries.",
    ),
]
FixedQuality = Annotated[
    str | None,
    typer.Option(
        envvar="SPLITWIRE_QUALITY", help="How the code is sent: a quality of the bundle (see info)."
    ),
]
Head = Annotated[
    HeadName,
    typer.Option(envvar="SPLITWIRE_HEAD", help="What runs the convolutions; torch is the reference."),
]
LowMemory = Annotated[
    bool,
    typer.Option(
        "--low-memory", envvar="SPLITWIRE_LOW_MEMORY", help="Run ncnn in less memory, and more slowly."
    ),
]
Top = Annotated[
    int,
    typer.Option(
        envvar="SPLITWIRE_TOP", min=1, max=999_999_999, help="How many of the likeliest classes to give."
    ),
]
AsJson = Annotated[
    bool, typer.Option("--json", envvar="SPLITWIRE_JSON", help="One JSON object a picture, a line each.")
]
Key = Annotated[
    str | None,
    typer.Option(
        envvar="SPLITWIRE_KEY",
        help="The cloud's API key; @FILE reads it from a file.",
        show_default=False,
        callback=_read_key,
    ),
]
DeadlineMs = Annotated[
    float,
    typer.Option(
        envvar="SPLITWIRE_DEADLINE_MS",
        min=1,
        max=86_400_000,
        help="Milliseconds for one picture, all tries together.",
    ),
]
Fallback = Annotated[
    bool,
    typer.Option(
        envvar="SPLITWIRE_FALLBACK",
        help="Where the cloud gives no answer in time, the device's small classifier does.",
    ),
]
Confident = Annotated[
    float | None,
    typer.Option(
        envvar="SPLITWIRE_CONFIDENT",
        min=0,
        max=1,
        help="Send nothing where the device's classifier is at least so sure.",
    ),
]
