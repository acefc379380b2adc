"""One table says what every error becomes outside."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from shared import errors
from shared.errors import CODES, RequestError, SplitwireError

if TYPE_CHECKING:
    from collections.abc import Iterator


def tree(kind: type[SplitwireError], depth: int = 0) -> Iterator[tuple[int, str]]:
    yield depth, kind.__name__
    for child in kind.__subclasses__():
        yield from tree(child, depth + 1)


def test_the_drawing_shows_the_tree_as_it_is() -> None:
    lines = re.findall(r"^ {4}([│├└─ ]*)(\w+)", errors.__doc__ or "", re.MULTILINE)
    drawn = [(len(indent) // 4, name) for indent, name in lines]
    assert drawn == list(tree(SplitwireError))


@pytest.mark.parametrize("kind", RequestError.__subclasses__())
def test_every_refused_request_has_a_status_of_its_own_in_the_table(kind: type[RequestError]) -> None:
    assert 400 <= CODES[kind].status < 600


def test_an_error_without_an_entry_takes_its_nearest_ancestors() -> None:
    assert errors.codes_of(errors.FrameTruncated(7, 0)) == CODES[errors.FrameError]
