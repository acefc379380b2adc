"""Committed frames decode to committed symbols, against tables committed beside them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pytest

import splitwire.shared.answer
from splitwire.shared.codecs import CODECS
from splitwire.shared.frame import pack, unpack
from tests.golden import FINGERPRINT, FOLDER, LONG, LONG_PAYLOADS, committed_codecs

if TYPE_CHECKING:
    from splitwire.shared.codecs.abc import Codec


@pytest.mark.parametrize("codec", committed_codecs(), ids=lambda codec: codec.id)
def test_every_codecs_golden_frame_decodes_to_the_committed_symbols(codec: Codec) -> None:
    data = (FOLDER / f"{codec.id}.frame").read_bytes()
    frame = unpack(data)
    assert frame.fingerprint == FINGERPRINT
    symbols = np.stack([codec.decode(payload) for payload in frame.payloads])
    committed = np.load(FOLDER / f"{codec.id}.symbols.npy")
    assert symbols.dtype == committed.dtype
    assert np.array_equal(symbols, committed)
    assert pack(frame) == data
    assert tuple(codec.encode(each) for each in symbols) == frame.payloads


def test_no_codec_is_without_a_golden_frame() -> None:
    assert {file.stem for file in FOLDER.glob("*.frame")} == {*CODECS, LONG}


def test_the_golden_frame_of_version_2_holds_the_committed_payloads() -> None:
    data = (FOLDER / f"{LONG}.frame").read_bytes()
    frame = unpack(data)
    assert data[0] == 0x52
    assert (frame.fingerprint, frame.quality, frame.payloads) == (FINGERPRINT, 0, LONG_PAYLOADS)
    assert pack(frame) == data


def test_the_golden_answer_says_what_is_committed() -> None:
    data = (FOLDER / "compact.answer").read_bytes()
    answer = splitwire.shared.answer.unpack(data)
    said = {"pictures": answer.pictures, "timings_ms": answer.timings_ms.model_dump()}
    assert json.loads(json.dumps(said)) == json.loads((FOLDER / "compact.json").read_text())
    assert splitwire.shared.answer.pack(answer) == data
