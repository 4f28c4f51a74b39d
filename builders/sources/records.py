"""Reads the rows of files, each with its place, such as ("a.jsonl, line 3", {"prompt": ...}).

The one reader of JSON Lines, JSON, CSV, Parquet, Arrow and text, packed or not; what a row means is
the caller's business. `source_records` (builders.sources.source) gives the rows of a file, a folder
or a Hub dataset, with its split, config and revision: prompts, seed tasks, labelled pairs and sets
to compare are all read through it. A row that is broken comes as `Unreadable`, so that the caller
can count it and go on; `readable(...)` raises at the first one instead. Rows are read as they are
asked for: only a whole JSON document is held in memory. Strangers' files are read elsewhere: in the
sandbox, under its limits.
"""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import json
import lzma
import re
import sys
import zlib
from collections.abc import Callable, Iterable, Iterator
from itertools import chain, dropwhile, islice, zip_longest
from pathlib import Path
from typing import Any

from builders.errors import InputError, shortened
from builders.sources.arrow_tables import distinct, table_rows
from builders.sources.json_shapes import is_dialogue, lists_in
from builders.sources.rows import Records, Row, Unreadable
from builders.sources.table_headers import fields_of, is_anki, table_header

_LINES = (".jsonl", ".ndjson")
_TABLES = {".parquet", ".arrow", ".feather"}
_TEXTS = {".json", *_LINES, ".csv", ".tsv", ".tab", ".txt"}
_PACKED = {".gz", ".bz2", ".xz", ".zst"}
_MAGIC = {b"\x1f\x8b": "gzip", b"BZh": "bz2", b"\xfd7zXZ\x00": "xz", b"(\xb5/\xfd": "zstd"}
_PAGE = (b"<!doctype html", b"<html")
_POINTER = b"version https://git-lfs"
_TABLE_MAGIC = (b"PAR1", b"ARROW1")
_JSON_BEGINS = ("{", "[", '"')  # a row: an object, a dialogue, a text
_SPACE = re.compile(r"\s*")
_NOT_UTF_8 = re.compile("[\udc80-\udcff]")  # how bytes that are no text come out of the decoder


def is_data_file(path: Path) -> bool:
    """Whether a file's name has the suffix of a form that is read."""
    return suffix_of(path) in _TABLES | _TEXTS


def file_records(path: Path, part: str | None = None) -> Records:
    """The rows of a file, in the form that its suffix names; JSON Lines for an unknown one.

    Args:
        path: A .jsonl, .json, .csv, .tsv, .txt (a row per line, in `text`), .parquet or .arrow
            file; the texts also packed as .gz, .bz2, .xz or .zst. A text in place of a JSON object
            is a row with `text`, a list of messages one with `messages`.
        part: Which of several lists of rows in a JSON document is read, such as `train`; None
            reads them all.

    Raises:
        InputError: At once where the file cannot be opened; in the iteration where the rest of it
            cannot be read.
    """
    try:
        with path.open("rb") as file:
            head = file.read(len(_POINTER))
    except OSError as error:
        raise InputError(
            f"{path.name} cannot be read ({error.strerror}); name a file that you have the right "
            "to read"
        ) from None
    if head.startswith(b"PK\x03\x04"):
        raise InputError(
            f"{path.name} is a zip archive or a spreadsheet; unpack it, or save it as .csv"
        )
    if head.lstrip().lower().startswith(_PAGE):
        raise InputError(
            f"{path.name} is a web page; download the file that it shows, and give that"
        )
    if head == _POINTER:
        raise InputError(
            f"{path.name} is a pointer of Git LFS, not the file itself; run `git lfs pull`"
        )
    forms: dict[str, Callable[[Path], Records]] = {
        **dict.fromkeys(_TABLES, _table),
        **dict.fromkeys((".csv", ".tsv", ".tab"), _csv),
        ".txt": _text,
    }
    form = forms.get(suffix_of(path))
    if form is None and head.startswith(_TABLE_MAGIC):
        form = _table
    if part is not None and form:
        raise _no_splits(path)
    form = form or (lambda path: _json(path, part))
    return _whole_or_named(path, form)


def _no_splits(path: Path) -> InputError:
    return InputError(f"{path.name} is a file without splits; leave out --split")


def readable(records: Iterable[tuple[str, Row | Unreadable]]) -> Iterator[tuple[str, Row]]:
    """The same rows, where a broken one is an error.

    Raises:
        InputError: In the iteration, at the first row that cannot be read.
    """
    for place, row in records:
        if isinstance(row, Unreadable):
            raise InputError(f"{place}: {row.why}; fix it")
        yield place, row


def suffix_of(path: Path) -> str:
    """The suffix that names a file's form, in small letters: that before `.gz` and the like."""
    name = path.with_suffix("") if path.suffix.lower() in _PACKED else path
    return name.suffix.lower()


