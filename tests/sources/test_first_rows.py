"""A text that differs beside one prompt is asked with it, or the user is shown how."""

import json
from pathlib import Path
from typing import Any

import pytest

from builders.errors import InputError
from builders.sources.seed_forms import read_prompts
from builders.sources.source import LoadedSource, Source
from tests.cases import each


def loaded(folder: Path, rows: list[dict[str, Any]], column: str | None = None) -> LoadedSource:
    place = folder / "a.jsonl"
    place.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return read_prompts(Source(place=str(place), column=column))


def asked(read: LoadedSource) -> list[str]:
    return [row["prompt"][-1]["content"] for row in read.rows]


def rows_of(ask: str, *columns: str, answer: str = "output") -> list[dict[str, Any]]:
    """Three rows with the same prompt and texts that differ beside it."""
    return [
        {ask: "Look at it.", **{name: f"{name} no. {x}" for name in columns}, answer: f"y{x}"}
        for x in "abc"
    ]


JOINED: dict[str, tuple[list[dict[str, Any]], list[str]]] = {
    "a column of any name": (
        rows_of("prompt", "headline"),
        ["Look at it.\n\nheadline no. a", "Look at it.\n\nheadline no. b"],
    ),
    "code to fix": (
        rows_of("instruction", "buggy_code", answer="fixed_code"),
        ["Look at it.\n\nbuggy_code no. a"],
    ),
    "a list": (
        [{"prompt": "Sort.", "items": [x, "a word"], "output": "y"} for x in ("b c", "d e", "f g")],
        ["Sort.\n\nb c\n\na word"],
    ),
    "an explanation of the answer": (
        rows_of("prompt", "remark", "explanation", answer="answer"),
        ["Look at it.\n\nremark no. a"],
    ),
    "a source and a name of a model": (
        [row | {"source": "Some Set", "model": x} for x, row in enumerate(rows_of("query", "ad"))],
        ["Look at it.\n\nad no. a"],
    ),
    "an object that asks": (
        [{"prompt": {"text": "Look."}, "ad": f"no. {x}", "output": "y"} for x in "abc"],
        ["Look.\n\nno. a"],
    ),
    "an instruction to the same prompts": (
        [{"instruction": f"To {x}", "prompt": "hi", "output": "y"} for x in ("French", "German")],
        ["To French\n\nhi", "To German\n\nhi"],
    ),
    "an instruction to several prompts": (
        [{"instruction": "To French", "prompt": x, "output": "y"} for x in ("hi", "ho")],
        ["To French\n\nhi", "To French\n\nho"],
    ),
    "a task to several inputs": (
        [{"task": "Put it into French", "input": x, "output": "y"} for x in ("hi", "ho")],
        ["Put it into French\n\nhi", "Put it into French\n\nho"],
    ),
}


@each(("rows", "prompts"), JOINED)
def test_what_differs_beside_one_prompt_is_asked_with_it(
    rows: list[dict[str, Any]], prompts: list[str], tmp_path: Path
) -> None:
    read = loaded(tmp_path, rows)
    assert asked(read)[: len(prompts)] == prompts and len(read.rows) == len(rows)
    assert not read.doubtful and not read.left_out


DOUBTFUL: dict[str, tuple[list[dict[str, Any]], str]] = {
    "without an answer": (rows_of("prompt", "review", answer="label"), "--column prompt+review;"),
    "one word": (
        [{"prompt": "Use it.", "word": x, "output": "y"} for x in ("oak", "elm", "ash")],
        "--column prompt+word;",
    ),
    "a number": (
        [{"prompt": "Square it.", "n": x, "output": x * x} for x in range(3)],
        "--column prompt+n;",
    ),
    "two texts": (
        rows_of("prompt", "review", "reply"),
        "--column prompt+review or --column prompt+reply;",
    ),
    "a text with the answer": (
        [{"prompt": "Solve.", "steps": f"so it is {x}", "answer": str(x)} for x in range(3)],
        "--column prompt+steps;",
    ),
    "two rows": (rows_of("prompt", "review")[:2], "--column prompt+review;"),
    "a text, beside what is an answer": (
        rows_of("prompt", "bot", "gpt4", "review", answer="label"),
        "join: --column prompt+review; or",
    ),
}


