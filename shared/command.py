"""What the command lines have in common: no traceback reaches a user.

What takes long to import is imported within ``run``, where Ctrl-C ends it as it should.
"""

from __future__ import annotations

import os
import sys
from importlib import import_module
from typing import TYPE_CHECKING

from splitwire.shared.errors import LONGEST_SHOWN, PackagesMissing, SplitwireError, codes_of, shown

if TYPE_CHECKING:
    from collections.abc import Callable

    from typer import Typer


def command_group(help_text: str) -> Typer:
    """Build an empty command line."""
    from typer import Typer  # noqa: PLC0415

    return Typer(
        help=help_text,
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )


def run(app: Callable[[], object]) -> None:
    """Run a command line; an error becomes one line and its exit code."""
    try:
        app()
    except SplitwireError as exc:
        print_line(f"error: {exc}")
        sys.exit(codes_of(exc).exit)
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as exc:
        if os.environ.get("SPLITWIRE_DEBUG"):
            raise
        what = shown(f"{type(exc).__name__}: {exc}", LONGEST_SHOWN)
        print_line(f"failure: {what} (SPLITWIRE_DEBUG=1 shows where; please report it)")
        sys.exit(codes_of(SplitwireError()).exit)


def run_module(module: str, *, extra: str = "") -> None:
    """Import and run the ``app`` of a module that needs this project's packages, perhaps those of an extra too."""

    def imported() -> None:
        try:
            app = import_module(module).app
        except ImportError as exc:
            place = f"'.[{extra}]'" if extra else "."
            remedy = f"install it, in a clone with: pip install {place}"
            if (exc.name or "").startswith("splitwire."):
                remedy = f"wheels don't have it; run this in a clone, after: pip install -e {place}"
            raise PackagesMissing(exc.name or module, "this command", remedy) from exc
        app()

    run(imported)


def print_line(text: str) -> None:
    """Write one line to standard error, red where that is a terminal."""
    from rich.console import Console  # noqa: PLC0415

    Console(stderr=True, soft_wrap=True).print(text, style="red", markup=False, highlight=False)
