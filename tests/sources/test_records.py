"""Every form of file is read into records, and what is wrong in one is named with its place."""

import bz2
import csv
import gzip
import json
import lzma
import re
import tracemalloc
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from builders.errors import InputError
from builders.sources.records import file_records, readable
from builders.sources.rows import Unreadable
from tests.cases import each

TEXTS = ["Name a fruit.", "Why is the sky blue?\nBe brief.", 'Say "oui, non" in English.']


def rows(path: Path) -> list[dict[str, Any]]:
    return [row for _, row in readable(file_records(path))]


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
    words = {"jsonl": "line", "ndjson": "line", "json": "row", "parquet": "row"}
    for suffix, word in words.items():
        places = [f"a.{suffix}, {word} {number}" for number in (1, 2, 3)]
        found = list(file_records(tmp_path / f"a.{suffix}"))
        assert found == list(zip(places, given, strict=True))
    places = [f"a.csv, line {number}" for number in (2, 3, 5)]  # the header, and a text of 2 lines
    assert list(file_records(tmp_path / "a.csv")) == list(zip(places, given, strict=True))


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


ROWS = [{"x": "a"}, {"x": "b"}]
DOCUMENTS: dict[str, Any] = {
    "a list": ROWS,
    "an object around a list": {"version": "1.0", "data": ROWS, "more": [2]},
    "a list of any name": {"things": ROWS, "number": 2},
    "objects inside an object": {"data": {"rows": ROWS}},
    "the Hub's viewer": {
        "features": [{"name": "x"}],
        "rows": [{"row_idx": place, "row": row} for place, row in enumerate(ROWS)],
    },
    "splits": {"train": ROWS[:1], "test": ROWS[1:]},
    "pandas, by column": {"x": {"0": "a", "1": "b"}, "y": {"0": 1, "1": 2}},
    "pandas, by row": {"first": ROWS[0], "second": ROWS[1]},
    "a task of Natural Instructions": {
        "Definition": ["d"],
        "Positive Examples": [{"input": "i"}],
        "Instances": ROWS,
    },
    "pandas, split": {"columns": ["x"], "index": [0, 1], "data": [["a"], ["b"]]},
}


@each(
    ("name", "document"), [(n, document) for n in ("a.json", "a.jsonl") for document in DOCUMENTS]
)
def test_the_rows_of_a_document_are_found_in_the_usual_shapes(
    name: str, document: str, tmp_path: Path
) -> None:
    for indent in (None, 1):
        path = written(tmp_path / name, json.dumps(DOCUMENTS[document], indent=indent))
        assert [row["x"] for row in rows(path)] == ["a", "b"]


TURNS = [{"role": "user", "content": "a"}]
AS_ROWS: list[tuple[str, Any, list[Any]]] = [
    ("a.json", ["a", "b"], [{"text": "a"}, {"text": "b"}]),
    ("a.json", {"prompts": ["a", "b"]}, [{"text": "a"}, {"text": "b"}]),
    ("a.json", TURNS, [{"messages": TURNS}]),
    ("a.json", [TURNS], [{"messages": TURNS}]),
    ("a.json", {"x": ["a", "b"], "y": [1, 2]}, [{"x": "a", "y": 1}, {"x": "b", "y": 2}]),
    ("a.jsonl", {"x": ["a", "b"], "y": [1, 2]}, [{"x": ["a", "b"], "y": [1, 2]}]),
    ("a.jsonl", {"nr": 1, "data": ["a", "b"]}, [{"nr": 1, "data": ["a", "b"]}]),
    ("a.json", {"messages": TURNS}, [{"messages": TURNS}]),
    ("a.jsonl", {"messages": TURNS}, [{"messages": TURNS}]),
    ("a.jsonl", {"prompt": "a", "data": [{"x": 1}]}, [{"prompt": "a", "data": [{"x": 1}]}]),
    ("a.jsonl", {"x": "a", "notes": [{"y": 1}]}, [{"x": "a", "notes": [{"y": 1}]}]),
    ("a.json", [], []),
]  # fmt: skip


@each(("name", "document", "expected"), AS_ROWS)
def test_a_text_or_a_dialogue_in_the_place_of_a_row_is_one(
    name: str, document: Any, expected: list[Any], tmp_path: Path
) -> None:
    assert rows(written(tmp_path / name, json.dumps(document))) == expected


