"""Files as answers: whole, a part, or not again."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from starlette.responses import FileResponse, Response

from splitwire.cloud.errors import RangeUnsatisfiable
from splitwire.shared.messages import OCTETS

if TYPE_CHECKING:
    from starlette.requests import Request

    from splitwire.cloud.inference.device_files import DeviceFile

_ONE = r"\s*(?:[0-9]{1,18}-[0-9]{0,18}|-[0-9]{1,18})\s*"
_RANGES = re.compile(rf"bytes={_ONE}(?:,{_ONE})*", re.IGNORECASE)


def answer_file(request: Request, file: DeviceFile) -> Response:
    """Give out a file, unless the caller has it.

    Raises:
        RangeUnsatisfiable: the caller asks for parts that it does not have.

    """
    headers = {"ETag": f'"{file.sha256}"'}
    known = request.headers.get("if-none-match", "")
    if any(tag.strip().removeprefix("W/") in {headers["ETag"], "*"} for tag in known.split(",")):
        return Response(status_code=304, headers=headers)
    unchanged = request.headers.get("if-range", headers["ETag"]) == headers["ETag"]
    if not (unchanged and _is_range(request.headers.get("range", ""), file.status.st_size)):
        request.scope["headers"] = [each for each in request.scope["headers"] if each[0] != b"range"]
    return FileResponse(file.path, headers=headers, media_type=OCTETS, stat_result=file.status)


def _is_range(header: str, size: int) -> bool:
    """Tell whether a ``Range`` header counts: one that is no range of bytes is ignored (RFC 9110, 14.2).

    Where only some of its ranges begin behind the end of a file of ``size`` bytes, all are ignored, too.
    """
    if not _RANGES.fullmatch(header):
        return False
    pairs = [each.strip().partition("-") for each in header.partition("=")[2].split(",")]
    if any(first and last and int(last) < int(first) for first, _, last in pairs):
        return False
    within = [int(first) < size if first else int(last) > 0 for first, _, last in pairs]
    if not any(within):
        raise RangeUnsatisfiable(size)
    return all(within)
