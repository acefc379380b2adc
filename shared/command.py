"""What the command lines have in common: no traceback reaches a user.

What takes long to import is imported within ``run``, where Ctrl-C ends it as it should.
"""

from __future__ import annotations

import os
import sys
from importlib import import_module
from typing import TYPE_CHECKING

from splitwire import __version__
from splitwire.shared.errors import (
    LONGEST_SHOWN,
    PackagesMissing,
    SettingsError,
    SplitwireError,
    codes_of,
    shown,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from cyclopts import App

PREFIX = "SPLITWIRE_"
"""How the names of environment variables begin."""


def command_line(name: str, help_text: str | None = None) -> App:
    """Build an empty command line. Calling it gives what the command returns: its exit code, None for 0."""
    from cyclopts import App, Parameter  # noqa: PLC0415

    return App(
        name=name,
        help=help_text,
        version=f"splitwire {__version__}",
        version_flags="--version",
        default_parameter=Parameter(allow_repeating=True),  # the last one counts
        exit_on_error=False,
        print_error=False,
        result_action="return_value",
        suppress_keyboard_interrupt=False,
    )


def run(app: Callable[[], object]) -> None:
    """Run a command line and exit with what it returns; an error becomes one line and its exit code."""
    for variable in [name for name, value in os.environ.items() if name.startswith(PREFIX) and not value]:
        del os.environ[variable]  # an empty one is none
    try:
        exit_code = app()
    except SplitwireError as exc:
        print_line(f"error: {exc}")
        sys.exit(codes_of(exc).exit)
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:  # who read the output has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except Exception as exc:
        from cyclopts import CycloptsError  # noqa: PLC0415

        if isinstance(exc, CycloptsError):
            print_line(f"error: {SettingsError(str(exc))} See --help.")
            sys.exit(codes_of(SettingsError()).exit)
        if os.environ.get("SPLITWIRE_DEBUG"):
            raise
        what = shown(f"{type(exc).__name__}: {exc}", LONGEST_SHOWN)
        print_line(f"failure: {what} (SPLITWIRE_DEBUG=1 shows where; please report it)")
        sys.exit(codes_of(SplitwireError()).exit)
    if exit_code:
        sys.exit(exit_code)  # type: ignore[arg-type]


def run_module(module: str, *, extra: str = "") -> None:
    """Import and run the ``app`` of a module that needs this project's packages, perhaps those of an extra too."""

    def imported() -> object:
        try:
            app = import_module(module).app
        except ImportError as exc:
            place = f"'.[{extra}]'" if extra else "."
            remedy = f"install it, in a clone with: pip install {place}"
            if (exc.name or "").startswith("splitwire."):
                remedy = f"wheels don't have it; run this in a clone, after: pip install -e {place}"
            raise PackagesMissing(exc.name or module, "this command", remedy) from exc
        return app()

    run(imported)


def print_result(text: str) -> None:
    """Write text to standard output, at once."""
    print(text, flush=True)  # noqa: T201 - a command's output


def print_line(text: str) -> None:
    """Write one line to standard error, red where that is a terminal."""
    from rich.console import Console  # noqa: PLC0415

    Console(stderr=True, soft_wrap=True).print(text, style="red", markup=False, highlight=False)