def _whole_or_named(path: Path, form: Callable[[Path], Records]) -> Records:
    """The rows of a file; what keeps the rest of it from being read is one line with its name."""
    import pyarrow as pa

    try:
        yield from form(path)
    except UnicodeDecodeError as error:
        raise InputError(
            f"{path.name}: not {error.encoding.upper()} ({error.reason}); save the file as UTF-8"
        ) from None
    except (EOFError, zlib.error, lzma.LZMAError, pa.ArrowException, OSError) as error:
        reason = str(error).splitlines()[0]
        what = (
            "a whole packed file"
            if path.suffix.lower() in _PACKED
            else f"a {suffix_of(path)[1:]} file"
        )
        raise InputError(f"{path.name} is not {what} ({reason}); give another") from None


def _bytes(path: Path) -> Any:
    """The bytes of a file, unpacked."""
    with path.open("rb") as file:
        head = file.read(6)
    match next((how for magic, how in _MAGIC.items() if head.startswith(magic)), None):
        case "gzip":
            return gzip.open(path)
        case "bz2":
            return bz2.open(path)
        case "xz":
            return lzma.open(path)
        case "zstd":
            import pyarrow as pa

            return pa.input_stream(str(path), compression="zstd")
    return path.open("rb")


def _lines(path: Path, newline: str = "\n") -> Iterator[str]:
    r"""The lines of a text file, in UTF-8 or as its byte order mark names it.

    Only \n ends a line: U+2028 and the like may be inside a JSON string. A line may begin with
    another mark, where files were joined.
    """
    with _bytes(path) as file:
        encoding = json.detect_encoding(file.read(4))
    errors = "surrogateescape" if encoding.startswith("utf-8") else "strict"
    with _bytes(path) as file, io.TextIOWrapper(file, encoding, errors, newline) as text:
        for line in text:
            yield line.lstrip("\ufeff") if line[:1] == "\ufeff" else line


def _not_utf_8(text: str) -> Unreadable | None:
    if text.isascii() or not (found := _NOT_UTF_8.search(text)):
        return None
    return Unreadable(f"not UTF-8 (byte 0x{ord(found[0]) - 0xDC00:02x}); save the file as UTF-8")


def _text(path: Path) -> Records:
    if is_anki(next(_lines(path), "")):
        yield from _csv(path)
        return
    for number, line in enumerate(_lines(path), 1):
        yield f"{path.name}, line {number}", _not_utf_8(line) or {"text": line.rstrip("\r\n")}


