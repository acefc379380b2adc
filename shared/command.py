"""What the command lines have in common: no traceback reaches a user."""

from __future__ import annotations

import os
import sys

import typer
from rich.console import Console

from shared.errors import SplitwireError, codes_of


def command_group(help_text: str) -> typer.Typer:
    """Build an empty command line."""
    return typer.Typer(
        help=help_text,
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )


def run(app: typer.Typer) -> None:
    """Run a command line; an error becomes one line and its exit code."""
    try:
        app()
    except SplitwireError as exc:
        print_line(f"error: {exc}")
        sys.exit(codes_of(exc).exit)
    except Exception as exc:
        if os.environ.get("SPLITWIRE_DEBUG"):
            raise
        print_line(f"failure: {type(exc).__name__}: {exc} (SPLITWIRE_DEBUG=1 shows where; please report it)")
        sys.exit(codes_of(SplitwireError()).exit)


def print_line(text: str) -> None:
    """Write one line to standard error, red where that is a terminal."""
    Console(stderr=True, soft_wrap=True).print(text, style="red", markup=False, highlight=False)
