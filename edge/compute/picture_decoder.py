"""Decodes pictures within limits of memory and time: small plain files here, all others in a process of their own.

That process is started when it is first needed. It can be killed at any moment, and its memory is limited.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, cast

from PIL import Image

from splitwire.edge.compute import picture_decoder_process as decoder_process
from splitwire.edge.compute.picture_decoder_process import COSTLY, READY, REPLY, REQUEST, SQUARE
from splitwire.edge.errors import DecoderFailed
from splitwire.shared.errors import PictureBroken, PictureCostly
from splitwire.shared.pictures.decoding import View, convert, decode, one_line
from splitwire.shared.pictures.headers import is_one_scan
from splitwire.shared.pictures.loading import MAX_FILE_BYTES, TOO_LARGE, read_file

if TYPE_CHECKING:
    from typing import IO

MOST_SECONDS = 10
"""What decoding one picture may take."""

_SMALL_BYTES, _SMALL_COST_BYTES = 1 << 20, 32 << 20
"""Within these limits of file and memory, a JPEG of one scan or a PNG without compressed texts takes about a second
and 100 MB at most."""
_SMALL_FORMATS = ("JPEG", "PNG")
_PNG = b"\x89PNG"
_PNG_TEXTS = (b"zTXt", b"iTXt")


class PictureDecoder:
    """Decodes one small and one other picture at a time, whatever number of threads ask."""

    def __init__(self) -> None:
        self._turn_here, self._turn_apart = threading.Lock(), threading.Lock()
        self._process: _Process | None = None
        self._closed = False

    def __call__(
        self, source: Path | bytes | Image.Image, name: str, view: View, seconds: float
    ) -> Image.Image:
        """Give what is seen of a picture, RGB, side x side pixels; see ``splitwire.shared.pictures.decoding.decode``.

        Args:
            source: a file, the bytes of one, or an image that is open.
            name: what to call it in errors.
            view: what to give of the picture.
            seconds: how long it may take, where that is less than ``MOST_SECONDS``.

        Raises:
            PictureMissing: there is no file, or no permission to read it.
            PictureCostly: it takes more memory or time than it may, or ended the process.
            PictureBroken: it is no picture, or not one that can be classified.
            DecoderFailed: the process can't be started, or not in that time.

        """
        if isinstance(source, Image.Image):
            with self._turn_here:
                return convert(source, name, view)
        if _size(source) <= _SMALL_BYTES:
            source = _read(source, name)
            if _is_plain(source):
                with self._turn_here, suppress(PictureBroken):  # the process says what is wrong
                    return decode(source, name, view, formats=_SMALL_FORMATS, limit_bytes=_SMALL_COST_BYTES)
        with self._turn_apart:
            return self._decode_apart(_read(source, name), name, view, min(seconds, MOST_SECONDS))

    def close(self) -> None:
        """Kill the process; nothing can be decoded any more."""
        self._closed = True
        if self._process is not None:
            self._process.popen.kill()
        with self._turn_apart:
            if self._process is not None:
                self._process.end()

    def _decode_apart(self, data: bytes, name: str, view: View, seconds: float) -> Image.Image:
        end = time.monotonic() + seconds
        process = self._started()
        process.wait(seconds)
        late = threading.Event()

        def stop() -> None:
            late.set()
            process.popen.kill()

        timer = threading.Timer(end - time.monotonic(), stop)
        timer.start()
        try:
            kind, content = process.ask(REQUEST.pack(len(data), seconds, *view), data)
        except (OSError, EOFError):
            process.end()
            reason = f"takes over {seconds:g} s" if late.is_set() else "ended the process that did it"
            raise PictureCostly(name, f"decoding it {reason}; make it smaller first") from None
        else:
            if kind == SQUARE:
                return Image.frombytes("RGB", (view.side, view.side), content)
            raise (PictureCostly if kind == COSTLY else PictureBroken)(name, content.decode())
        finally:
            timer.cancel()
            timer.join()
            if late.is_set():
                process.end()

    def _started(self) -> _Process:
        if self._closed:
            raise DecoderFailed("it was closed")
        if self._process is None or self._process.popen.poll() is not None:
            if self._process is not None:
                self._process.end()
            self._process = _Process()
        return self._process


def _is_plain(data: bytes) -> bool:
    """Whether its header says what it costs. A PNG that has a text's name anywhere may have a text there."""
    if data.startswith(_PNG):
        return not any(text in data for text in _PNG_TEXTS)
    return is_one_scan(data)


def _read(source: Path | bytes, name: str) -> bytes:
    if not isinstance(source, bytes):
        return read_file(source, name)
    if len(source) > MAX_FILE_BYTES:
        raise PictureBroken(name, TOO_LARGE)
    return source


def _size(source: Path | bytes) -> int:
    if isinstance(source, bytes):
        return len(source)
    try:
        return source.stat().st_size
    except OSError:  # reading it says why
        return 0


class _Process:
    """A running ``splitwire.edge.compute.picture_decoder_process``."""

    def __init__(self) -> None:
        environment = {
            "PYTHONPATH": os.pathsep.join(map(os.path.abspath, sys.path)),  # it imports from the same places
            "MALLOC_MMAP_THRESHOLD_": str(
                1 << 17
            ),  # fixed, so that glibc gives every large buffer back at once
        }
        try:
            self.popen = subprocess.Popen(  # noqa: S603 - this Python, with a file of ours
                [sys.executable, "-P", decoder_process.__file__],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=os.environ | environment,
                start_new_session=True,  # Ctrl-C is not for it
            )
        except OSError as exc:
            raise DecoderFailed(one_line(exc)) from exc
        self._requests = cast("IO[bytes]", self.popen.stdin)
        self._replies = cast("IO[bytes]", self.popen.stdout)
        self._said = b""
        self._listening = threading.Thread(target=self._listen, daemon=True)
        self._listening.start()

    def _listen(self) -> None:
        self._said = self._replies.read(len(READY))

    def wait(self, seconds: float) -> None:
        """Wait until it has started; if it takes longer, it goes on starting.

        Raises:
            DecoderFailed: it has not, or it has ended.

        """
        self._listening.join(seconds)
        if self._listening.is_alive():
            raise DecoderFailed(f"it did not start within {seconds:g} s")
        if self._said != READY:
            self.end()
            raise DecoderFailed(f"it ended at its start with exit code {self.popen.returncode}")

    def ask(self, request: bytes, data: bytes) -> tuple[int, bytes]:
        """Send a request, wait for the reply.

        Raises:
            OSError, EOFError: the process has ended.

        """
        self._requests.write(request)
        self._requests.write(data)
        self._requests.flush()
        kind, size = REPLY.unpack(self._read(REPLY.size))
        return kind, self._read(size)

    def _read(self, size: int) -> bytes:
        data = self._replies.read(size)
        if len(data) < size:
            raise EOFError
        return data

    def end(self) -> None:
        """Stop it."""
        self.popen.kill()
        self.popen.wait()
        self._listening.join()
        with suppress(OSError):  # there may be more of a request than it read
            self._requests.close()
        self._replies.close()
