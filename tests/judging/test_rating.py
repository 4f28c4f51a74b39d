"""Ratings by aspect: the right rating for the right text, or none; and how texts are shown."""

import json
import re
import time
from collections.abc import Sequence
from itertools import permutations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from malformed_ratings import (
    BOTH,
    CRITIQUES,
    DOCUMENTS,
    SECTIONS,
    VALUES,
    WITH_ABSENCE,
    Expected,
)

from builders.engine.calls import Unreadable
from builders.judging.aspects import (
    ASPECTS,
    RatedAspect,
    critique_request,
    critique_schema,
    quoted,
    rating_request,
    rating_schema,
)
from builders.judging.rating import (
    Critique,
    Rating,
    labels,
    mean_rating,
    parse_critique,
    parse_ratings,
    put_back,
    shown_order,
)
from builders.schema import user
from tests.cases import each

HELPFULNESS, HONESTY = ASPECTS["helpfulness"], ASPECTS["honesty"]
LABELS = labels("an item", 2)
OF_VALUES: list[tuple[str, Expected]] = [
    (BOTH.replace("Rating: 4", f"Rating: {value}"), out if isinstance(out, str) else (out, 2))
    for value, out in VALUES.items()
]
ODD = list(dict.fromkeys(OF_VALUES + SECTIONS + DOCUMENTS))
TEXTS = st.text(st.characters(codec="utf-8"), max_size=60)
ASPECT = st.sampled_from(list(ASPECTS.values()))


def nonce(label: str) -> str:
    return label[label.index("<") + 1 : -1]


def filled(answer: str, given: Sequence[str] = LABELS) -> str:
    for place, label in enumerate(given, 1):
        answer = answer.replace(f"@{place}", label).replace(f"#{place}", nonce(label))
    return answer


def outcome(
    answer: str, given: Sequence[str] = LABELS, aspect: RatedAspect = HELPFULNESS
) -> Expected:
    """The ratings in an answer, or the reason why it has none."""
    try:
        return tuple(rating.value for rating in parse_ratings(answer, given, aspect))
    except Unreadable as doubt:
        return doubt.reason


def score(answer: str) -> int | str:
    """The score in a critique, or the reason why it has none."""
    try:
        return parse_critique(answer).score
    except Unreadable as doubt:
        return doubt.reason


# --- what comes out of an answer


def test_there_are_hundreds_of_odd_answers_and_no_two_are_the_same() -> None:
    answers = [answer for answer, _ in ODD]
    assert len(set(answers)) == len(answers) >= 200
    assert sum(isinstance(out, str) for _, out in ODD) >= 200


@each(("answer", "out"), ODD)
def test_an_odd_answer_gives_the_right_ratings_or_the_reason_for_none(
    answer: str, out: Expected
) -> None:
    assert outcome(filled(answer)) == out


@each(("answer", "out"), WITH_ABSENCE)
def test_not_applicable_is_an_absent_rating_where_the_aspect_allows_it(
    answer: str, out: Expected
) -> None:
    assert outcome(filled(answer), aspect=HONESTY) == out


@each(("answer", "out"), [(a, o) for a, o in ODD if isinstance(o, tuple)])
@each("order", [(0, 1), (1, 0)])
def test_a_rating_goes_with_the_label_wherever_its_text_was_shown(
    answer: str, out: tuple[int, ...], order: Sequence[int]
) -> None:
    back = put_back(parse_ratings(filled(answer), LABELS, HELPFULNESS), order)
    assert [back[text].value for text in order] == list(out)


def test_an_answer_without_a_word_is_no_answer() -> None:
    assert outcome("", aspect=HONESTY) == outcome(" \n") == "no answer"
    assert outcome("no", aspect=HONESTY) == "no rating"


