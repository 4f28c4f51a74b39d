"""The set-up makes `.venv` with any supported Python, and anew only for another one."""

from __future__ import annotations

import platform
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

SUPPORTED = ("3.11.2", "3.11.10", "3.12.0", "3.13.5")
OTHERS = ("3.10.9", "3.11.0", "3.11.1", "3.14.0")
# The function of the script, asked about a command that prints a version.
ASK = """
eval "$(sed -n '/^version_of() {/,/^}/p' scripts/setup.sh)"
for version in "$@"; do
    python() { echo "$version"; }
    version_of python
done
"""


def others() -> dict[str, str]:
    """Other supported Pythons of this machine by version, as `scripts/test.sh` finds them."""
    found = {}
    for name in ("python3.11", "python3.12", "python3.13", "/usr/bin/python3"):
        code = "import platform, sys; print(platform.python_version(), sys.executable)"
        try:
            done = subprocess.run([name, "-c", code], capture_output=True, text=True, check=True)
        except (OSError, subprocess.CalledProcessError):  # not there, or a shim of pyenv
            continue
        version, path = done.stdout.split()
        if version.startswith(("3.11.", "3.12.", "3.13.")) and version != platform.python_version():
            found.setdefault(version, path)
    return found


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """What is tracked here, as it is now, in a folder of its own."""
    tracked = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    for name in filter(None, tracked.split("\0")):
        if (ROOT / name).is_file():
            (tmp_path / "clone" / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / "clone" / name).write_bytes((ROOT / name).read_bytes())
    return tmp_path / "clone"


def set_up(clone: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = ["bash", "scripts/setup.sh", *words]
    return subprocess.run(command, cwd=clone, capture_output=True, text=True, check=False)


def test_only_a_supported_python_is_taken() -> None:
    done = subprocess.run(
        ["bash", "-c", ASK, "ask", *SUPPORTED, *OTHERS],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.split() == [*SUPPORTED], done.stderr


def test_an_unsupported_python_is_refused_before_anything_is_made(clone: Path) -> None:
    old = clone.parent / "python3.10"
    old.write_text("#!/bin/sh\n[ $1 = -c ] || printf 'Python '\necho 3.10.9\n")
    old.chmod(0o755)
    for python, found in ((str(old), "3.10.9"), ("python3.99", "missing")):
        done = set_up(clone, "--python", python)
        assert done.returncode == 1 and done.stdout == ""
        assert len(done.stderr.splitlines()) == 1
        assert "needs Python 3.11.2" in done.stderr and f"{python} is {found}" in done.stderr
        assert not (clone / ".venv").exists()


@pytest.mark.matrix
@pytest.mark.skipif(not others(), reason="this machine has no other supported Python")
def test_a_clone_is_set_up_again_for_another_python_only(clone: Path) -> None:
    ((version, other), *_) = others().items()
    for python, name in ((sys.executable, platform.python_version()), (other, version)):
        done = set_up(clone, "--python", python)
        assert done.returncode == 0, done.stderr
        assert f"making .venv with Python {name}" in done.stdout
        run = [str(clone / ".venv/bin/python"), "--version"]
        assert subprocess.check_output(run, text=True) == f"Python {name}\n"
        listed = [str(clone / ".venv/bin/potstill"), "list"]
        assert "instructions" in subprocess.check_output(listed, text=True, cwd=clone.parent)
        for words in ([], ["--python", python]):
            assert set_up(clone, *words).stdout == "setup: .venv is up to date\n"
