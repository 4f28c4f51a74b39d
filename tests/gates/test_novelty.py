"""ROUGE-L novelty, against rouge_score and against a published run of the Alpaca generator."""

import json
import random
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders.gates.novelty import InstructionIndex, novelty
from tests.cases import each

DATA = Path(__file__).parents[2].parent / "shared" / "data"
needs_data = pytest.mark.skipif(
    not DATA.is_dir(), reason="no ../shared/data: other people's rows stay out of this repository"
)


# Few words, so that they repeat and cross; some only look like words, or turn into them in lower().
WORDS = ["a", "the", "Write", "write", "poem", "b2", "7", "it's", "naïve", "\u212a", "İx", "ß", "_"]
GLUE = [" ", "  ", "-", ", ", "\n", "\u2028", "é"]
SENTENCES = st.lists(st.tuples(st.sampled_from(WORDS), st.sampled_from(GLUE)), max_size=12).map(
    lambda pairs: "".join(word + glue for word, glue in pairs)
)
TEXTS = st.one_of(SENTENCES, st.text(max_size=30))


@cache
def scorer() -> Any:
    from rouge_score.rouge_scorer import RougeScorer

    return RougeScorer(["rougeL"], use_stemmer=False)


def reference(a: str, b: str) -> float:
    return float(scorer().score(a, b)["rougeL"].fmeasure)


def similarity(a: str, b: str) -> float:
    return InstructionIndex([a]).most_similar(b)[0]


def brute_force(texts: list[str], text: str) -> list[tuple[float, int]]:
    """Every (score, index), the best score first, then the lowest index."""
    scored = [(reference(text, other), index) for index, other in enumerate(texts)]
    return sorted(scored, key=lambda pair: (-pair[0], pair[1]))


def published_run() -> tuple[list[str], list[dict[str, Any]]]:
    """The 175 seed instructions, then the 73 rows the generator accepted, in file order."""
    seeds = (DATA / "seed_tasks_175.jsonl").read_text(encoding="utf-8").splitlines()
    rows = json.loads((DATA / "rouge_regen_73.json").read_text(encoding="utf-8"))
    return [json.loads(line)["instruction"] for line in seeds], rows


@needs_data
def test_every_similarity_stored_by_a_published_run_is_computed_again() -> None:
    seeds, rows = published_run()
    texts, pool, pairs = list(seeds), InstructionIndex(seeds), 0
    for row in rows:
        stored = row["most_similar_instructions"]
        scores = pool.scores(row["instruction"])
        for instruction, score in stored.items():
            assert scores[texts.index(instruction)] == pytest.approx(score, abs=1e-12)
        assert scores.mean() == pytest.approx(row["avg_similarity_score"], abs=1e-12)
        nearest = [score for score, _ in pool.nearest(row["instruction"])]
        assert nearest == pytest.approx(sorted(stored.values(), reverse=True), abs=1e-12)
        pairs += len(stored)
        texts.append(row["instruction"])
        pool.add(row["instruction"])
    assert (pairs, len(rows), len(pool)) == (730, 73, 248)


@needs_data
@pytest.mark.parametrize(
    ("most_similarity", "kept"), [(0.3, 18), (0.4, 45), (0.5, 62), (0.6, 70), (0.7, 73)]
)
def test_a_lower_limit_keeps_fewer_instructions_of_a_published_run(
    most_similarity: float, kept: int
) -> None:
    seeds, rows = published_run()
    pool = InstructionIndex(seeds)
    for row in rows:
        if novelty(pool.most_similar(row["instruction"])[0], most_similarity) is None:
            pool.add(row["instruction"])
    assert len(pool) - len(seeds) == kept


@given(TEXTS, TEXTS)
def test_a_similarity_is_rouge_score_s_to_the_last_bit_in_either_order(a: str, b: str) -> None:
    assert similarity(a, b) == similarity(b, a) == reference(a, b)


@each("length", [63, 64, 65, 128, 129, 400])
def test_a_long_text_is_scored_as_exactly_as_a_short_one(length: int) -> None:
    dice = random.Random(length)
    a, b = (" ".join(dice.choices("abcdefgh", k=k)) for k in (length, length + 3))
    assert similarity(a, b) == reference(a, b)


@given(st.lists(TEXTS, max_size=15), TEXTS, st.integers(1, 16))
def test_the_nearest_texts_are_those_that_a_search_of_the_whole_index_finds(
    texts: list[str], text: str, most: int
) -> None:
    expected = brute_force(texts, text)
    pool = InstructionIndex(texts)
    assert pool.nearest(text, most) == expected[:most]
    assert pool.most_similar(text) == (expected[0] if expected else (0.0, None))
    assert pool.scores(text).tolist() == [reference(text, other) for other in texts]


def test_the_nearest_texts_of_a_large_pool_are_exact_too() -> None:
    dice = random.Random(5)
    texts = [" ".join(dice.choices("abcdefghijklmnop", k=dice.randint(0, 9))) for _ in range(1000)]
    pool = InstructionIndex(texts)
    for text in texts[:10]:
        assert pool.nearest(text, 25) == brute_force(texts, text)[:25]


@given(st.lists(TEXTS, min_size=1, max_size=8), TEXTS)
def test_an_index_that_grew_answers_like_one_built_at_once(texts: list[str], text: str) -> None:
    grown = InstructionIndex()
    for index, other in enumerate(texts):
        assert len(grown) == index
        grown.nearest(text)
        grown.add(other)
    assert grown.nearest(text) == InstructionIndex(texts).nearest(text)


def test_the_earliest_of_equally_near_texts_comes_first() -> None:
    pool = InstructionIndex(["Sort a list.", "Name a fruit.", "NAME A FRUIT!", "name, a fruit"])
    assert pool.nearest("Name a fruit", most=2) == [(1.0, 1), (1.0, 2)]


def test_a_text_without_words_is_similar_to_nothing() -> None:
    pool = InstructionIndex(["", "¿?", "Name a fruit."])
    assert [pool.scores(text).tolist() for text in ("", "日本")] == [[0, 0, 0], [0, 0, 0]]
    assert pool.most_similar("") == (0, 0)


def test_an_empty_pool_has_nothing_similar() -> None:
    assert InstructionIndex().nearest("x") == []
    assert InstructionIndex().most_similar("x") == (0, None)


def test_a_similarity_of_exactly_the_limit_is_kept_and_one_above_it_is_not() -> None:
    pool = InstructionIndex(["1 2 3 4 5 6 7 8 9 10"])
    equal, above = (pool.most_similar(f"1 2 3 4 5 6 7 {more} y z")[0] for more in ("x", 8))
    assert equal == 0.7 and novelty(equal) is None
    assert 0.8 <= above < 0.81 and novelty(above) == "too similar"


@given(st.integers(0, 20), st.integers(0, 20), st.integers(0, 20))
def test_the_gate_decides_as_rouge_score_does_even_where_rounding_passes_the_limit(
    shared: int, more_a: int, more_b: int
) -> None:
    a, b = (" ".join(["w"] * shared + [x] * more) for x, more in (("a", more_a), ("b", more_b)))
    assert (novelty(similarity(a, b)) is None) == (reference(a, b) <= 0.7)


def test_seven_words_shared_by_seven_and_thirteen_are_too_similar_as_in_the_paper_s_code() -> None:
    seven, thirteen = "1 2 3 4 5 6 7", "1 2 3 4 5 6 7 8 9 10 11 12 13"
    assert reference(seven, thirteen) > 0.7
    assert novelty(similarity(seven, thirteen)) == "too similar"