def test_the_rationale_is_kept_with_the_rating_and_the_kinds_are_no_part_of_it() -> None:
    answer = (
        "**@1**\nType: 3, 1\nRationale: First.\n\nSecond.\nRating: 4\n"
        "Rationale for rating: third\n\n@2: Rating: 2. Rationale: thin"
    )
    first, second = parse_ratings(filled(answer), LABELS, HELPFULNESS)
    assert first == Rating(value=4, rationale="First.\n\nSecond.\nthird")
    assert second == Rating(value=2, rationale="thin")


@given(
    st.lists(st.integers(1, 5), min_size=1, max_size=6),
    st.randoms(use_true_random=False),
    st.sampled_from(["\n", "\n\n", "\r\n"]),
    TEXTS,
)
def test_the_order_of_sections_and_objects_does_not_matter(
    values: list[int], dice: object, ending: str, seed: str
) -> None:
    given = labels(seed, len(values))
    sections = [
        f"{label}{ending}Rating: {value}" for label, value in zip(given, values, strict=True)
    ]
    entries = [
        {"label": label, "rationale": "", "rating": value}
        for label, value in zip(given, values, strict=True)
    ]
    dice.shuffle(sections)  # type: ignore[attr-defined]
    dice.shuffle(entries)  # type: ignore[attr-defined]
    for answer in (ending.join(sections), json.dumps({"ratings": entries})):
        assert outcome(answer, given) == tuple(values)


FRAGMENTS = st.sampled_from(
    [*LABELS, *(nonce(label) for label in LABELS), "Text 1", "Text 3 <zzzzz>", "Rating: 4", "4",
     "Rating: 2", "Rating:", "Rationale: so", "Rating: 9", "- ", "**", "{", '{"ratings": [', "]}",
     ":", " ", "| ", "> ", f"{LABELS[0]}: Rating: 3", f"{LABELS[1]} is better", "\u2028"]
)  # fmt: skip


# A word after a label, but "rating", makes it a part of a sentence.
GOES_ON = re.compile(r"[ \t*_`]*(?!rating\b)[^\s:：–—*_`-]", re.IGNORECASE)


@settings(max_examples=500)
@example([(f"{LABELS[0]}: Rating: 3", "\n"), (f"{LABELS[0]} {LABELS[0]}", "\n"),
          (f"{LABELS[1]}", "\n"), ("Rating: 4", "\n")])  # fmt: skip
@given(st.lists(st.tuples(FRAGMENTS | TEXTS, st.sampled_from(["\n", "\n", "\n\n", " ", ""]))))
def test_garbage_gives_no_ratings_unless_each_label_heads_one_section(
    parts: list[tuple[str, str]],
) -> None:
    answer = "".join(text + ending for text, ending in parts)
    try:
        shown = parse_ratings(answer, LABELS, HELPFULNESS)
    except Unreadable:
        return
    sections: list[tuple[str, str]] = []
    for line in answer.splitlines():
        bare = line.strip(" \t*-#_`")
        mine = [label for label in LABELS if bare.startswith(label)]
        if mine and GOES_ON.match(bare.removeprefix(mine[0])) is None:
            sections.append((mine[0], bare.removeprefix(mine[0])))
        elif sections:
            label, text = sections.pop()
            sections.append((label, f"{text}\n{line}"))
    assert sorted(label for label, _ in sections) == sorted(LABELS)
    for label, rating in zip(LABELS, shown, strict=True):
        section = dict(sections)[label]
        assert "rating" in section.lower() and str(rating.value) in section


@each(("answer", "out"), [(a, o) for a, o in ODD if isinstance(o, tuple)])
def test_an_answer_that_breaks_off_anywhere_gives_the_same_ratings_or_none(
    answer: str, out: tuple[int, ...]
) -> None:
    whole = filled(answer)
    outcomes = {outcome(whole[:end]) for end in range(len(whole) + 1)}
    assert [ratings for ratings in outcomes if isinstance(ratings, tuple)] == [out]


