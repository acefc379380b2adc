from __future__ import annotations

import subprocess
import sys

HANGS = """
import signal, time
from tests.load import bound
real, bound.signal.alarm = signal.alarm, lambda seconds: real(seconds // 60)
try:
    bound.end_within(1)
    time.sleep(60)
finally:
    print("cleaned up")
"""


def test_a_target_that_hangs_ends_with_one_line_and_cleans_up() -> None:
    done = subprocess.run(
        [sys.executable, "-c", HANGS], capture_output=True, text=True, check=False, timeout=50
    )
    assert (done.returncode, done.stdout) == (1, "cleaned up\n")
    assert done.stderr == "not done within 1 minutes; is the machine busy?\n"
