"""What options have in common. An option is declared once: as a field of a pydantic class, with its help and its limits."""

from __future__ import annotations

from typing import Any, Self

from cyclopts import Parameter
from pydantic import BaseModel, ConfigDict, ModelWrapValidatorHandler, ValidationError, model_validator

from splitwire.shared.errors import SettingsError


@Parameter(name="*")  # each field is an option
class Settings(BaseModel):
    """Options by name. One that is unknown or not allowed raises SettingsError, which does not show it: it may be a secret."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    @model_validator(mode="wrap")
    @classmethod
    def _one_line(cls, values: Any, check: ModelWrapValidatorHandler[Self]) -> Self:  # noqa: ANN401 - anything
        try:
            return check(values)
        except ValidationError as exc:
            first = exc.errors()[0]
            option = cls._option(str(first["loc"][0])) if first["loc"] else "options"
            raise SettingsError(f"{option}: {first['msg'].lower()}") from exc

    @classmethod
    def _option(cls, name: str) -> str:
        """Name the flag that sets a field, or the field itself where no flag does."""
        if name not in cls.model_fields:
            return name
        given = (each for each in cls.model_fields[name].metadata if isinstance(each, Parameter))
        parameter = next(given, Parameter())
        if parameter.parse is False:
            return name
        return next(iter(parameter.name or ()), f"--{name.replace('_', '-')}")
