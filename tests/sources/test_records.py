"""Every form of file is read into records, and what is wrong in one is named with its place."""

import csv
import json
import re
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from builders.errors import InputError
from builders.sources.records import file_records

TEXTS = ["Name a fruit.", "Why is the sky blue?\nBe brief.", 'Say "oui, non" in English.']


def rows(path: Path, **how: Any) -> list[dict[str, Any]]:
    return [row for _, row in file_records(path, **how)]


def written(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def refusal(path: Path) -> str:
    """The error that a file raises; empty where it raises none."""
    try:
        rows(path)
    except InputError as error:
        return str(error)
    return ""


def lines(*rows: Any) -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def test_the_same_rows_come_from_every_form_of_file_each_with_its_place(tmp_path: Path) -> None:
    given = [{"nr": str(place), "text": text} for place, text in enumerate(TEXTS)]
    (tmp_path / "a.jsonl").write_text(lines(*given))
    (tmp_path / "a.ndjson").write_text(lines(*given))
    (tmp_path / "a.json").write_text(json.dumps(given, indent=1))
    with (tmp_path / "a.csv").open("w", newline="") as file:
        table = csv.DictWriter(file, ["nr", "text"])
        table.writeheader()
        table.writerows(given)
    pq.write_table(pa.Table.from_pylist(given), tmp_path / "a.parquet", row_group_size=2)
    words = {"jsonl": "line", "ndjson": "line", "json": "row", "csv": "row", "parquet": "row"}
    for suffix, word in words.items():
        places = [f"a.{suffix}, {word} {number}" for number in (1, 2, 3)]
        found = list(file_records(tmp_path / f"a.{suffix}"))
        assert found == list(zip(places, given, strict=True))


def test_each_line_of_a_text_file_is_a_record(tmp_path: Path) -> None:
    path = written(tmp_path / "a.txt", "Name a fruit.\r\n\r\nWhat is 2\u20282?\n")
    found = [row["text"] for row in rows(path)]
    assert found == ["Name a fruit.", "", "What is 2\u20282?"]


def test_a_line_separator_inside_json_does_not_end_the_line(tmp_path: Path) -> None:
    given = [{"prompt": f"one{separator}two"} for separator in "\u2028\u2029\x85"]
    assert rows(written(tmp_path / "a.jsonl", lines(*given))) == given


def test_blank_lines_between_objects_are_skipped_and_counted(tmp_path: Path) -> None:
    path = written(tmp_path / "a.jsonl", '\n{"x": "a"}\r\n\n   \n{"x": "b"}')
    found = [("a.jsonl, line 2", {"x": "a"}), ("a.jsonl, line 5", {"x": "b"})]
    assert list(file_records(path)) == found


def test_a_byte_order_mark_is_not_part_of_the_first_column_or_text(tmp_path: Path) -> None:
    contents = {
        "jsonl": '{"text": "Hi"}',
        "json": '[{"text": "Hi"}]',
        "csv": "text\nHi",
        "txt": "Hi",
    }
    for suffix, content in contents.items():
        path = written(tmp_path / f"a.{suffix}", b"\xef\xbb\xbf" + content.encode())
        assert rows(path) == [{"text": "Hi"}], suffix


def test_a_json_object_holds_its_records_in_its_first_list_only_where_that_is_expected(
    tmp_path: Path,
) -> None:
    path = written(tmp_path / "a.json", '{"version": 1, "data": [{"x": "a"}], "more": [2]}')
    assert rows(path, wrapped=True) == [{"x": "a"}]
    with pytest.raises(InputError, match="expected a list of objects"):
        rows(path)
    assert rows(written(tmp_path / "b.json", '{"x": "a"}'), wrapped=True) == [{"x": "a"}]


BROKEN = [
    ("a.jsonl", b'{"x": "a"}\n{"x": \n', r"a\.jsonl, line 2: not JSON \(.*column"),
    ("a.jsonl", b'{"x": "a"}\n["b"]\n', r"a\.jsonl, line 2: \['b'\] is not an object"),
    ("a.jsonl", b'\n{"x": ' + b"9" * 5000 + b"}", r"a\.jsonl, line 2: Exceeds the limit"),
    ("a.jsonl", b"[" * 100_000, r"a\.jsonl, line 1: maximum recursion"),
    ("a.jsonl", b'{"x": "a"}\n\n{"x": "\xe9"}\n', r"line 3: not UTF-8 \(byte 0xe9\)"),
    ("a.jsonl", b'\xef\xbb\xbf{"x": "a"}\n\xff\n', r"line 2: not UTF-8 \(byte 0xff\)"),
    ("a.json", b'[{"x": "a"},\n oops]', r"a\.json, line 2: not JSON .* name the file \.jsonl"),
    ("a.json", b"[" * 100_000, r"a\.json: maximum recursion .*; expected a list of objects"),
    ("a.json", b'{"x": "a"}', r"a\.json holds \{'x': 'a'\}, expected a list of objects"),
    ("a.json", b"[1]", r"a\.json holds \[1\], expected a list of objects"),
    ("a.csv", b'x\n"' + b"x" * 140_000 + b'"\n', r"a\.csv, line 2: not CSV \(field larger"),
    ("a.parquet", b"PAR1 is not enough", r"a\.parquet is not a parquet file \(.+\); give another"),
]  # fmt: skip


def test_what_is_wrong_in_a_file_is_one_line_with_its_place(tmp_path: Path) -> None:
    for name, content, message in BROKEN:
        error = refusal(written(tmp_path / name, content))
        assert re.search(message, error), (content[:30], error)
        assert "\n" not in error and len(error) < 300
        assert str(tmp_path) not in error


def test_a_file_that_cannot_be_opened_is_named_at_once(tmp_path: Path) -> None:
    for name in ("a.jsonl", "a.parquet"):
        with pytest.raises(InputError, match=rf"{name} cannot be read \(No such file"):
            file_records(tmp_path / name)
