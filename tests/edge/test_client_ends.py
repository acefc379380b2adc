"""Clients that nobody closes: programs, forks and threads end all the same."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING

import pytest

from splitwire import Client

if TYPE_CHECKING:
    from pathlib import Path

BEGUN = """
import asyncio, atexit, gc, os, sys, threading, warnings
from splitwire import AsyncClient, Client
warnings.simplefilter("ignore", DeprecationWarning)  # Python warns of a fork beside threads
picture, cloud = sys.argv[1], sys.argv[2] or None
"""
OPEN = """
client = Client(cloud=cloud, deadline_ms=20_000)
print(client.classify(picture).label, flush=True)
"""
ENDS = {
    "falls off the end": "",
    "lets go of it": "del client",
    "lets a thread collect it": """
circle = [client]
circle.append(circle)
del client, circle
collecting = threading.Thread(target=gc.collect)
collecting.start()
collecting.join()
""",
    "exits with records begun": """
records = client.classify_files([picture] * 3)
next(records)
sys.exit(0)
""",
    "closes it when Python ends": "atexit.register(client.close)",
}
FORKS = """
for end in sys.argv[3:]:
    child = os.fork()
    if not child:
        exec(end)
        break
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
else:
    print(client.classify(picture).label, flush=True)
"""
USED = "print(client.classify(picture).label, flush=True);"
FORKS_ENDS = (
    "",
    "del client; gc.collect()",
    USED,
    f"{USED} sys.exit(0)",
    f"{USED} client.close()",
    f"{USED} client.close(); sys.exit(0)",
)
LOOP_GONE = """
client = AsyncClient(cloud=cloud)
loop = asyncio.new_event_loop()
loop.run_until_complete(client.__aenter__())
print(loop.run_until_complete(client.classify(picture)).label)
loop.close()
try:
    asyncio.run(client.classify(picture))
except Exception as error:
    print(type(error).__name__)
"""


def run(program: str, picture: Path, cloud: str, *more: str) -> list[str]:
    command = [sys.executable, "-c", BEGUN + program, str(picture), cloud, *more]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.split()


@pytest.mark.parametrize("end", ENDS)
def test_a_program_that_never_closes_its_client_ends_quietly(cloud_url: str, cat: Path, end: str) -> None:
    assert run(OPEN + ENDS[end], cat, cloud_url) == ["cat"]


@pytest.mark.parametrize("end", ["falls off the end", "lets go of it"])
def test_so_does_one_with_a_cloud_inside(cat: Path, end: str) -> None:
    assert run(OPEN + ENDS[end], cat, "") == ["cat"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system can't fork")
def test_a_fork_ends_whatever_it_does_with_a_client(cloud_url: str, cat: Path) -> None:
    said = run(OPEN + FORKS, cat, cloud_url, *FORKS_ENDS)
    assert said == ["cat", "0", "0", *["cat", "0"] * 4, "cat"]


def test_an_asynchronous_client_whose_loop_is_gone_says_so_and_ends(cloud_url: str, cat: Path) -> None:
    assert run(LOOP_GONE, cat, cloud_url) == ["cat", "ClientClosed"]


def test_a_client_that_nobody_has_any_more_ends_its_thread(cloud_url: str, cat: Path) -> None:
    before = set(threading.enumerate())
    client = Client(cloud=cloud_url)
    client.classify(cat)
    assert set(threading.enumerate()) > before
    del client
    patience = time.monotonic() + 10
    while set(threading.enumerate()) - before and time.monotonic() < patience:
        time.sleep(0.01)
    assert not set(threading.enumerate()) - before