def test_one_list_of_several_can_be_named(tmp_path: Path) -> None:
    path = written(tmp_path / "a.json", json.dumps({"easy": ROWS[:1], "hard": ROWS[1:]}))
    assert [row for _, row in file_records(path, "hard")] == ROWS[1:]
    with pytest.raises(InputError, match=r"several lists of rows; there are easy, hard; name one"):
        rows(path)
    with pytest.raises(InputError, match=r"a\.json has no 'odd'; there are easy, hard; name one"):
        list(file_records(path, "odd"))


def test_the_content_decides_where_the_suffix_is_wrong(tmp_path: Path) -> None:
    pretty = "".join(json.dumps(row, indent=2) + "\n" for row in ROWS)
    for name, content in (
        ("lines.json", lines(*ROWS)),
        ("list.jsonl", json.dumps(ROWS)),
        ("list_of_lines.jsonl", "[\n" + ",\n".join(map(json.dumps, ROWS)) + "\n]\n"),
        ("one_after_the_other.json", pretty),
        ("one_after_the_other.jsonl", pretty),
        ("no_suffix", lines(*ROWS)),
        ("LINES.JSONL", lines(*ROWS)),
    ):
        assert rows(written(tmp_path / name, content)) == ROWS, name
    assert rows(written(tmp_path / "a.jsonl", lines("a", "b"))) == [{"text": "a"}, {"text": "b"}]


def test_packed_files_are_read_as_they_are_unpacked(tmp_path: Path) -> None:
    with pa.CompressedOutputStream(str(tmp_path / "zst"), "zstd") as file:
        file.write(b"text\nHi\n")
    packed = {
        "gz": gzip.compress,
        "bz2": bz2.compress,
        "xz": lzma.compress,
        "zst": lambda _: (tmp_path / "zst").read_bytes(),
    }
    for suffix, pack in packed.items():
        path = written(tmp_path / f"a.csv.{suffix}", pack(b"text\nHi\n"))
        assert list(file_records(path)) == [(f"a.csv.{suffix}, line 2", {"text": "Hi"})]
    assert rows(written(tmp_path / "a.jsonl.gz", gzip.compress(lines(*ROWS).encode()))) == ROWS
    assert rows(written(tmp_path / "packed.jsonl", gzip.compress(lines(*ROWS).encode()))) == ROWS


def test_utf_16_is_read_where_a_mark_or_its_zeros_tell_it(tmp_path: Path) -> None:
    for encoding in ("utf-16", "utf-16-le", "utf-16-be", "utf-32"):
        for name, content in (("a.jsonl", '{"text": "hé"}\n'), ("a.csv", "text\r\nhé\r\n")):
            path = written(tmp_path / name, content.encode(encoding))
            assert rows(path) == [{"text": "hé"}], (encoding, name)


TABLES: dict[str, tuple[str, str, list[dict[str, Any]]]] = {
    "semicolons": ("a.csv", "nr;x\n1;a, b\n", [{"nr": "1", "x": "a, b"}]),
    "tabs": ("a.csv", "nr\tx\n1\ta, b\n", [{"nr": "1", "x": "a, b"}]),
    "bars": ("a.csv", "nr|x\n1|a, b\n", [{"nr": "1", "x": "a, b"}]),
    "tsv": ("a.tsv", 'nr\tx\n1\t"a\tb"\n', [{"nr": "1", "x": "a\tb"}]),
    "a quote in a tsv": (
        "a.tsv",
        'nr\tx\n1\t"a""\n2\t"b\n3\tsay "c"\n4\t"d"\n',
        [
            {"nr": "1", "x": '"a""'},
            {"nr": "2", "x": '"b'},
            {"nr": "3", "x": 'say "c"'},
            {"nr": "4", "x": '"d"'},
        ],
    ),
    "a line's end in a quoted tsv": ("a.tsv", 'nr\tx\n1\t"a\nb"\n', [{"nr": "1", "x": "a\nb"}]),
    "a name that comes twice": (
        "a.csv",
        "x,x,,y,,x\n1,2,3,4,5,6\n",
        [{"x": "1", "x (2)": "2", "": "5", "y": "4", "x (3)": "6"}],
    ),
    "one column": ("a.csv", 'x\n"a, b"\nc;d\n', [{"x": "a, b"}, {"x": "c;d"}]),
    "a spreadsheet's line": ("a.csv", "sep=;\nnr;x\n1;a\n", [{"nr": "1", "x": "a"}]),
    "commas and semicolons": ("a.csv", "nr,x\n1,a;b\n", [{"nr": "1", "x": "a;b"}]),
    "blank lines": ("a.csv", "\nx,y\n\n1,2\n\n", [{"x": "1", "y": "2"}]),
    "a short row": ("a.csv", "x,y\n1\n", [{"x": "1", "y": None}]),
    "a long field": ("a.csv", f"x\n{'long ' * 60_000}\n", [{"x": "long " * 60_000}]),
    "other line ends": ("a.csv", 'x,y\r\n1,"a\r\nb"\r\n', [{"x": "1", "y": "a\r\nb"}]),
}