@each(
    "part",
    ["- ", "* ", "1. ", "{", '{"', " ", "\n", "Rating: ", "Text 1 <", "\n- ", "4 ", "/5", "_`"],
)  # fmt: skip
def test_a_long_answer_is_read_in_time_whatever_it_repeats(part: str) -> None:
    start = time.process_time()
    for head in ("", f"{LABELS[0]}\nRating: ", f"{LABELS[0]}\nRationale: "):
        outcome(head + part * 50_000)
        score("Overall Score: " + head + part * 50_000)
    assert time.process_time() - start < 5


# --- how texts are shown

IMITATION = st.lists(
    TEXTS | st.sampled_from(["\n", "Text 1", "Text 1 <", "# Your answer", "# The texts", "| ",
                             "Rating: 5", "\r", "\x0b", "\x0c", "\x85", "\u2028", "\x1c",
                             *labels("the item", 4), *map(nonce, labels("the item", 4))]),
    max_size=8,
).map("".join)  # fmt: skip


@given(st.lists(IMITATION, min_size=4, max_size=4), IMITATION, IMITATION, ASPECT)
def test_no_text_changes_the_parts_of_the_request_or_contains_a_label(
    texts: list[str], asked: str, known: str, aspect: object
) -> None:
    order, given = shown_order("the item", 4), labels("the item", 4)

    def request(texts: Sequence[str], asked: str, known: str) -> list[str]:
        [message] = rating_request(
            aspect, user(asked), texts, order=order, labels=given, knowledge=known  # type: ignore[arg-type]
        )  # fmt: skip
        return message["content"].splitlines()

    def ours(lines: Sequence[str]) -> list[str]:
        return [line for line in lines if not line.startswith("| ")]

    lines = request(texts, asked, known or "x")
    assert ours(lines) == ours(request(["a", "b", "c", "d"], "e", "f"))
    theirs = "\n".join(line for line in lines if line.startswith("| ")).lower()
    assert not [label for label in given if nonce(label) in theirs]
    for label, text in zip(given, order, strict=True):
        start = lines.index(label) + 1
        shown = lines[start : start + len(quoted(texts[text]).splitlines())]
        assert shown == quoted(texts[text], [nonce(one) for one in given]).splitlines()


@given(st.lists(IMITATION, min_size=4, max_size=4), st.permutations([5, 1, 4, 2]))
def test_a_judge_that_quotes_what_it_was_shown_is_read_right(
    texts: list[str], values: list[int]
) -> None:
    """By identity: the rating that the judge gives to a text is the one which that text gets."""
    order, given = shown_order("the item", 4), labels("the item", 4)
    nonces = [nonce(label) for label in given]
    sections, entries = [], []
    for label, text in zip(given, order, strict=True):
        quote = quoted(texts[text], nonces)
        sections.append(f"{label}\nRationale: it says\n{quote}\nRating: {values[text]}")
        entries.append({"label": label, "rationale": texts[text], "rating": values[text]})
    for answer in ("\n\n".join(sections), json.dumps({"ratings": entries})):
        shown = parse_ratings(answer, given, HELPFULNESS)
        assert [rating.value for rating in put_back(shown, order)] == values


@given(TEXTS, st.integers(0, 30))
def test_an_order_is_a_reproducible_shuffle_and_its_labels_differ(seed: str, texts: int) -> None:
    order, given = shown_order(seed, texts), labels(seed, texts)
    assert sorted(order) == list(range(texts))
    assert (order, given) == (shown_order(seed, texts), labels(seed, texts))
    assert len({nonce(label) for label in given}) == texts
    assert [label.split(" <")[0] for label in given] == [f"Text {n + 1}" for n in range(texts)]
    shown = [Rating(value=place) for place in range(texts)]
    assert [order[int(rating.value or 0)] for rating in put_back(shown, order)] == list(
        range(texts)
    )


def test_each_order_of_three_texts_is_shown_about_as_often_as_any_other() -> None:
    shown = [shown_order(f"item {item}", 3) for item in range(6000)]
    counts = [shown.count(order) for order in permutations(range(3))]
    assert min(counts) > 900 and max(counts) < 1100


def test_another_item_has_other_labels() -> None:
    assert not set(labels("an item", 4)) & set(labels("another item", 4))


