"""The device, with the cloud inside its process and with clouds that misbehave."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any

import pytest

import splitwire
from splitwire.edge.commands import cli
from splitwire.shared.command import run
from splitwire.shared.errors import SettingsError
from tests.edge.command import edge_client
from tests.waiting import alarm

if TYPE_CHECKING:
    from collections.abc import Iterator

FIELDS = [
    "path", "label", "class_id", "probability", "top", "quality", "payload_bytes", "body_bytes",
    "wire_bytes", "source", "reason", "timings_ms", "bundle", "error",
]  # fmt: skip


def classify(*arguments: object) -> tuple[int, str, str]:
    """Run ``edge-client classify``: exit code, standard output, standard error."""
    result = edge_client("classify", *arguments)
    return result.exit_code, result.stdout, result.stderr


def records(output: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in output.splitlines()]


@pytest.fixture
def misbehaving(request: pytest.FixtureRequest) -> Iterator[str]:
    """A server that gives one fixed answer: (status, body)."""
    status, body = request.param

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_without_a_cloud_the_embedded_one_answers(cat: Path) -> None:
    code, output, errors = classify(cat, "--json", "--top", 3)
    (record,) = records(output)
    assert (code, errors) == (0, "")
    assert list(record) == FIELDS
    assert record["source"] == "embedded"
    assert record["error"] is None
    assert record["path"] == str(cat)
    assert (record["quality"], record["payload_bytes"], record["body_bytes"]) == ("int8", 3200, 3206)
    assert len(record["top"]) == 3
    assert record["top"][0] == {key: record[key] for key in ("label", "class_id", "probability")}
    assert {"load", "head", "encode", "network", "total", "decode", "queue", "tail"} == set(
        record["timings_ms"]
    )


def test_the_paper_quality_sends_the_latent_as_float32(cat: Path) -> None:
    code, output, _ = classify(cat, "--json", "--quality", "paper")
    (record,) = records(output)
    assert (code, record["quality"], record["payload_bytes"], record["body_bytes"]) == (
        0,
        "paper",
        12_800,
        12_806,
    )


def test_auto_chooses_a_quality_and_says_why(cat: Path) -> None:
    code, output, _ = classify(cat, cat, cat, "--json", "--quality", "auto")
    given = records(output)
    assert code == 0
    assert given[0]["quality"] in {"paper", "int8", "half", "q1", "q2", "q3"}
    assert "the link is not known yet" in given[0]["reason"]
    assert all(record["source"] == "embedded" for record in given)


def test_a_row_for_people_has_label_probability_bytes_time_and_source(cat: Path) -> None:
    code, output, _ = classify(cat, "--top", 2)
    heading, row = output.splitlines()
    assert code == 0
    assert heading.split() == ["picture", "label", "sure", "bytes", "ms", "source"]
    path, label, sure, size, milliseconds, source, quality, *notes = row.split()
    assert (path, label, size, source, quality) == (str(cat), "cat", "3,206", "embedded", "int8")
    assert sure.endswith("%")
    assert int(milliseconds) > 0
    assert "load" in " ".join(notes)


def test_a_directory_stands_for_the_files_below_it_and_a_dash_for_standard_input(
    cat: Path, tmp_path: Path
) -> None:
    for name in ("b.png", "a.png", ".hidden.png"):
        shutil.copy(cat, tmp_path / name)
    (tmp_path / "below" / ".hidden").mkdir(parents=True)
    shutil.copy(cat, tmp_path / "below" / "c.png")
    shutil.copy(cat, tmp_path / "below" / ".hidden" / "d.png")
    result = edge_client("classify", tmp_path, "-", "--json", standard_input=cat.read_bytes())
    given = records(result.stdout)
    assert result.exit_code == 0
    assert [record["path"] for record in given] == [
        str(tmp_path / "a.png"),
        str(tmp_path / "b.png"),
        str(tmp_path / "below" / "c.png"),
        "standard input",
    ]
    assert {record["label"] for record in given} == {"cat"}


def test_of_a_directory_only_what_is_named_as_a_picture_is_tried_and_a_named_file_always(
    cat: Path, tmp_path: Path
) -> None:
    for name in ("a.PNG", "b", "notes.txt", "film.mp4", "model.v2"):
        shutil.copy(cat, tmp_path / name)
    code, output, errors = classify(tmp_path, tmp_path / "notes.txt", "--json")
    assert code == 0
    assert [Path(record["path"]).name for record in records(output)] == ["a.PNG", "b", "notes.txt"]
    assert errors == "passed over, not named as pictures: 3 files; name one to have it tried\n"


def test_a_url_and_a_video_are_told_what_to_do_instead(cat: Path, tmp_path: Path) -> None:
    film = tmp_path / "film.MOV"
    shutil.copy(cat, film)
    code, _, errors = classify("https://example.com/cat.png", film, tmp_path / "absent.mp4")
    assert code == 3
    url, video, absent = errors.splitlines()
    assert "a URL; download it first" in url
    assert "a video; make pictures of it first" in video
    assert "ffmpeg" in video
    assert "no such file" in absent


def test_options_may_stand_anywhere_and_the_last_of_one_counts(cat: Path) -> None:
    code, output, _ = classify("--top", 1, cat, "--json", cat, "--top", 2)
    assert code == 0
    assert [len(record["top"]) for record in records(output)] == [2, 2]


def test_an_empty_directory_and_two_dashes_are_wrong_use(cat: Path, tmp_path: Path) -> None:
    code, output, errors = classify(tmp_path)
    assert (code, output) == (2, "")
    assert "has no files" in errors
    (tmp_path / "notes.txt").touch()
    code, output, errors = classify(tmp_path)
    assert (code, output) == (2, "")
    assert "has no pictures" in errors
    code, output, _ = classify(tmp_path, cat, "--json")
    assert code == 2
    assert [record["label"] for record in records(output)] == [None, "cat"]
    with pytest.raises(SettingsError, match="named twice"):
        classify("-", "-")


def test_bad_pictures_get_a_line_each_and_the_others_go_on(cat: Path, tmp_path: Path) -> None:
    text, cut = tmp_path / "notes.txt", tmp_path / "cut.png"
    text.write_text("no picture")
    cut.write_bytes(cat.read_bytes()[:5000])
    code, output, errors = classify(
        tmp_path / "absent.png", cat, text, cut, cat, tmp_path / "no\nfile", "--json"
    )
    given = records(output)
    assert code == 3
    kinds = [record["error"] and record["error"]["error"] for record in given]
    assert kinds == ["PictureMissing", None, "PictureBroken", "PictureBroken", None, "PictureMissing"]
    lines = errors.splitlines()
    assert len(lines) == 4
    assert all(line.startswith("error: ") for line in lines)


def test_an_unreachable_cloud_is_one_line_and_exit_code_5(cat: Path) -> None:
    code, output, errors = classify(
        cat, "--cloud", "http://127.0.0.1:9", "--json", "--deadline-ms", 2000, "--no-fallback"
    )
    (record,) = records(output)
    assert code == 5
    assert record["error"]["error"] == "CloudUnreachable"
    assert (record["quality"], record["payload_bytes"], record["source"]) == ("int8", 3200, "cloud")
    assert errors.startswith(f"error: {cat}: cloud http://127.0.0.1:9: ")
    assert errors.count("\n") == 1


@pytest.mark.parametrize(
    ("misbehaving", "message"),
    [
        ((404, b"<html>Not Found</html>"), "is the URL a cloud's?"),
        ((200, b"<html>Hello</html>"), "is the URL a cloud's?"),
        ((200, b'{"predictions": []}'), "is the URL a cloud's?"),
        ((302, b""), "is the URL a cloud's?"),
        (
            (
                200,
                (
                    b'{"predictions": [], "bundle": "b", "quality": "q", "device": "cpu",'
                    b' "timings_ms": {"decode": 1, "queue": 1, "tail": 1}}'
                ),
            ),
            "0 answers for 1 pictures",
        ),
    ],
    indirect=["misbehaving"],
)
def test_what_is_no_answer_is_one_line_and_exit_code_6(cat: Path, misbehaving: str, message: str) -> None:
    code, output, errors = classify(cat, "--cloud", misbehaving)
    assert (code, output) == (6, "")
    assert message in errors
    assert errors.count("\n") == 1


@pytest.mark.parametrize(
    "url",
    [
        "cloud",
        "ftp://cloud",
        "http://",
        "http://xn--/",
        "127.0.0.1:8000",
        "http://127.0.0.1:99999",
        "http://127.0.0.1:8000/infer",
    ],
)
def test_a_wrong_url_is_refused_before_any_work(cat: Path, url: str) -> None:
    with pytest.raises(SettingsError, match="write http://host:port"):
        classify(cat, "--cloud", url)


def test_a_server_that_never_answers_is_given_up_in_time(cat: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        code, _, errors = classify(
            cat, "--cloud", f"http://127.0.0.1:{port}", "--deadline-ms", 2000, "--no-fallback"
        )
    assert code == 5
    assert "no answer in time" in errors


def test_any_file_name_is_printed_on_one_line(cat: Path, tmp_path: Path) -> None:
    strange = tmp_path / os.fsdecode(b"b\xff\n.png")
    shutil.copy(cat, strange)
    code, output, _ = classify(strange, "--json")
    assert code == 0
    assert records(output)[0]["label"]
    code, output, errors = classify(tmp_path / os.fsdecode(b"absent\xff\n.png"))
    assert (code, output) == (3, "")
    assert errors.count("\n") == 1


@pytest.mark.parametrize("key", ["schlüssel", "two\nlines"])
def test_a_key_that_is_no_key_is_refused_and_not_printed(cat: Path, key: str) -> None:
    with pytest.raises(SettingsError, match="no key has") as refused:
        classify(cat, "--key", key)
    assert key not in str(refused.value)


def test_a_key_can_stand_in_a_file(cat: Path, tmp_path: Path) -> None:
    file = tmp_path / "key"
    with pytest.raises(SettingsError, match="can't be read"):
        classify(cat, "--key", f"@{file}")
    file.write_text("schlüssel\n", encoding="utf-8")
    with pytest.raises(SettingsError, match="no key has"):
        classify(cat, "--key", f"@{file}")
    file.write_text("a-key\n")
    assert classify(cat, "--key", f"@{file}")[0] == 0


def test_a_key_is_not_waited_for_nor_read_without_end(cat: Path, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for name in (pipe, Path("/dev/zero"), tmp_path):
        with pytest.raises(SettingsError, match="not a regular file"), alarm():
            classify(cat, "--key", f"@{name}")


def test_what_is_no_regular_file_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    code, output, errors = classify(tmp_path / "pipe", "/dev/zero")
    assert (code, output) == (3, "")
    assert errors.count("not a regular file") == 2


def exit_of(*arguments: object) -> object:
    with pytest.raises(SystemExit) as exited:
        run(lambda: cli.app([str(each) for each in arguments]))
    return exited.value.code


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (["--qualty", "q1"], 2, "Did you mean --quality? See --help."),
        (["--head", "gpu"], 2, "--head: input should be 'ncnn' or 'torch'"),
        (["--quality", "q99"], 2, "choose one of paper, int8"),
        (["--bundle", "/nowhere"], 4, "no manifest.json there"),
        (["--cloud", "cloud"], 2, "write http://host:port"),
        (["--top", "0"], 2, "--top"),
    ],
)
def test_what_can_not_start_is_one_line_and_its_exit_code(
    cat: Path,
    capsys: pytest.CaptureFixture[str],
    options: list[str],
    code: int,
    message: str,
) -> None:
    assert exit_of("classify", cat, *options) == code
    errors = capsys.readouterr().err
    assert message in errors
    assert errors.count("\n") == 1


def test_an_unforeseen_failure_is_one_line_without_a_traceback(
    cat: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError("unforeseen")

    monkeypatch.setattr(cli, "open_pipeline", fail)
    assert exit_of("classify", cat) == 1
    errors = capsys.readouterr().err
    assert errors.startswith("failure: ZeroDivisionError: unforeseen")
    assert "Traceback" not in errors


def without(*packages: str) -> str:
    """Python code that runs the command where packages are not installed."""
    blocked = f"sys.modules.update(dict.fromkeys({packages!r}))"
    return f"import sys; {blocked}; sys.argv[0] = 'edge-client'; from splitwire.edge.commands.entry import main; main()"


@pytest.mark.parametrize(
    ("packages", "remedies"),
    [
        (("fastapi",), ["--cloud URL", "pip install '.[cloud]'"]),
        (("torch",), ["--cloud URL", "pip install '.[cloud]'"]),
        (("torch",), ["the torch head", "pip install '.[cloud]'"]),
    ],
)
def test_missing_packages_are_one_line_with_the_remedies(
    cat: Path, packages: tuple[str, ...], remedies: list[str]
) -> None:
    options = ["--head", "torch", "--cloud", "http://127.0.0.1:9"] if "the torch head" in remedies else []
    command = [sys.executable, "-c", without(*packages), "classify", str(cat), *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 7
    assert done.stderr.count("\n") == 1
    assert all(remedy in done.stderr for remedy in remedies)


INTERRUPTED = """
import runpy, sys
class Interrupted:
    def find_spec(self, name, *_):
        if name in ("cyclopts", "rich", "numpy"):
            raise KeyboardInterrupt
