"""A file of settings: what no flag and no variable says."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import typer

from splitwire.shared.errors import SettingsError, shown
from splitwire.shared.regular_file import read_regular

_MAX_BYTES = 1 << 20


def default_config() -> Path:
    """Tell where the file is looked for: device.toml in the user's folder of settings."""
    return Path(typer.get_app_dir("splitwire")) / "device.toml"


def apply_config(context: typer.Context, named: Path | None) -> None:
    """Take a file's values as the defaults of every command that has options of their names.

    Args:
        context: of the group of commands.
        named: the file; None: the default one, which need not be there.

    Raises:
        SettingsError: the file can't be read, is no TOML, or has a name that no command knows.

    """
    file = named or default_config()
    if named is None and not file.is_file():
        return
    try:
        content, _ = read_regular(file, _MAX_BYTES)
        values = {name.replace("-", "_"): value for name, value in tomllib.loads(content.decode()).items()}
    except OSError as exc:
        raise SettingsError(f"settings {shown(file)} can't be read ({exc.strerror})") from exc
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as exc:
        raise SettingsError(f"settings {shown(file)} are no TOML ({exc})") from exc
    commands = getattr(context.command, "commands", {})
    options = {name: _parameters(command) for name, command in commands.items()}
    known = set().union(*options.values())
    for name in values:
        if name not in known:
            raise SettingsError(f"settings {shown(file)}: there is no option {name}; see --help")
    context.default_map = {
        command: {parameters[name]: value for name, value in values.items() if name in parameters}
        for command, parameters in options.items()
    }


def _parameters(command: Any) -> dict[str, str]:  # noqa: ANN401 - typer's own
    """Map the names of a command's options, as they are written, to those of its parameters."""
    return {
        option.opts[0].removeprefix("--").replace("-", "_"): option.name
        for option in command.params
        if option.param_type_name == "option" and option.name != "help"
    }
