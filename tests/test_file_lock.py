"""One process holds a lock, and no longer than it lives."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from builders.file_lock import HeldElsewhere, file_lock

HOLDER = """
import os, sys, time
from pathlib import Path
from builders.file_lock import file_lock

with file_lock(Path(sys.argv[1])):
    if os.fork() == 0:
        print(os.getpid(), flush=True)
    time.sleep(60)
"""


def test_a_lock_names_its_holder_and_dies_with_it_though_its_child_lives(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    words = [sys.executable, "-c", HOLDER, str(path)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        child = int(holder.stdout.readline())
        try:
            with pytest.raises(HeldElsewhere, match=f"^process {holder.pid}$"), file_lock(path):
                pass
            holder.kill()
            holder.wait()
            os.kill(child, 0)  # it lives
            with file_lock(path):
                assert path.read_text(encoding="utf-8") == f"process {os.getpid()}"
        finally:
            os.kill(child, signal.SIGKILL)


def test_a_lock_is_free_after_its_block_and_taken_inside_it(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    for _ in range(2):
        with file_lock(path), pytest.raises(HeldElsewhere), file_lock(path):
            pass
