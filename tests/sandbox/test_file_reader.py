"""The sandbox: no file can do more to its reader than end it, with a fault that is named."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from builders.drafting.files import write_parquet
from builders.sandbox import file_reader
from builders.sandbox.file_reader import ReadLimits, read_safely
from builders.schema import PROMPT_COMPLETION
from tests.review.community import own_row


@pytest.fixture
def clean(tmp_path: Path) -> Path:
    return tmp_path / "clean.jsonl"


def test_a_good_file_comes_out_as_it_was(clean: Path, tmp_path: Path) -> None:
    rows = [own_row(place) for place in range(300)]
    write_parquet(tmp_path / "rows.parquet", PROMPT_COMPLETION, rows)
    found = read_safely(tmp_path / "rows.parquet", clean, ReadLimits())
    messages = "list<struct<content: string, role: string>>"
    assert (found.kind, found.rows, found.nulls) == (None, 300, ())
    assert found.columns == {"id": "string", "prompt": messages, "completion": messages}
    assert list(found) == rows


def stand_in(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, body: str) -> None:
    """Replace the reader by one that a file took over: confined as the real one, it runs `body`."""
    real = Path(file_reader.__file__).with_name("file_reader_child.py")
    child = tmp_path / "child.py"
    child.write_text(
        "import json, os, runpy, sys, time\n"
        f"confined = runpy.run_path({str(real)!r})\n"
        "confined['_confine'](json.loads(sys.argv[1]))\n" + body
    )
    monkeypatch.setattr(file_reader, "_CHILD", child)


TAKEN_OVER = {
    "memory": ("crash", "x = bytearray(4_000_000_000)"),
    "memory, bit by bit": ("crash", "x = []\nwhile True: x.append(bytearray(10_000_000))"),
    "processor": ("time", "while True: pass"),
    "sleep": ("time", "time.sleep(60)"),
    "abort": ("crash", "os.abort()"),
    "broken memory": ("crash", "import ctypes; ctypes.string_at(0)"),
    "silence": ("crash", "sys.exit(0)"),
    "chatter": ("crash", "print('x' * 2_000_000)"),
    "another's report": ("crash", "print('[1, 2]')"),
    "an empty report": ("crash", "print('{}')"),
    "a full disk": ("crash", "open('big', 'wb').write(bytes(3_000_000))"),
}


@pytest.mark.parametrize("case", TAKEN_OVER)
def test_a_reader_that_was_taken_over_is_stopped(
    case: str, clean: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind, body = TAKEN_OVER[case]
    stand_in(monkeypatch, tmp_path, body)
    source = tmp_path / "rows.jsonl"
    source.write_text("{}\n")
    started = time.monotonic()
    limits = ReadLimits(
        most_cpu_s=1,
        most_s=1 if case == "sleep" else 60,
        most_bytes=1_000_000,
        most_memory_bytes=300_000_000,
    )
    found = read_safely(source, clean, limits)
    assert found.kind == kind
    assert found.reason
    assert time.monotonic() - started < 30
    assert not (tmp_path / "big").exists() or (tmp_path / "big").stat().st_size <= 2_000_000


def test_the_reader_knows_no_secrets(
    clean: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "a secret")
    stand_in(monkeypatch, tmp_path, f"open({str(tmp_path / 'seen')!r}, 'w').write(str(os.environ))")
    (tmp_path / "rows.jsonl").write_text("{}\n")
    read_safely(tmp_path / "rows.jsonl", clean, ReadLimits())
    seen = (tmp_path / "seen").read_text()
    assert "a secret" not in seen and "HF_TOKEN" not in seen


def test_limits_hold_for_what_is_there_not_for_what_is_declared(
    clean: Path, tmp_path: Path
) -> None:
    path = tmp_path / "rows.parquet"
    text = pa.DictionaryArray.from_arrays(pa.array([0] * 50_000, pa.int32()), ["x" * 400_000])
    pq.write_table(pa.table({"text": text}), path, store_schema=False, compression="zstd")
    declared = pq.read_metadata(path).row_group(0).total_byte_size
    assert declared < 1_000_000
    found = read_safely(path, clean, ReadLimits())
    assert found.kind == "bomb"
    assert found.rows < 50_000


def test_a_page_that_needs_too_much_memory_is_a_fault(clean: Path, tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    table = pa.table({"text": ["x" * 20_000_000] * 8})
    how = {"compression": "zstd", "use_dictionary": False, "write_statistics": False}
    pq.write_table(table, path, **how)
    no_other = {"most_ratio": 10**9, "most_bytes": 10**10, "most_cell_bytes": 10**9}
    found = read_safely(path, clean, ReadLimits(**no_other, most_memory_bytes=300_000_000))
    assert found.kind in ("memory", "crash")


def declared(path: Path, **limits: int) -> str | None:
    return read_safely(path, path.with_suffix(".clean"), ReadLimits(**limits)).kind


def test_what_a_footer_declares_is_judged_before_any_page(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    pq.write_table(pa.table({f"c{n}": ["word " * 40] * 500 for n in range(12)}), path)
    assert declared(path) is None
    assert declared(path, most_columns=11) == "columns"
    assert declared(path, most_rows_read=499) == "rows"
    assert declared(path, most_file_bytes=100) == "size"
    assert declared(path, most_bytes=2_000) == "bomb"
    assert declared(path, most_cell_bytes=100) == "cell"


@pytest.mark.parametrize("at", range(10, 200, 23))
def test_a_broken_footer_never_raises(at: int, clean: Path, tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    write_parquet(path, PROMPT_COMPLETION, [own_row(place) for place in range(20)])
    content = bytearray(path.read_bytes())
    content[-at] ^= 0xFF
    path.write_bytes(bytes(content))
    found = read_safely(path, clean, ReadLimits())
    assert found.kind is not None or found.rows == 20


def test_types_that_are_not_plain_are_refused(clean: Path, tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    for array in (
        pa.array([b"\x80\x04"]),
        pa.array([1], pa.timestamp("s")),
        pa.array(["a"]).dictionary_encode(),
        pa.ExtensionArray.from_storage(pa.uuid(), pa.array([bytes(16)], pa.binary(16))),
    ):
        pq.write_table(pa.table({"x": array}), path)
        assert read_safely(path, clean, ReadLimits()).kind == "types"


def test_metadata_that_names_a_type_to_build_is_not_followed(clean: Path, tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    field = pa.field("x", pa.string(), metadata={
        "ARROW:extension:name": "arrow.py_extension_type",
        "ARROW:extension:metadata": b"\x80\x04cos\nsystem\n.",
    })  # fmt: skip
    pq.write_table(pa.table([pa.array(["a"])], schema=pa.schema([field])), path)
    assert read_safely(path, clean, ReadLimits()).kind == "types"


def test_only_a_regular_file_is_opened(clean: Path, tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text("{}\n")
    assert read_safely(tmp_path / "rows.jsonl", clean, ReadLimits()).kind is None
    (tmp_path / "link.jsonl").symlink_to(tmp_path / "rows.jsonl")
    os.mkfifo(tmp_path / "pipe.jsonl")
    (tmp_path / "folder.jsonl").mkdir()
    for name in ("link", "pipe", "folder", "absent"):
        assert read_safely(tmp_path / f"{name}.jsonl", clean, ReadLimits()).kind == "broken"


def test_lines_are_plain_json_or_refused(clean: Path, tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    for line, kind in {
        '\ufeff{"a": 1}': None,
        '{"a": [{"role": "user", "content": "é"}], "b": 1, "c": 1.5, "d": null}': None,
        '{"a": 1, "a": 2}': "broken",
        '{"a": 99999999999999999999}': "broken",
        '{"a": 1e999}': "broken",
        '{"a": ' + "9" * 5000 + "}": "broken",
        "[1]": "broken",
        '{"a": [[[[[[1]]]]]]}': "nesting",
        '{"a": "' + "x" * 1_000_001 + '"}': "cell",
        "{" + ", ".join(f'"{n}": 1' for n in range(60)) + "}": "columns",
        '{"a": "\xff"}'.encode("latin-1").decode("latin-1"): None,
    }.items():
        path.write_text(line + "\n", encoding="utf-8")
        assert read_safely(path, clean, ReadLimits()).kind == kind, line[:60]
    path.write_bytes(b'{"a": "\xff"}\n')
    assert read_safely(path, clean, ReadLimits()).kind == "broken"
