"""scripts/setup.sh takes every supported Python and no other."""

from __future__ import annotations

import subprocess

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


def test_only_a_supported_python_is_taken() -> None:
    done = subprocess.run(
        ["bash", "-c", ASK, "ask", *SUPPORTED, *OTHERS],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.split() == [*SUPPORTED], done.stderr
