"""A set's page: what it holds, that nothing in it is markup or comes from elsewhere, its bytes."""

import base64
import hashlib
import json
import re
import zlib
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from builders.errors import FolderError, InputError
from builders.page import page
from builders.page.entries import Entries, encoded
from builders.page.page import write_page
from builders.preferences.aspect_ratings import RATED_ANSWERS
from builders.recipe import row_id
from builders.release.set_rows import set_rows
from builders.schema import CALLS, DROPPED, PREFERENCE, Row, assistant, user
from tests.cases import each

HOSTILE = {
    "the end of a script": "</script><script>alert(1)</script>",
    "a comment": "<!-- <script>",
    "an image": '<img src=x onerror="alert(1)">',
    "an entity and quotes": "&lt;b&gt; \"double\" 'single' `tick` {{ 7 * 7 }} {% raw %}",
    "line separators": "one\u2028two\u2029three\x00\x1b[31m",
    "bidirectional marks": "\u202egnp.exe\u2066",
}


def rows_of(text: str) -> dict[str, list[Row]]:
    """A set of each config with a text in all of its fields."""
    prompt = user(text)
    scores = {"score_chosen": 4.5, "score_rejected": 1.5}
    rated = {
        **{column.name: None for column in RATED_ANSWERS.columns},
        "id": text,
        "row_id": row_id(prompt),
        "prompt": prompt,
        "completion": assistant(text),
        "model": text,
        "principle": text,
        "honesty": 3,
        "mean": 3.0,
        "critique": text,
        "rationales": json.dumps({"honesty": text, text: text}),
        "ended": text,
    }
    call = {
        **{column.name: None for column in CALLS.columns},
        "id": "c",
        "row_ids": [row_id(prompt)],
        "role": text,
        "model": text,
        "answer": text,
        "ended": text,
        "reasoning": text,
        "input_tokens": 3,
        "output_tokens": 4,
        "asked": "[]",
    }
    pair = {"chosen": assistant(text), "rejected": assistant(f"{text} worse"), **scores}
    models = {"chosen_model": text, "rejected_model": text}
    dropped = {"reason": text, "evidence": json.dumps({text: text, "prompt": prompt})}
    return {
        "default": [{"id": row_id(prompt), "prompt": prompt, **pair, **models}],
        "dropped": [{"id": "d", **dropped}, {"id": "e", "reason": "r", "evidence": '["\\ud800",'}],
        "rated": [rated],
        "calls": [call],
    }


def written(folder: Path, rows: dict[str, list[Row]], **facts: Any) -> Path:
    """A draft's folder."""
    shapes = {"default": PREFERENCE, "dropped": DROPPED, "rated": RATED_ANSWERS, "calls": CALLS}
    folder.mkdir(parents=True)
    for config, some in rows.items():
        pq.write_table(
            pa.Table.from_pylist(some, schema=shapes[config].arrow), folder / f"{config}.parquet"
        )
    (folder / "draft.json").write_text(
        json.dumps({"recipe": "pairs", "counts": {}, "lineage": {}, **facts})
    )
    (folder / "run.json").write_text("{}")
    return folder


def made(folder: Path, to: Path) -> str:
    size = write_page(set_rows(folder), to)
    assert size == to.stat().st_size
    return to.read_text(encoding="utf-8")


def unpacked(text: str) -> str:
    return zlib.decompress(base64.b64decode(text)).decode()


def data_of(html: str) -> tuple[list[Any], dict[str, Any], dict[str, Any]]:
    """The rows, the index and the facts, as the page unpacks them."""
    chunks = re.findall(r'<script type="text/plain" class="chunk">(.*?)</script>', html)
    lines = [json.loads(line) for one in chunks for line in unpacked(one).split("\n")]
    parts = [re.search(rf'id="{name}">(.*?)</script>', html) for name in ("index", "facts")]
    index, facts = (json.loads(unpacked(one[1])) for one in parts if one)
    return lines, index, facts


