"""Messages about options name what the user can change."""

from __future__ import annotations

from typing import Annotated

import pytest
from cyclopts import Parameter
from pydantic import Field

from splitwire.shared.errors import SettingsError
from splitwire.shared.settings import Settings


class Options(Settings):
    in_two_words: int = 1
    renamed: Annotated[int, Parameter(name=("--other", "--alias"), negative="")] = Field(default=1, ge=1)
    for_code_only: Annotated[int, Parameter(parse=False)] = 1


@pytest.mark.parametrize(
    ("field", "named"),
    [
        ("in_two_words", "--in-two-words: "),
        ("renamed", "--other: "),
        ("for_code_only", "for_code_only: "),
        ("no_field", "no_field: "),
    ],
)
def test_a_value_that_is_not_allowed_names_the_flag_or_the_field_that_has_none(
    field: str, named: str
) -> None:
    with pytest.raises(SettingsError) as caught:
        Options(**{field: "x"})
    assert str(caught.value).startswith(named)
