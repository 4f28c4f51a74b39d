"""Reads a file that a stranger wrote, without trusting it: in a child process with hard limits.

The child writes JSON Lines of plain values, so that no library's parser of a binary form ever runs
here on a stranger's bytes. The limits bound what a file can cost and what a crash can reach;
against a working exploit of pyarrow they give no more than an empty environment.
"""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from builders.schema import Row

_CHILD = Path(__file__).with_name("file_reader_child.py")
_MOST_REPORT_BYTES = 1_000_000
_REPORTED = {"columns", "rows", "nulls", "kind", "reason"}


@dataclass(frozen=True, kw_only=True)
class ReadLimits:
    """What reading one file may cost.

    Attributes:
        most_file_bytes: Size of the file on the disk.
        most_bytes: Size of its data in memory, declared or found.
        most_rows_read: Its rows.
        most_columns: Its columns.
        most_ratio: Declared bytes of data per byte of the file.
        most_depth: Nesting of a value; messages are 3 deep.
        most_cell_bytes: Size of one text; also the most items of one list.
        most_memory_bytes: The child's address space.
        most_cpu_s: The child's processor time.
        most_s: The child's wall time.
    """

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
class ReadResult:
    """The outcome of reading one file.

    Attributes:
        clean: The file of plain rows; absent or partial where `kind` is not None.
        columns: Name and type of each declared column, in the file's order; None for JSON Lines.
        rows: How many rows were read.
        nulls: The columns that hold a null.
        kind: The kind of fault, one word, or None.
        reason: The fault as the rest of a sentence that begins with the file's name.
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


def read_safely(path: Path, clean: Path, limits: ReadLimits) -> ReadResult:
    """Read a .parquet or .jsonl file in a child process, and write its rows to the file `clean`.

    Nothing that the file holds raises an error here: a fault is in the result's `kind`.
    """

    def fault(kind: str, reason: str) -> ReadResult:
        return ReadResult(clean=clean, kind=kind, reason=reason)

    try:
        source = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        return fault("broken", f"cannot be opened ({error.strerror})")
    try:
        found = os.fstat(source)
        if not stat.S_ISREG(found.st_mode):
            return fault("broken", "is no regular file")
        if found.st_size > limits.most_file_bytes:
            return fault(
                "size", f"has {found.st_size:,} bytes; at most {limits.most_file_bytes:,} are read"
            )
        form = "parquet" if path.suffix == ".parquet" else "jsonl"
        return _in_child(source, form, clean, limits)
    finally:
        os.close(source)


def _in_child(source: int, form: str, clean: Path, limits: ReadLimits) -> ReadResult:
    # A character can take six bytes in JSON, but no real rows consist of such characters.
    orders = {"form": form, "most_clean_bytes": 2 * limits.most_bytes, **asdict(limits)}
    report_file = clean.with_name(clean.name + ".report")
    environment = {
        # With one heap and one thread RLIMIT_AS counts what the file costs and little else.
        "ARROW_DEFAULT_MEMORY_POOL": "system",
        "MALLOC_ARENA_MAX": "1",
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
    }
    with report_file.open("wb") as out:
        try:
            code = subprocess.run(
                [sys.executable, "-I", str(_CHILD), json.dumps(orders), str(clean.absolute())],
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
            return ReadResult(clean=clean, kind="time", reason=reason)
    if code in (-signal.SIGXCPU, -signal.SIGKILL):
        # The kernel kills at the hard limit, which is also the soft one.
        reason = "takes too long to read, and was stopped"
        return ReadResult(clean=clean, kind="time", reason=reason)
    report = _report(report_file) if code == 0 else None
    if report is None:
        return ReadResult(clean=clean, kind="crash", reason=f"breaks its reader ({_ending(code)})")
    return ReadResult(clean=clean, **{**report, "nulls": tuple(report["nulls"])})


def _report(path: Path) -> dict[str, Any] | None:
    """What the child reports, or None where a file that took it over wrote something else."""
    with path.open("rb") as file:
        text = file.read(_MOST_REPORT_BYTES + 1)
    try:
        report = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if len(text) > _MOST_REPORT_BYTES or not isinstance(report, dict):
        return None
    return report if report.keys() == _REPORTED else None


def _ending(code: int) -> str:
    if code < 0:
        try:
            return signal.Signals(-code).name
        except ValueError:
            return f"signal {-code}"
    return f"exit {code}"