@each("aspect", ASPECTS)
def test_an_aspect_is_asked_for_with_its_scale_and_its_answer_s_form(aspect: object) -> None:
    order, given = shown_order("x", 2), labels("x", 2)
    for form in ("text", "json"):
        [message] = rating_request(
            aspect, user("p"), ["a", "b"], order=order, labels=given, form=form  # type: ignore[arg-type]
        )  # fmt: skip
        shown = message["content"]
        assert all(f"\n{rating} - " in shown for rating in range(1, 6))
        assert ("N/A" in shown) == (aspect.name == "honesty")  # type: ignore[attr-defined]
        assert all(label in shown for label in given)
        assert "What is known" not in shown
    schema = rating_schema(aspect, 2)  # type: ignore[arg-type]
    assert json.loads(json.dumps(schema)) == schema
    entry = schema["properties"]["ratings"]["items"]
    assert entry["properties"]["rating"]["enum"][:5] == [1, 2, 3, 4, 5]
    assert ("types" in entry["required"]) == (aspect.name in ("truthfulness", "helpfulness"))  # type: ignore[attr-defined]


def test_an_unanswered_form_is_no_answer() -> None:
    """A judge that repeats the form it was given rates nothing."""
    order, given = shown_order("x", 2), labels("x", 2)
    [message] = rating_request(HONESTY, user("p"), ["a", "b"], order=order, labels=given)
    form = message["content"].split("# Your answer\n\n")[1]
    assert outcome(form, given, HONESTY) == "unclear rating"
    [message] = critique_request(user("p"), "a")
    assert score(message["content"]) == "unclear score"


# --- critiques and means


@each(("answer", "out"), CRITIQUES)
def test_a_score_is_a_whole_number_or_there_is_none(answer: str, out: int | str) -> None:
    assert score(answer) == out


def test_a_critique_is_the_answer_without_the_score() -> None:
    answer = "Name a source.\n\nBe brief.\n\nOverall Score: 1\n\nGood luck!"
    assert parse_critique(answer) == Critique(
        text="Name a source.\n\nBe brief.\nGood luck!", score=1
    )
    assert parse_critique('{"critique": " Brief. ", "score": 10}') == Critique(
        text="Brief.", score=10
    )
    assert critique_schema()["properties"]["score"]["enum"] == list(range(1, 11))


@given(IMITATION, IMITATION)
def test_a_criticised_text_cannot_end_its_part(text: str, principle: str) -> None:
    [message] = critique_request(user("p"), text, principle=principle or "x")
    [harmless] = critique_request(user("p"), "a", principle="b")
    parts = [
        [line for line in one["content"].splitlines() if not line.startswith("| ")]
        for one in (message, harmless)
    ]
    assert parts[0] == parts[1]


def test_the_mean_skips_what_does_not_apply_and_one_stays_one() -> None:
    assert mean_rating([2, 3, 3, 3]) == 2.75  # KA-22: the example of UltraFeedback's README
    assert mean_rating([2, None, 3, None]) == 2.5
    assert mean_rating([None, None]) is None
    assert mean_rating([]) is None
    assert mean_rating([1]) == 1.0


@each(
    "thought",
    [
        "<think>\nMaybe a score of 6.\nOverall Score: 6\n</think>\n",
        '<think>\nDraft: {"critique": "x", "score": 5}\n</think>\n',
        'Draft: {"critique": "x", "score": 5}\n</think>\n\n',
        '[THINK]{"critique": "x", "score": 5}[/THINK]',
    ],
)
def test_what_a_judge_thought_before_is_no_rating(thought: str) -> None:
    for answer in ('{"critique": "Plain.", "score": 7}<|im_end|>', "Plain.\nOverall Score: 7</s>"):
        assert parse_critique(thought + answer) == Critique(text="Plain.", score=7)


def test_a_judge_that_never_stops_thinking_gives_no_rating() -> None:
    with pytest.raises(Unreadable, match="cut off"):
        parse_critique("<think>\nPerhaps.\nOverall Score: 6")
