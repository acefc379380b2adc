"""A result is one JSON line with stable fields, and is read from one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from pydantic import ValidationError

from splitwire.edge.errors import CloudRefused
from splitwire.edge.results import Answered, Encoded, Failed, Result, failed, from_line, to_line
from splitwire.shared.errors import PictureMissing
from splitwire.shared.messages import Guess

ANSWERED = Answered(
    path="ü.png",
    label="cat",
    class_id=3,
    probability=0.75,
    top=(Guess(label="cat", class_id=3, probability=0.75),),
    quality="int8",
    payload_bytes=3200,
    body_bytes=3206.0,
    source="cloud",
    timings_ms={"load": 1.5, "total": 1.5},
    bundle="b",
)
LINE = (
    '{"path":"ü.png","label":"cat","class_id":3,"probability":0.75,'
    '"top":[{"label":"cat","class_id":3,"probability":0.75}],"quality":"int8","payload_bytes":3200,'
    '"body_bytes":3206.0,"wire_bytes":null,"source":"cloud","reason":null,'
    '"timings_ms":{"load":1.5,"total":1.5},"bundle":"b","error":null}'
)
FAILED_LINE = (
    '{"path":"a.png","label":null,"class_id":null,"probability":null,"top":[],"quality":null,'
    '"payload_bytes":null,"body_bytes":null,"wire_bytes":null,"source":null,"reason":null,"timings_ms":{},'
    '"bundle":null,"error":{"error":"PictureMissing","message":"a.png: no such file","exit_code":3}}'
)


@pytest.mark.parametrize(
    ("result", "line"),
    [(ANSWERED, LINE), (failed("a.png", PictureMissing(Path("a.png"), "no such file")), FAILED_LINE)],
)
def test_a_line_is_as_the_first_release_wrote_it(result: Result, line: str) -> None:
    assert to_line(result) == line
    assert from_line(line) == result


def test_a_failure_says_how_far_its_picture_came() -> None:
    encoded = Encoded(payload=b"12", quality="q1", reason="why", own=None, timings_ms={"load": 1})
    result = failed("a.png", CloudRefused("http://cloud", 400, "no"), encoded, source="cloud")
    assert isinstance(result, Failed)
    values = json.loads(to_line(result))
    assert values["error"] == {
        "error": "CloudRefused",
        "message": "cloud http://cloud: no (HTTP 400)",
        "exit_code": 6,
    }
    known = (values["quality"], values["payload_bytes"], values["source"], values["reason"])
    assert known == ("q1", 2, "cloud", "why")
    assert values["timings_ms"] == {"load": 1}


def test_what_is_no_result_is_refused_when_it_is_made() -> None:
    with pytest.raises(ValidationError):
        Answered.model_validate({**dict(ANSWERED), "source": "elsewhere"})
    with pytest.raises(ValidationError):
        Answered.model_validate({"path": "a.png", "source": "cloud"})
