"""Reading a file that a stranger wrote, without trusting it: in a child process with hard limits.

What the child writes is JSON Lines of plain values, so that no library's parser of a binary form
ever runs here on a stranger's bytes. The limits hold what a file can cost and what a crash can
reach; against a working exploit of pyarrow they are no more than an empty environment.
"""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from builders.schema import Row

_CHILD = Path(__file__).with_name("file_reader_child.py")
_MOST_REPORT_BYTES = 1_000_000


@dataclass(frozen=True, kw_only=True)
class ReviewLimits:
    """What a pull request may cost and how much it may bring.

    Attributes:
        most_rows: Rows added, changed and removed by one pull request.
        most_new_bytes: Of the rows that it adds and changes, as JSON: what is looked at in them
            takes about a second for each million.
        most_growth: Rows added, as a multiple of the rows that the set has.
        most_file_bytes: Of one file as it lies on the disk.
        most_bytes: Of one file's data in memory, declared or found.
        most_rows_read: Of one file.
        most_ratio: Declared bytes of data for each byte of the file.
        most_depth: Of nesting; messages are 3 deep.
        most_cell_bytes: Of one text; also the most items of one list.
        most_memory_bytes: Of the child's address space.
        most_cpu_s: Of the child.
        most_s: Of the child, by the clock.
    """

    most_rows: int = 10_000
    most_new_bytes: int = 100_000_000
    most_growth: int = 10
    most_removed_share: float = 0.5
    most_files: int = 200
    most_readme_bytes: int = 100_000
    most_file_bytes: int = 200_000_000
    most_bytes: int = 1_000_000_000
    most_rows_read: int = 2_000_000
    most_columns: int = 50
    most_ratio: int = 500
    most_depth: int = 4
    most_cell_bytes: int = 1_000_000
    most_memory_bytes: int = 1_500_000_000
    most_cpu_s: float = 300
    most_s: float = 600


@dataclass(frozen=True, kw_only=True)
class Reading:
    """How reading one file went.

    Attributes:
        clean: The file of plain rows; absent or partial where `kind` is not None.
        columns: Name and type of each declared column, in the file's order; None for JSON Lines.
        rows: How many rows were read.
        nulls: The columns that hold a null.
        kind: What went wrong, in one word, or None.
        reason: The words after the file's name that say it.
    """

    clean: Path
    columns: Mapping[str, str] | None = None
    rows: int = 0
    nulls: tuple[str, ...] = ()
    kind: str | None = None
    reason: str = ""

    def __iter__(self) -> Iterator[Row]:
        """The rows, one at a time."""
        with self.clean.open(encoding="ascii") as file:
            for line in file:
                row: Row = json.loads(line)
                yield row


def read_safely(path: Path, clean: Path, limits: ReviewLimits) -> Reading:
    """Read a .parquet or .jsonl file in a sandbox; the rows go to the file `clean`.

    Nothing that the file holds makes this raise: what goes wrong is the reading's `kind`.
    """

    def wrong(kind: str, reason: str) -> Reading:
        return Reading(clean=clean, kind=kind, reason=reason)

    try:
        source = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        return wrong("broken", f"cannot be opened ({error.strerror})")
    try:
        found = os.fstat(source)
        if not stat.S_ISREG(found.st_mode):
            return wrong("broken", "is no regular file")
        if found.st_size > limits.most_file_bytes:
            return wrong(
                "size", f"has {found.st_size:,} bytes; at most {limits.most_file_bytes:,} are read"
            )
        form = "parquet" if path.suffix == ".parquet" else "jsonl"
        return _in_child(source, form, clean, limits)
    finally:
        os.close(source)


def _in_child(source: int, form: str, clean: Path, limits: ReviewLimits) -> Reading:
    told = {
        "form": form,
        # A character can take six in JSON; nobody's rows are all such characters.
        "most_clean_bytes": 2 * limits.most_bytes,
        **{
            name: getattr(limits, name)
            for name in (
                *("most_bytes", "most_rows_read", "most_columns", "most_ratio", "most_depth"),
                *("most_cell_bytes", "most_memory_bytes", "most_cpu_s"),
            )
        },
    }
    said = clean.with_name(clean.name + ".report")
    environment = {
        # One heap and one thread: what RLIMIT_AS counts is then what the file costs.
        "ARROW_DEFAULT_MEMORY_POOL": "system",
        "MALLOC_ARENA_MAX": "1",
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
    }
    with said.open("wb") as out:
        try:
            code = subprocess.run(
                [sys.executable, "-I", str(_CHILD), json.dumps(told), str(clean.absolute())],
                stdin=source,
                stdout=out,
                stderr=subprocess.DEVNULL,
                env=environment,
                cwd=clean.absolute().parent,
                timeout=limits.most_s,
                check=False,
            ).returncode
        except subprocess.TimeoutExpired:
            reason = f"is not read after {limits.most_s:g} s"
            return Reading(clean=clean, kind="time", reason=reason)
    if code == -signal.SIGXCPU or code == -signal.SIGKILL:
        # The kernel kills at the hard limit, which is also the soft one.
        return Reading(clean=clean, kind="time", reason="takes too long to read, and was stopped")
    report = _report(said) if code == 0 else None
    if report is None:
        return Reading(clean=clean, kind="crash", reason=f"breaks its reader ({_ending(code)})")
    return Reading(
        clean=clean,
        columns=report["columns"],
        rows=report["rows"],
        nulls=tuple(report["nulls"]),
        kind=report["kind"],
        reason=report["reason"],
    )


def _report(said: Path) -> dict[str, Any] | None:
    with said.open("rb") as file:
        text = file.read(_MOST_REPORT_BYTES + 1)
    try:
        report = json.loads(text)
    except ValueError:
        return None
    return report if isinstance(report, dict) and len(text) <= _MOST_REPORT_BYTES else None


def _ending(code: int) -> str:
    if code < 0:
        try:
            return signal.Signals(-code).name
        except ValueError:
            return f"signal {-code}"
    return f"exit {code}"