@each(("rows", "ways"), DOUBTFUL)
def test_rows_that_only_differ_in_what_may_be_the_answer_stop_a_build(
    rows: list[dict[str, Any]], ways: str, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=f"{len(rows)} rows ask the same") as error:
        loaded(tmp_path, rows)
    assert ways in str(error.value) and "--column prompt to ask it once" in str(error.value)
    assert len(loaded(tmp_path, rows, "prompt").rows) == 1


NOT_REPEATED: dict[str, tuple[list[dict[str, Any]], list[str], dict[str, str]]] = {
    "a text": (
        [
            {"prompt": "Say more.", "review": "a good one"},
            {"prompt": "Say more.", "review": "a bad one"},
            {"prompt": "Say less.", "review": "a good one"},
        ],
        ["same prompt"],
        {"review": "prompt+review"},
    ),
    "answers": (
        [
            {"prompt": "ask", "response": "x y", "rating": 1, "explanation": "a b"},
            {"prompt": "ask", "response": "y z", "rating": 2, "explanation": "b c"},
        ],
        ["repeated"],
        {},
    ),
    "words of a template": (
        [
            {"instruction": f"{x} it", "animal": y, "output": "z"}
            for x, y in (("Draw", "cat"), ("Draw", "cow"), ("Name", "cat"), ("Sing", "cow"))
        ],
        ["same prompt"],
        {"animal": "instruction+animal"},
    ),
    "a language": (
        [{"prompt": "Say hi.", "language": x} for x in ("French", "German")]
        + [{"prompt": "Say no.", "language": "French"}],
        ["same prompt"],
        {"language": "prompt+language"},
    ),
    "models of answers": (
        [
            {
                "prompt": "ask",
                "response": "x",
                "model_a": f"m-{x}",
                "generator": x,
                "judge_model": x,
            }
            for x in "ab"
        ],
        ["repeated"],
        {},
    ),
    "scores and ids": (
        [
            {"prompt": ask, "helpfulness": x, "run": f"r{x}"}
            for x, ask in enumerate(("ask", "ask", "ask more"))
        ],
        ["repeated"],
        {},
    ),
    "all of a row": ([{"prompt": "ask", "note": "a b"}] * 2, ["repeated"], {}),
    "the whole dialogue": (
        [{"instruction": "ask", "log": f"Q: ask\nA: {x} y"} for x in "ab"],
        ["repeated"],
        {},
    ),
}


@each(("rows", "reasons", "doubtful"), NOT_REPEATED)
def test_rows_that_differ_beside_a_prompt_are_not_called_repeated(
    rows: list[dict[str, Any]], reasons: list[str], doubtful: dict[str, str], tmp_path: Path
) -> None:
    read = loaded(tmp_path, rows)
    assert [one.reason for one in read.left_out] == reasons and read.doubtful == doubtful


TEMPLATES: dict[str, tuple[list[str], list[dict[str, Any]], str]] = {
    "words": (
        ["Draw it.", "Name it."],
        [{"animal": x, "output": "y"} for x in ("cat", "cow", "dog")],
        "--column prompt+animal;",
    ),
    "words without an answer": (
        ["Draw it.", "Name it.", "Sing it."],
        [{"city": x} for x in ("Ulm", "Rome", "Bad Ems")],
        "--column prompt+city;",
    ),
    "names": (
        ["Greet.", "Write to."],
        [{"system": "s", "name": x} for x in ("Ann", "Bob", "Eve")],
        "--column prompt+name;",
    ),
    "replies beside an answer": (
        ["Is it polite?", "Is it long?"],
        [{"reply": f"It was a {x} day.", "output": "y"} for x in ("good", "bad", "long")],
        "--column prompt+reply;",
    ),
    "other texts to each, beside an answer": (
        ["Tell me about it.", "Tell her about it."],
        [{"topic": x, "model": f"m-{x}", "output": "y"} for x in ("oaks", "elms", "ash trees")],
        "--column prompt+topic;",
    ),
    "texts": (
        ["Sum up.", "Translate."],
        [{"review": f"It was a {x} day.", "output": "y"} for x in ("good", "bad", "long")],
        "--column prompt+review;",
    ),
}


@each(("asks", "beside", "ways"), TEMPLATES)
def test_a_few_prompts_to_many_texts_stop_a_build(
    asks: list[str], beside: list[dict[str, Any]], ways: str, tmp_path: Path
) -> None:
    rows = [{"prompt": ask, **one} for ask in asks for one in beside]
    with pytest.raises(
        InputError, match=f"{len(rows)} rows ask one of {len(asks)} prompts"
    ) as error:
        loaded(tmp_path, rows)
    assert ways in str(error.value) and "--column prompt to ask each once" in str(error.value)
    assert len(loaded(tmp_path, rows, "prompt").rows) == len(asks)


