"""The Python API: as small as the command, sync and async."""

from __future__ import annotations

import asyncio
import gc
import threading
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

from splitwire import AsyncClient, Client
from splitwire.edge import pipeline
from splitwire.edge.compute.head import Head, HeadName, open_head
from splitwire.edge.errors import CloudUnreachable
from splitwire.edge.results import Answered, Failed
from splitwire.shared.errors import PictureBroken, PictureMissing, SettingsError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from numpy.typing import NDArray

    from splitwire.edge.results import Result
    from splitwire.shared.bundle import Bundle


@pytest.fixture(scope="module")
def client() -> Client:
    return Client(quality="int8")


def test_one_picture_is_one_call(client: Client, cat: Path) -> None:
    answer = client.classify(cat)
    assert (answer.label, answer.source) == ("cat", "embedded")
    assert answer.path == str(cat)


def test_a_picture_may_be_a_name_or_the_bytes_of_a_file(client: Client, cat: Path) -> None:
    by_name, by_bytes = client.classify(str(cat)), client.classify(cat.read_bytes())
    assert by_name.probability == by_bytes.probability
    assert by_bytes.path == "picture"


def test_a_picture_may_be_an_image_an_array_or_an_open_file(client: Client, cat: Path) -> None:
    with cat.open("rb") as file, Image.open(cat) as image:
        pixels = np.asarray(image.convert("RGB"))
        results = list(client.classify_files([cat, file, image, pixels, b"none"]))
        assert client.classify(image).path == str(cat)
    assert [each.path for each in results] == [*[str(cat)] * 3, "picture 4", "picture 5"]
    assert labels(results) == ["cat"] * 4 + [None]
    assert len({each.probability for each in results if isinstance(each, Answered)}) == 1
    assert client.classify(pixels).path == "picture"


def test_what_is_wrong_is_raised(client: Client, tmp_path: Path) -> None:
    with pytest.raises(PictureMissing, match=r"absent\.png"):
        client.classify(tmp_path / "absent.png")
    with pytest.raises(PictureBroken):
        client.classify(b"no picture")


def labels(results: Iterable[Result]) -> list[str | None]:
    return [result.label if isinstance(result, Answered) else None for result in results]


def test_many_files_give_a_result_each_in_order(client: Client, cat: Path, tmp_path: Path) -> None:
    results = list(client.classify_files([cat, tmp_path / "absent.png", cat]))
    assert labels(results) == ["cat", None, "cat"]
    assert isinstance(results[1], Failed)
    assert results[1].error == "PictureMissing"


def test_many_files_need_not_be_taken_to_the_end(client: Client, cat: Path) -> None:
    for result in client.classify_files([cat] * 3):
        assert labels([result]) == ["cat"]
        break
    assert client.classify(cat).label == "cat"


@pytest.mark.slow
def test_one_thread_loads_and_runs_the_head(cat: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """OpenMP's workers sleep at every barrier once callers have more of them than there are cores."""
    threads: list[int] = []

    def opened(name: HeadName, bundle: Bundle, outputs: Iterable[str], *, low_memory: bool) -> Head:
        head = open_head(name, bundle, outputs, low_memory=low_memory)
        threads.append(threading.get_ident())

        def noted(picture: NDArray[np.float32]) -> Mapping[str, NDArray[np.float32]]:
            threads.append(threading.get_ident())
            return head(picture)

        return noted

    monkeypatch.setattr(pipeline, "open_head", opened)
    with Client(cloud="http://127.0.0.1:9") as client:
        assert [result.source for result in client.classify_files([cat] * 4)] == ["device"] * 4
        client.classify(cat)
    assert len(threads) == 6
    assert len(set(threads)) == 1


def test_a_closed_client_opens_again(cat: Path) -> None:
    with Client() as client:
        client.classify(cat)
    assert client.classify(cat).label == "cat"
    client.close()


def test_a_cloud_that_is_not_there_is_raised(cat: Path) -> None:
    with (
        Client(cloud="http://127.0.0.1:9", deadline_ms=1500, fallback=False) as client,
        pytest.raises(CloudUnreachable),
    ):
        client.classify(cat)


@pytest.mark.parametrize(
    ("settings", "message"), [({"qualty": "int8"}, "qualty"), ({"top": 0}, "top: input should be greater")]
)
def test_settings_that_are_not_allowed_are_named(settings: dict[str, object], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        Client(**settings)


@pytest.mark.parametrize("name", ["key", "cloud", "api_key"])
def test_a_value_that_may_be_a_secret_is_never_shown(name: str) -> None:
    with pytest.raises(SettingsError, match=name) as caught:
        Client(**{name: b"\xffsecret-word"})
    assert "secret-word" not in "".join(traceback.format_exception(caught.value, limit=0))


@pytest.mark.anyio
async def test_the_asynchronous_client_does_the_same(cat: Path) -> None:
    async with AsyncClient() as client:
        assert (await client.classify(cat)).label == "cat"
        assert labels([result async for result in client.classify_files([cat])]) == ["cat"]
    with pytest.raises(SettingsError, match="not open"):
        await client.classify(cat)


def test_a_key_file_holds_the_key_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("@secret")
    with Client(key=f"@{tmp_path / 'key'}"):
        pass


@pytest.mark.anyio
async def test_nothing_goes_on_of_files_that_were_not_taken_to_the_end(cat: Path) -> None:
    unheard: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: unheard.append(context))
    async with AsyncClient(cloud="http://127.0.0.1:9", fallback=False, deadline_ms=150) as client:
        results = client.classify_files([cat] * 4)
        await anext(results)
        await results.aclose()
    gc.collect()
    await asyncio.sleep(0.3)
    assert unheard == []
