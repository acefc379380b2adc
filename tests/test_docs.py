"""The documentation's examples run, and its pages name options and files that exist."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
EXAMPLES = [
    pytest.param(example, id=f"{page.relative_to(ROOT)}-{number}")
    for page in PAGES
    for number, example in enumerate(re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL))
]
PROGRAMS = (
    *(["edge-client", command] for command in ("", "classify", "watch", "info", "bench", "pull")),
    ["cloud-server"],
)


@pytest.mark.parametrize("example", EXAMPLES)
def test_examples_run(
    example: str,
    cat: Path,
    cloud_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    shutil.copy(cat, tmp_path / "picture.png")
    monkeypatch.chdir(tmp_path)
    exec(example.replace("http://127.0.0.1:8000", cloud_url), {"__name__": "__main__"})  # noqa: S102
    assert capsys.readouterr().out.startswith("cat")


def test_commands_have_the_options_that_pages_show() -> None:
    options: dict[str, set[str]] = {"edge-client": set(), "cloud-server": set()}
    for program, *command in PROGRAMS:
        file = Path(sys.executable).with_name(program)
        output = subprocess.run(
            [file, *filter(None, command), "--help"], capture_output=True, text=True, check=True
        )
        options[program].update(re.findall(r"--[a-z-]+", output.stdout))
    for page in PAGES:
        for line in re.sub(r"\\\n", " ", page.read_text()).splitlines():
            for program, names in options.items():
                _, shown, command_line = line.partition(f"{program} ")
                if shown:
                    given = re.findall(r"(?<![\w-])--[a-z][a-z-]*", command_line.split("#")[0])
                    assert set(given) <= names, f"{page}: {line}"


def test_pages_name_files_that_exist() -> None:
    for page in PAGES:
        if page.parent.name == "adr":  # a decision speaks of the day on which it was taken
            continue
        for named in re.findall(
            r"`((?!build/)(?:[\w-]+/)+[\w-]+\.(?:json|md|py|sh|txt|yml))`", page.read_text()
        ):
            assert any((place / named).exists() for place in (ROOT, ROOT / "tests")), f"{page}: {named}"


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md", "SECURITY.md"])
def test_links_beside_the_site_lead_somewhere(name: str) -> None:
    for link in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", (ROOT / name).read_text()):
        assert (ROOT / link).exists(), link
