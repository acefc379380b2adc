"""Runs ``edge-client`` inside the test's process."""

from __future__ import annotations

import io
import sys
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from unittest import mock

from splitwire.edge.commands import cli


@dataclass(frozen=True, kw_only=True)
class Done:
    """What a command gave."""

    exit_code: int
    stdout: str
    stderr: str


def edge_client(*arguments: object, standard_input: bytes = b"") -> Done:
    """Run it; errors are raised as they are."""
    out, err = io.StringIO(), io.StringIO()
    stdin = mock.Mock(buffer=io.BytesIO(standard_input))
    with redirect_stdout(out), redirect_stderr(err), mock.patch.object(sys, "stdin", stdin):
        code = cli.app([str(each) for each in arguments])
    assert code is None or isinstance(code, int)
    return Done(exit_code=code or 0, stdout=out.getvalue(), stderr=err.getvalue())
