"""What the site's pages take from the code when they are built, so that it can't go stale (a hook of MkDocs).

A page says where: ``<!-- help edge-client classify -->``, ``<!-- errors -->``, ``<!-- metrics -->``, ``<!-- card -->``,
``<!-- fields splitwire.edge.settings.DeviceSettings -->``.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from prometheus_client.parser import text_string_to_metric_families

import splitwire.cloud.errors
import splitwire.edge.errors
import splitwire.models.errors  # noqa: F401  # the three define errors that CODES has
from splitwire.cloud.metrics import Metrics
from splitwire.shared.bundle import default_bundle_path
from splitwire.shared.errors import CODES, SplitwireError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pydantic import BaseModel

ROOT = Path(__file__).parents[1]


def on_page_markdown(markdown: str, **_: object) -> str:
    """Put in what the page asks for."""

    def generated(place: re.Match[str]) -> str:
        kind, arguments = place.groups()
        return _KINDS[kind](*arguments.split())

    return re.sub(rf"^<!-- ({'|'.join(_KINDS)})(.*) -->$", generated, markdown, flags=re.MULTILINE)


def help_of(program: str, *arguments: str) -> str:
    """Give what a command says of its options, without this machine's paths."""
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("SPLITWIRE", "XDG"))
    }
    output = subprocess.run(
        [Path(sys.executable).with_name(program), *arguments, "--help"],
        env=environment | {"COLUMNS": "100", "HOME": "~", "NO_COLOR": "1", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    lines = [portable(line).rstrip() for line in output.splitlines()]
    return "\n".join(["```text", *lines, "```"]).replace("```text\n\n", "```text\n")


def portable(line: str) -> str:
    """Shorten paths below the repository; a frame's right side stays where it is."""
    short = line.replace(f"{ROOT}/", "")
    return short[:-1] + " " * (len(line) - len(short)) + short[-1:]


def errors() -> str:
    """Give a table of every error with its status and exit code."""
    lines = ["| error | meaning | HTTP status | exit code |", "|---|---|---|---|"]
    for error in family(SplitwireError):
        codes = next(CODES[kind.__name__] for kind in error.__mro__ if kind.__name__ in CODES)
        meaning = (error.__doc__ or "").splitlines()[0].replace("|", "\\|")
        lines.append(f"| `{error.__name__}` | {meaning} | {codes.status or ''} | {codes.exit} |")
    return "\n".join(lines)


def family(error: type[SplitwireError]) -> Iterator[type[SplitwireError]]:
    """Walk an error and those below it."""
    yield error
    for child in error.__subclasses__():
        yield from family(child)


def metrics() -> str:
    """Give a table of what ``/metrics`` has."""
    lines = ["| metric | type | meaning |", "|---|---|---|"]
    for metric in text_string_to_metric_families(Metrics().text().decode()):
        if not metric.name.endswith("_created"):
            suffix = "_total" if metric.type == "counter" else ""
            lines.append(f"| `{metric.name}{suffix}` | {metric.type} | {metric.documentation} |")
    return "\n".join(lines)


def fields(place: str) -> str:
    """Give a table of a settings class."""
    module, _, name = place.rpartition(".")
    settings: type[BaseModel] = getattr(import_module(module), name)
    lines = ["| setting | default | meaning |", "|---|---|---|"]
    for setting, field in settings.model_fields.items():
        default = field.get_default(call_default_factory=True)
        values = default if isinstance(default, tuple) else (default,)
        shown = ", ".join(f"`{value}`".replace(f"{ROOT}/", "") for value in values)
        lines.append(f"| `{setting}` | {shown} | {field.description or ''} |")
    return "\n".join(lines)


def card() -> str:
    """Give the model card of the shipped bundle."""
    return (default_bundle_path() / "README.md").read_text()


_KINDS: dict[str, Callable[..., str]] = {
    "help": help_of,
    "errors": errors,
    "metrics": metrics,
    "fields": fields,
    "card": card,
}