def several(**columns: list[str]) -> list[dict[str, Any]]:
    """Rows of two prompts; for each of them some columns differ."""
    found = [dict(zip(columns, one, strict=True)) for one in zip(*columns.values(), strict=True)]
    half = len(found) // 2
    return [{"prompt": f"ask {number // half}", **one} for number, one in enumerate(found)]


STORIES = [f"It was no. {x}" for x in range(6)]
ANSWERED: dict[str, tuple[list[dict[str, Any]], str]] = {
    **{
        name: (several(**{name: STORIES}), "repeated")
        for name in ("assistant", "gpt4", "bot", "answer_of_claude")
    },
    **{
        name: (several(**{name: STORIES}), "same prompt")
        for name in ("reply", "story", "poem", "result", "message", "sample_text", "caption")
    },
    "verdicts": (several(verdict=["good", "bad", "unsure"] * 2), "same prompt"),
    "runs": (several(run=["run 1", "run 2", "run 3"] * 2, output=STORIES), "repeated"),
    "states of work": (several(status=["done", "open", "new"] * 2, output=STORIES), "same prompt"),
    "countries": (several(country=["DE", "FR", "US"] * 2, response=STORIES), "same prompt"),
    "notes": (several(reviewer_note=["too long", "off", "ok"] * 2, output=STORIES), "same prompt"),
    "stories and their states": (
        several(status=["done", "open", "new"] * 2, story=STORIES),
        "same prompt",
    ),
}


@each(("rows", "reason"), ANSWERED)
def test_several_answers_to_each_of_a_few_prompts_are_read_once(
    rows: list[dict[str, Any]], reason: str, tmp_path: Path
) -> None:
    read = loaded(tmp_path, rows)
    assert asked(read) == ["ask 0", "ask 1"]
    assert [one.reason for one in read.left_out] == [reason] * 4
    assert not {*read.doubtful} & {"reply", "assistant", "gpt4", "bot", "poem", "output"}


def test_what_may_be_of_who_answered_stops_no_build_and_is_named(tmp_path: Path) -> None:
    rows = several(country=["DE", "FR", "US"] * 2, response=STORIES)
    assert loaded(tmp_path, rows).doubtful == {"country": "prompt+country"}
    same = several(reply=STORIES[:3] * 2)
    assert loaded(tmp_path, same).doubtful == {"reply": "prompt+reply"}


HINTS: dict[str, tuple[dict[str, Any], dict[str, str]]] = {
    "an instruction": (
        {"instruction": "Sum up", "prompt": "hi", "system": "s"},
        {"instruction": "instruction+prompt"},
    ),
    "a task": ({"task": "Put it into French", "input": "hi"}, {"task": "task+input"}),
    "a kind of tasks": ({"task": "text classification", "input": "hi"}, {}),
    "a question": (
        {"prompt": "Be brief.", "question": "Why?", "context": "on"},
        {"question": "prompt+context+question"},
    ),
    "a long text": (
        {"question": "Why?", "description": "on and " * 5, "explanation": "x y " * 9},
        {"description": "question+description"},
    ),
    "documents that were found": (
        {"query": "Why?", "retrieved_docs": ["on and on"], "answer": "x"},
        {"retrieved_docs": "query+retrieved_docs"},
    ),
    "constraints": (
        {"prompt": "Sing.", "constraints": ["two lines"]},
        {"constraints": "prompt+constraints"},
    ),
    "a question's details": (
        {"question": "Why?", "question_detail": "At all.", "context": "on"},
        {"question_detail": "question+context+question_detail"},
    ),
    "the subject of a mail": ({"body": "Hi.", "subject": "On it"}, {"subject": "body+subject"}),
    "the subject of a school": ({"question": "Why?", "subject": "physics"}, {}),
    "gold SQL": ({"question": "How many?", "query": "SELECT count(*) FROM a"}, {}),
    "a template": ({"prompt": "Q: Why?\nA:", "question": "Why?"}, {}),
}


@each(("row", "doubtful"), HINTS)
def test_a_column_that_may_ask_is_named_with_the_option_that_joins_it(
    row: dict[str, Any], doubtful: dict[str, str], tmp_path: Path
) -> None:
    assert loaded(tmp_path, [row]).doubtful == doubtful
