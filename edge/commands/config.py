"""Options by variable and, under those, by settings file. What has no flag stands on the command line only."""

from __future__ import annotations

import inspect
import os
import sys
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cyclopts.config import Dict, Env

from splitwire.shared.errors import SettingsError, shown
from splitwire.shared.regular_file import read_regular

if TYPE_CHECKING:
    from cyclopts import App, ArgumentCollection

_MAX_BYTES = 1 << 20


def default_config() -> Path:
    """Tell where the file is looked for: device.toml in the user's folder of settings."""
    if sys.platform == "win32":
        folder = os.environ.get("APPDATA", "~")
    elif sys.platform == "darwin":
        folder = "~/Library/Application Support"
    else:
        folder = os.environ.get("XDG_CONFIG_HOME", "~/.config")
    home = os.path.expanduser(folder)  # noqa: PTH111 - a user without a home is no error
    return Path(home) / "splitwire" / "device.toml"


class Variables(Env):
    """Gives every command what variables say, but no picture and no folder."""

    def __call__(self, app: App, commands: tuple[str, ...], arguments: ArgumentCollection) -> None:
        """Fill in what was not given otherwise; called by cyclopts."""
        super().__call__(app, commands, arguments.filter_by(kind=inspect.Parameter.KEYWORD_ONLY))


class SettingsFile:
    """Gives every command those of the file's options that it has."""

    def __init__(self, app: App, named: Path | None) -> None:
        """Read a file; without a name the default one, which need not be there.

        Raises:
            SettingsError: it can't be read, is no TOML, or has an option that no command has.

        """
        self._file = named or default_config()
        self._values = _read(self._file) if named or self._file.is_file() else {}
        if self._values:
            commands = (app[name] for name in app if not name.startswith("-"))
            known = set().union(*(_names(command.assemble_argument_collection()) for command in commands))
            for name in self._values:
                if name not in known:
                    raise SettingsError(
                        f"settings {shown(self._file)}: there is no option {shown(name)}; see --help"
                    )

    def __call__(self, app: App, commands: tuple[str, ...], arguments: ArgumentCollection) -> None:
        """Fill in what was not given otherwise; called by cyclopts."""
        known = _names(arguments)
        values = {name: value for name, value in self._values.items() if name in known}
        source = f"settings {shown(self._file)}"
        Dict(data=values, source=source, use_commands_as_keys=False)(app, commands, arguments)


def _read(file: Path) -> dict[str, Any]:
    try:
        content, _ = read_regular(file, _MAX_BYTES)
        return {name.replace("-", "_"): value for name, value in tomllib.loads(content.decode()).items()}
    except OSError as exc:
        raise SettingsError(f"settings {shown(file)} can't be read ({exc.strerror})") from exc
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as exc:
        raise SettingsError(f"settings {shown(file)} are no TOML ({exc})") from exc


def _names(arguments: ArgumentCollection) -> set[str]:
    flags = (name for argument in arguments for name in argument.names)
    return {flag.removeprefix("--").replace("-", "_") for flag in flags if flag.startswith("--")}