@each(("name", "content", "expected"), TABLES)
def test_separated_values_are_read_however_they_are_separated(
    name: str, content: str, expected: list[dict[str, Any]], tmp_path: Path
) -> None:
    assert rows(written(tmp_path / name, content)) == expected


def test_the_tables_of_arrow_are_read_in_both_of_its_forms(tmp_path: Path) -> None:
    table = pa.Table.from_pylist(ROWS)
    for name, writer in (("a.feather", pa.ipc.new_file), ("a.arrow", pa.ipc.new_stream)):
        with writer(str(tmp_path / name), table.schema) as file:
            file.write_table(table, max_chunksize=1)
        assert [*file_records(tmp_path / name)] == [
            (f"{name}, row {place}", row) for place, row in enumerate(ROWS, 1)
        ]


def test_columns_of_one_name_in_a_table_are_told_apart(tmp_path: Path) -> None:
    table = pa.table([["a"], ["b"], ["c"]], names=["x", "x", "y"])
    pq.write_table(table, tmp_path / "a.parquet")
    [(_, row)] = file_records(tmp_path / "a.parquet")
    assert row == {"x": "a", "x (2)": "b", "y": "c"}


def test_keys_of_one_name_in_an_object_are_told_apart(tmp_path: Path) -> None:
    for name, content in (
        ("a.jsonl", '{"x": "a", "x": "b"}\n{"x": "c"}'),
        ("a.json", '[{"x": "a", "x": "b"}]'),
    ):
        assert rows(written(tmp_path / name, content))[0] == {"x": "a", "x (2)": "b"}


def test_rows_are_read_as_they_are_asked_for(tmp_path: Path) -> None:
    content = lines(*({"x": "a" * 1000} for _ in range(20_000)))
    for name, data in (("a.jsonl", content), ("a.csv", content), ("a.txt", content)):
        path = written(tmp_path / name, data)
        tracemalloc.start()
        assert sum(1 for _ in file_records(path)) > 19_000
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert most < len(content) / 10, name


# Rows that are broken cost themselves only.
BROKEN_ROWS = [
    ("a.jsonl", b'{"x": "a"}\n{"x": \n{"x": "b"}\n', "line 2", r"not JSON \(.* at column"),
    ("a.jsonl", b'{"x": \n{"x": "a"}\n{"x": "b"}\n', "line 1", r"not JSON \(.* at column"),
    ("a.json", b'{"x": "a"}\n{"x": "b"}\n{"x"', "line 3", r"not JSON"),
    ("a.jsonl", b'{"x": "a"}\n["b"]\n{"x": "b"}\n', "line 2", r"\['b'\] is not an object"),
    ("a.json", b'[{"x": "a"}, 7, {"x": "b"}]', "row 2", r"7 is not an object"),
    ("a.jsonl", b'{"x": "a"}\nnull\n{"x": "b"}\n', "line 2", r"^null is not an object"),
    ("a.jsonl", b'{"x": "a"}\n{"x": ' + b"9" * 5000 + b'}\n{"x": "b"}', "line 2", r"digits\)$"),
    ("a.jsonl", b'{"x": "a"}\n' + b"[" * 100_000 + b'\n{"x": "b"}', "line 2", "nested too deeply"),
    ("a.jsonl", b'{"x": "a"}\n\n{"x": "\xe9"}\n{"x": "b"}', "line 3", r"UTF-8 \(byte 0xe9\)"),
    ("a.jsonl", b'\xef\xbb\xbf{"x": "\xff"}\n{"x": "a"}\n{"x": "b"}', "line 1", "byte 0xff"),
    ("a.csv", b"x,y\na,1\n\xe9,1\nb,1\n", "line 3", r"UTF-8 \(byte 0xe9\)"),
    ("a.csv", b"x\na\nc, d\nb\n", "line 3", r"2 fields, the header has 1; quote a text"),
    ("a.csv", b'x,y\na,1\n"c" d,1\nb,1\n', "line 3", r"not CSV \(',' expected after"),
]  # fmt: skip