@each("text", HOSTILE)
def test_no_text_of_a_set_is_outside_of_what_is_packed(text: str, tmp_path: Path) -> None:
    draft = written(
        tmp_path / row_id(text), rows_of(text), set={"name": text}, measures={text: text}
    )
    html = made(draft, tmp_path / "set.html")
    lines, index, facts = data_of(html)
    assert [line["row"]["id"] for line in lines] == [*index["id"]]
    assert lines[0]["row"]["prompt"] == user(text)
    assert lines[0]["rated"][0]["rationales"][text] == text
    assert lines[0]["calls"][0]["reasoning"] == text
    assert facts["measures"] == {text: text} and facts["title"] == text
    assert html.count("<script") == html.count("</script>") == 4  # one chunk, index, facts, ours
    assert "alert(1)" not in re.sub(r"<(title|h1)>.*?</\1>", "", html, flags=re.DOTALL)
    assert "<script>alert" not in html and "<img" not in html and "<!--" not in html


def test_only_its_own_script_and_style_may_run_and_nothing_is_loaded(tmp_path: Path) -> None:
    html = made(written(tmp_path / "draft", rows_of("a")), tmp_path / "set.html")
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', html)
    assert policy
    rules = dict(one.strip().split(" ", 1) for one in policy[1].replace("&#39;", "'").split(";"))
    assert rules.pop("default-src") == "'none'"
    for kind, tag in (("style-src", "style"), ("script-src", "script")):
        (text,) = re.findall(rf"<{tag}>(.*?)</{tag}>", html, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert rules.pop(kind) == f"'sha256-{digest}'"
    assert rules == {
        **dict.fromkeys(("base-uri", "form-action", "trusted-types"), "'none'"),
        "require-trusted-types-for": "'script'",
    }
    assert re.findall(r"\b(?:src|srcset|action|data|poster|style|on\w+)=", html) == []
    assert re.findall(r'href="([^"]*)"', html) == ["#rows"]
    assert "http:" not in html and "https:" not in html and "//www" not in html


def test_the_script_makes_no_markup_and_asks_for_nothing() -> None:
    script = (Path(page.__file__).parent / "page.js").read_text(encoding="utf-8")
    ways = r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|Function\(|fetch\("
    assert (
        re.findall(ways + r"|XMLHttp|WebSocket|import\(|localStorage|setTimeout\(\"", script) == []
    )


def test_the_same_set_gives_the_same_bytes_wherever_it_is(tmp_path: Path) -> None:
    one = written(tmp_path / "one" / "0001", rows_of("a"))
    other = written(tmp_path / "two" / "0001", rows_of("a"))
    assert made(one, tmp_path / "one.html") == made(other, tmp_path / "other.html")
    assert str(tmp_path) not in made(one, tmp_path / "one.html")


def test_counts_are_those_of_the_rows_and_tokens_those_of_the_calls(tmp_path: Path) -> None:
    rows = rows_of("a")
    rows["dropped"] += [
        {"id": f"x{number}", "reason": "left out: repeated", "evidence": "{}"} for number in (1, 2)
    ]
    rows["calls"] += [rows["calls"][0] | {"output_tokens": None}]
    draft = written(tmp_path / "draft", rows, counts={"made": 99}, spent={"usd": 0.5})
    lines, index, facts = data_of(made(draft, tmp_path / "set.html"))
    assert facts["counts"] == {
        "made": 3,
        "kept": 1,
        "dropped": {"a": 1, "r": 1},
        "left_out": {"repeated": 2},
    }
    assert facts["calls"] == [
        {
            "role": "a",
            "model": "a",
            "calls": 2,
            "uncounted": 1,
            "input_tokens": 6,
            "output_tokens": 4,
        }
    ]
    assert facts["spent"] == {"usd": 0.5, "at_most_usd": None}
    assert index["score"] == [[4.5, 1.5], [], [], [], [], [3.0]]
    assert index["length"][0] == [1, 7]
    assert [index["reasons"][one] for one in index["reason"] if one >= 0] == [
        *("a", "r", "left out: repeated", "left out: repeated")
    ]
    assert len(lines[0]["calls"]) == 2
    assert lines[1]["kept"] == row_id(
        user("a")
    )  # a dropped row leads to the one kept of its prompt


def test_rows_over_the_limit_are_counted_but_not_shown(tmp_path: Path) -> None:
    rows = rows_of("a")
    rows["default"] = [rows["default"][0] | {"id": f"{number:016x}"} for number in range(5)]
    found = set_rows(written(tmp_path / "draft", rows))
    entries = Entries(found, tmp_path, most=6)
    assert len([*entries.chunks()]) == 1
    assert entries.facts()["configs"] == [
        {"name": "default", "rows": 5, "shown": 5},
        {"name": "dropped", "rows": 2, "shown": 1},
        {"name": "rated", "rows": 1, "shown": 0},
    ]
    assert len(entries.index()["id"]) == 6


def test_a_set_without_rows_has_a_page(tmp_path: Path) -> None:
    draft = written(tmp_path / "draft", {"default": [], "dropped": [], "calls": []})
    lines, index, facts = data_of(made(draft, tmp_path / "set.html"))
    assert (lines, index["starts"], facts["counts"]["made"]) == ([], [], 0)


# What a set from elsewhere may hold in the columns that ours has.
FOREIGN: list[dict[str, list[Row]]] = [
    {"default": [{"id": 1, "prompt": "a text", "chosen": 5, "score_chosen": float("nan")}]},
    {
        "default": [{"text": "no id"}],
        "dropped": [{"why": "x"}],
        "rated": [{"x": 1}],
        "calls": [{"y": 1}],
    },
    {"default": [{"prompt": [{"role": None, "content": "x"}], "model": ["a", "b"], "b": b"\0"}]},
    {"calls": [{"row_ids": 5, "role": None, "input_tokens": "many", "output_tokens": 2.5}]},
    {"calls": [{"row_ids": [1, None], "answer": ["a"]}], "rated": [{"row_id": 7}]},
    {"dropped": [{"reason": None, "evidence": '{"of": 5, "prompt": 7, "score": NaN}'}]},
    {"dropped": [{"evidence": '{"prompt": [1], "of": [1], "mean": 1e999}'}, {"evidence": "[]"}]},
]


@each("rows", FOREIGN)
def test_a_set_from_elsewhere_has_a_page(rows: dict[str, list[Row]], tmp_path: Path) -> None:
    folder = tmp_path / str(len(list(tmp_path.iterdir())))
    for config, some in rows.items():
        (folder / "data" / config).mkdir(parents=True)
        table = pa.Table.from_pylist(some or [{}])
        pq.write_table(table, folder / "data" / config / "train-00000-of-00001.parquet")
    lines, index, _ = data_of(made(folder, tmp_path / "set.html"))
    assert (
        len(lines) == len(index["id"]) == sum(map(len, rows.values())) - len(rows.get("calls", ()))
    )
    assert all(isinstance(one, int | float) for scores in index["score"] for one in scores)


def test_chunks_start_where_the_index_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("builders.page.entries.CHUNK_BYTES", 2_000)
    rows = rows_of("a" * 100)
    rows["default"] = [rows["default"][0] | {"id": f"{number:016x}"} for number in range(20)]
    html = made(written(tmp_path / "draft", rows), tmp_path / "set.html")
    lines, index, _ = data_of(html)
    chunks = re.findall(r'class="chunk">(.*?)</script>', html)
    assert len(chunks) == len(index["starts"]) > 5
    for chunk, start in zip(chunks, index["starts"], strict=True):
        assert json.loads(unpacked(chunk).split("\n")[0]) == lines[start]


@each(
    ("value", "json_text"),
    [
        ("\ud800 lone", '"? lone"'),
        ({"\udfff": 1}, '{"?":1}'),
        (float("nan"), "null"),
        (10**30, f'"{10**30}"'),
        (b"bytes", "\"b'bytes'\""),
    ],
)
def test_what_no_json_holds_becomes_text(value: object, json_text: str) -> None:
    assert encoded(value).decode() == json_text


def test_a_value_of_too_many_levels_is_cut() -> None:
    deep: list[Any] = []
    for _ in range(900):
        deep = [deep]
    assert encoded(deep).decode() == "[" * 40 + '"[...]"' + "]" * 40


@each("name", ["set.txt", "set", "folder.html"])
def test_only_a_page_is_written(name: str, tmp_path: Path) -> None:
    (tmp_path / "folder.html").mkdir(exist_ok=True)
    found = tmp_path / "draft"
    rows = set_rows(found if found.is_dir() else written(found, rows_of("a")))
    with pytest.raises(InputError, match=r"expected one such as set\.html"):
        write_page(rows, tmp_path / name)
    with pytest.raises(FolderError):
        write_page(rows, tmp_path / "nosuch" / "set.html")
    assert {path.name for path in tmp_path.iterdir()} == {"draft", "folder.html"}