sys.meta_path.insert(0, Interrupted())
runpy.run_module(sys.argv[1], run_name="__main__")
"""


@pytest.mark.parametrize(
    "module",
    [
        "splitwire.edge.commands.entry",
        "splitwire.cloud.entry",
        "splitwire.models.training",
        "splitwire.split_report",
    ],
)
def test_ctrl_c_while_a_command_is_still_being_imported_ends_it_as_later(module: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTED, module], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (130, "")


def test_the_clients_are_imported_when_they_are_asked_for() -> None:
    code = (
        "import sys, splitwire; assert 'numpy' not in sys.modules; from splitwire import AsyncClient, Client"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
    with pytest.raises(AttributeError, match="'splitwire' has no attribute 'Server'"):
        splitwire.Server  # noqa: B018


@pytest.mark.parametrize(
    "module",
    [
        "splitwire.edge.commands.cli",
        "splitwire.edge.pipeline",
        "splitwire.shared.bundle",
        "splitwire.shared.codecs",
    ],
)
def test_the_device_imports_no_torch(module: str) -> None:
    code = f"import sys, {module}; sys.exit('torch' in sys.modules or 'fastapi' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(
    ("module", "package"),
    [
        ("splitwire.cloud.entry", "uvicorn"),
        ("splitwire.models.training", "torch"),
        ("splitwire.edge.commands.entry", "httpx"),
    ],
)
def test_commands_without_their_packages_say_so(module: str, package: str) -> None:
    code = f"import runpy, sys; sys.modules[{package!r}] = None; runpy.run_module({module!r}, run_name='__main__')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 7
    assert f"needs the package {package}" in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_command_whose_code_is_in_no_wheel_says_where_it_is() -> None:
    code = (
        "import runpy, sys; sys.modules['splitwire.report'] = None;"
        "runpy.run_module('splitwire.split_report', run_name='__main__')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 7
    assert "needs the package splitwire.report" in done.stderr
    assert "in a clone, after: pip install -e '.[train]'" in done.stderr


def test_a_path_that_can_not_be_looked_up_fails_alone(cat: Path) -> None:
    code, output, _ = classify("x" * 300, cat, "--json")
    assert code == 3
    assert [record.get("label") for record in records(output)] == [None, "cat"]