@each(("name", "content", "place", "why"), BROKEN_ROWS)
def test_a_broken_row_is_named_and_the_others_are_read(
    name: str, content: bytes, place: str, why: str, tmp_path: Path
) -> None:
    path = written(tmp_path / name, content)
    found = [*file_records(path)]
    broken = [(where, row.why) for where, row in found if isinstance(row, Unreadable)]
    assert [row["x"] for _, row in found if isinstance(row, dict)] == ["a", "b"]
    assert [where for where, _ in broken] == [f"{name}, {place}"]
    assert re.search(why, broken[0][1]) and len(broken[0][1]) < 200
    assert re.search(rf"{name}, {place}: .*; fix it", refusal(path))


CUT = gzip.compress(b'{"x": "a"}\n' * 1000)[:-20]
BROKEN = [
    ("a.json", b'[{"x": "a"},\n oops]', r"a\.json, line 2: not JSON .* or one object per line"),
    ("a.json", b"[[" * 50_000, r"a\.json: not JSON \(nested too deeply\).*list of objects"),
    ("a.csv", b'x,"y\na,b\n', r"a\.csv, line 1: a field begins with a quote .* never closed"),
    ("a.jsonl.gz", CUT, r"a\.jsonl\.gz is not a whole packed file \(.*end-of-stream.*\); give an"),
    ("a.csv", b"PK\x03\x04abc", r"a\.csv is a zip archive or a spreadsheet; unpack it, or"),
    ("a.jsonl", '{"x": 1}'.encode("utf-16") + b"\x00", r"a\.jsonl: not UTF-16.*save .* UTF-8"),
    ("a.parquet", b"PAR1 not enough", r"a\.parquet is not a parquet file \(.+\); give another"),
    ("a.md", b"# Prompts\n\n- one\n", r"a\.md is in a form that is not read; give a \.jsonl"),
    ("a.yaml", b"- prompt: one\n", r"a\.yaml is in a form that is not read"),
    ("a.pdf", b"%PDF-1.7\n\xb3\xff\n", r"a\.pdf is in a form that is not read"),
    ("a.tar.gz", gzip.compress(b"a.jsonl" + bytes(600)), r"a\.tar\.gz is in a form that is not"),
    ("a.sqlite", b"SQLite format 3\x00", r"a\.sqlite is in a form that is not read"),
    ("a", b"prompt,x\nq,1\n", r"^a is in a form that is not read.* in a pipe only JSON and P"),
    ("a.txt", b"version https://git-lfs.github.com/spec/v1\n", r"a\.txt is a pointer of Git LFS"),
    ("a.arrow", b"no arrow at all", r"a\.arrow is not a arrow file \(.+\); give another"),
]  # fmt: skip


def test_the_definition_of_a_task_is_in_each_of_its_instances(tmp_path: Path) -> None:
    task = {"Definition": ["d"], "Positive Examples": ROWS, "Instances": ROWS}
    path = written(tmp_path / "a.json", json.dumps(task))
    for part in (None, "Instances"):
        found = [row for _, row in readable(file_records(path, part))]
        assert found == [{"Definition": ["d"], **row} for row in ROWS]


OUT_OF_RANGE: dict[str, tuple[pa.Array, list[Any]]] = {
    "milliseconds": (pa.array([10**17, 1], pa.timestamp("ms")), [10**17, 1]),
    "days": (pa.array([10**9, 1], pa.int32()).cast(pa.date32()), [10**9, 1]),
    "the year 10,000": (pa.array([2932897, 0], pa.int32()).cast(pa.date32()), [2932897, 0]),
    "an unknown zone": (pa.array([1, 2], pa.timestamp("us", tz="Moon/Base")), [1, 2]),
    "in objects in a list": (
        pa.array(
            [[{"at": 2**62, "by": "a"}], []],
            pa.list_(pa.struct({"at": pa.timestamp("us"), "by": pa.string()})),
        ),
        [[{"at": 2**62, "by": "a"}], []],
    ),
}