# --- JSON


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object, where a key that comes again gets a number, as a column of a table does."""
    found = dict(pairs)
    if len(found) < len(pairs):
        keys, values = zip(*pairs, strict=True)
        found = dict(zip(distinct(keys), values, strict=True))
    return found


_DECODER = json.JSONDecoder(object_pairs_hook=_object)


def _json(path: Path, part: str | None) -> Records:
    """The rows of a JSON document or of JSON Lines, whichever the content is."""
    lines = ((number, line) for number, line in enumerate(_lines(path), 1) if line.strip())
    if not (begin := [*islice(lines, 2)]):
        return
    first = _value(begin[0][1])
    if suffix_of(path) not in _TEXTS and begin[0][1].lstrip()[:1] not in _JSON_BEGINS:
        raise InputError(
            f"{path.name} is in a form that is not read; give a .jsonl, .json, .csv, .tsv, .txt or "
            f".parquet file{'' if path.suffix else '; in a pipe only JSON and Parquet are read'}"
        )
    if isinstance(first, Unreadable) and not _not_utf_8(
        begin[0][1]
    ):  # not a line of JSON: a document over several lines?
        values = _values(path)
        if values is not None:
            yield from _of_values(path, values, part)
            return
    elif len(begin) == 1 and not isinstance(first, Unreadable):
        yield from _of_values(path, [first], part, begin[0][0])
        return
    if part is not None:
        raise _no_splits(path)
    for number, line in chain(begin, lines):
        yield f"{path.name}, line {number}", _row(_value(line))


def _value(line: str) -> Any:
    """The value of a line of JSON, or why there is none."""
    if bad := _not_utf_8(line):
        return bad
    try:
        return _DECODER.decode(line)
    except json.JSONDecodeError as error:
        if line[error.pos :].strip() == "," and error.msg == "Extra data":
            return Unreadable("a comma follows the object; delete it, or put [ and ] around all")
        return Unreadable(f"not JSON ({error.msg} at column {error.colno})")
    except (ValueError, RecursionError) as error:
        return Unreadable(f"not JSON ({_too_much(error)})")


def _too_much(error: Exception) -> str:
    """What is too large for the reader: a number of 5,000 digits, 1,000 brackets."""
    if isinstance(error, RecursionError):
        return "nested too deeply"
    return str(error).partition(";")[0]  # after it is advice to programmers


def _values(path: Path) -> list[Any] | None:
    """The values of a file that is JSON as a whole, mostly one; None where it may be JSON Lines.

    Raises:
        InputError: It is not JSON, and its suffix is .json.
    """
    text, values, at = "".join(_lines(path)), [], 0
    try:
        while (at := _SPACE.match(text, at).end()) < len(text):  # type: ignore[union-attr]
            value, at = _DECODER.raw_decode(text, at)
            values.append(value)
    except (ValueError, RecursionError) as error:
        if suffix_of(path) != ".json":
            return None
        where, why = "", _too_much(error)
        if isinstance(error, json.JSONDecodeError):
            where, why = f", line {error.lineno}", f"{error.msg} at column {error.colno}"
        raise InputError(
            f"{path.name}{where}: not JSON ({why}); expected a list of objects, or one object "
            "per line"
        ) from None
    return values


def _of_values(path: Path, values: list[Any], part: str | None, line: int = 0) -> Records:
    """The rows of a whole document, or of several objects one after the other.

    `line` is that of a document of one line, which may be the only row of a file of lines.
    """
    of_lines = line > 0 and suffix_of(path) != ".json"
    lists = lists_in(values[0], part, of_lines=of_lines) if len(values) == 1 else {"": values}
    if isinstance(lists, str):
        raise InputError(f"{path.name} {lists}")
    if part is not None and part not in (lists or ()):
        raise _no_splits(path)
    if lists is None:
        where = f"line {line}" if of_lines else "row 1"
        yield f"{path.name}, {where}", _row(values[0])
        return
    for name, rows in lists.items():
        for number, row in enumerate(rows, 1):
            yield f"{path.name}, {name}{name and ', '}row {number}", _row(row)


def _row(value: Any) -> Row | Unreadable:
    """A row from the JSON value in its place."""
    if isinstance(value, dict | Unreadable):
        return value
    if isinstance(value, str):
        return {"text": value}
    if is_dialogue(value):
        return {"messages": value}
    what = json.dumps(value) if value is None or isinstance(value, bool) else shortened(value)
    return Unreadable(f"{what} is not an object")


# --- tables


def _csv(path: Path) -> Records:
    """The rows of a file of separated values; its header decides which character separates them."""
    csv.field_size_limit(sys.maxsize)
    lines = _lines(path, newline="")
    usual = "\t,;|" if suffix_of(path) in (".tsv", ".tab") else ",;\t|"
    blank, header, delimiter, after = table_header(lines, usual)
    lines = chain(after, lines)
    held: list[str] = []  # the lines of the row that is being read
    reader = csv.reader(_held(chain([header], lines), held), delimiter=delimiter, strict=True)
    columns: list[str] | None = None
    while True:
        place = f"{path.name}, line {blank + reader.line_num + 1}"
        before = blank + reader.line_num
        held.clear()
        try:
            values = next(reader, None)
        except csv.Error as error:
            if delimiter == "\t" and reader.dialect.quoting != csv.QUOTE_NONE:
                # Tabs mostly separate texts as they are, whose quotes mean nothing.
                blank, lines = before, chain([*held], lines)
                reader = csv.reader(lines, delimiter=delimiter, quoting=csv.QUOTE_NONE)
                continue
            is_open = "unexpected end" in str(error)
            why = f"not CSV ({error}); a quote in a quoted text is doubled"
            if is_open:
                why = "a field begins with a quote that is never closed; close it"
            if columns is None:
                raise InputError(f"{place}: {why}") from None
            yield place, Unreadable(why)
            rest = held[1:]  # lines that a quote, which nothing closes, made part of this one
            if is_open:  # the first of them may be the rest of a text
                rest = _from_row(rest, delimiter, len(columns))
            if rest:
                blank, lines = before + len(held) - len(rest), chain(rest, lines)
                reader = csv.reader(_held(lines, held), delimiter=delimiter, strict=True)
            continue
        if values is None:
            return
        if columns is None:
            columns = distinct(values)
        elif values:
            yield place, _csv_row(columns, values)


def _held(lines: Iterable[str], held: list[str]) -> Iterator[str]:
    for line in lines:
        held.append(line)
        yield line


def _from_row(lines: list[str], delimiter: str, fields: int) -> list[str]:
    """The lines from the first one that has as many fields as a row."""
    return [*dropwhile(lambda line: fields_of(line, delimiter) != fields, lines)]


def _csv_row(columns: list[str], values: list[str]) -> Row | Unreadable:
    if len(values) > len(columns):
        return Unreadable(
            f"{len(values)} fields, the header has {len(columns)}; quote a text that holds the "
            "separator"
        )
    bad = next(filter(None, map(_not_utf_8, values)), None)
    return bad or dict(zip_longest(columns, values))


def _table(path: Path) -> Records:
    """The rows of a Parquet or Arrow file."""
    for number, row in enumerate(table_rows(path), 1):
        yield f"{path.name}, row {number}", row