@each(("column", "expected"), OUT_OF_RANGE)
def test_a_date_that_python_cannot_hold_is_the_number_that_is_stored(
    column: pa.Array, expected: list[Any], tmp_path: Path
) -> None:
    table = pa.table({"x": ["a", "b"], "at": column})
    pq.write_table(table, tmp_path / "a.parquet")
    with pa.ipc.new_file(str(tmp_path / "a.arrow"), table.schema) as file:
        file.write_table(table)
    for name in ("a.parquet", "a.arrow"):
        found = rows(tmp_path / name)
        assert [row["x"] for row in found] == ["a", "b"]
        assert [row["at"] for row in found] == expected


def test_a_text_in_a_table_that_is_not_utf_8_costs_its_row(tmp_path: Path) -> None:
    texts = pa.array([b"a", b"\xffb", b"c"]).view(pa.string())
    pq.write_table(pa.table({"x": texts, "y": [1, 2, 3]}), tmp_path / "a.parquet")
    found = [row for _, row in file_records(tmp_path / "a.parquet")]
    assert found[::2] == [{"x": "a", "y": 1}, {"x": "c", "y": 3}]
    assert isinstance(found[1], Unreadable) and "not UTF-8 (byte 0xff)" in found[1].why


def test_the_lines_after_a_quote_that_is_not_closed_are_rows(tmp_path: Path) -> None:
    path = written(tmp_path / "a.csv", 'x,y\n1,a\n"2,b\n3,c\n4,"d"\n5,e\n')
    found = [*file_records(path)]
    assert [place for place, _ in found] == [f"a.csv, line {line}" for line in (2, 3, 4, 5, 6)]
    assert isinstance(found[1][1], Unreadable)
    assert [row["x"] for _, row in found if isinstance(row, dict)] == ["1", "3", "4", "5"]


def test_a_quote_that_nothing_closes_costs_its_own_row(tmp_path: Path) -> None:
    before = "".join(f"{number},a\n" for number in range(200))
    path = written(tmp_path / "a.csv", f'x,y\n{before}"4 inches,a\nand more\n5,b\n\n6,c\n')
    found = [*file_records(path)]
    broken = [(place, row.why) for place, row in found if isinstance(row, Unreadable)]
    assert broken == [
        ("a.csv, line 202", "a field begins with a quote that is never closed; close it")
    ]
    assert found[201:] == [
        ("a.csv, line 204", {"x": "5", "y": "b"}),
        ("a.csv, line 206", {"x": "6", "y": "c"}),
    ]
    path = written(tmp_path / "a.csv", 'x,y\n1,a\n"2,b\nand more\n')
    assert [type(row) for _, row in file_records(path)] == [dict, Unreadable]


def test_a_byte_order_mark_where_files_were_joined_is_no_part_of_a_line(tmp_path: Path) -> None:
    mark = b"\xef\xbb\xbf"
    assert rows(written(tmp_path / "a.txt", mark + b"a\n" + mark + b"b\n")) == [
        {"text": "a"},
        {"text": "b"},
    ]
    joined = (mark + lines(ROWS[0]).encode()) + (mark + lines(ROWS[1]).encode())
    assert rows(written(tmp_path / "a.jsonl", joined)) == ROWS


def test_a_table_is_known_by_its_content_where_no_suffix_names_a_form(tmp_path: Path) -> None:
    pq.write_table(pa.Table.from_pylist(ROWS), tmp_path / "stdin")
    assert rows(tmp_path / "stdin") == ROWS


def test_what_is_wrong_in_a_file_is_one_line_with_its_place(tmp_path: Path) -> None:
    for name, content, message in BROKEN:
        error = refusal(written(tmp_path / name, content))
        assert re.search(message, error), (content[:30], error)
        assert "\n" not in error and len(error) < 300
        assert str(tmp_path) not in error


def test_a_file_without_splits_has_none_to_name(tmp_path: Path) -> None:
    for name, content in (
        ("a.csv", "x\na\n"),
        ("a.txt", "a\n"),
        ("a.jsonl", '{"x": "a"}\n{"x": "b"}\n'),
        ("a.jsonl", '{"x": "a"}\n'),
        ("a.json", '[{"x": "a"}]'),
    ):
        with pytest.raises(InputError, match=rf"{name} is a file without splits; leave out --spl"):
            next(file_records(written(tmp_path / name, content), "test"))


def test_a_file_that_cannot_be_opened_is_named_at_once(tmp_path: Path) -> None:
    for name in ("a.jsonl", "a.parquet"):
        with pytest.raises(InputError, match=rf"{name} cannot be read \(No such file"):
            file_records(tmp_path / name)
