"""Pairs: the better rated answer is chosen, by any model; nothing vanishes without a reason."""

import json
import random
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders.errors import RecipeError
from builders.judging.aspects import ASPECTS
from builders.judging.rating import mean_rating
from builders.preferences.pairing import STRATEGIES, Policy, RatedAnswer, RatedPrompt, score
from builders.recipe import Drop, normalised, row_id
from builders.schema import DROPPED, RATED, UNPAIRED, Row, Schema, assistant, user
from tests.cases import each

ONE_PAIR = ("zephyr", "mean_of_aspects", "max_min", "margin")
PAIRED = (*ONE_PAIR, "all_pairs")
EXACT = Policy(most_alike=None)
MODELS = ("a", "b", "c")


def made(rated: RatedPrompt, name: str, policy: Policy = EXACT) -> tuple[list[Row], list[Drop]]:
    """The rows and the drops of one prompt."""
    rows, drops = [], []
    for outcome in STRATEGIES[name].outcomes(rated, policy):
        if isinstance(outcome, Drop):
            drops.append(outcome)
        else:
            rows.append(outcome)
    return rows, drops


def scored(*scores: float | None, **same: Any) -> RatedPrompt:
    """Answers a, b, c... with these scores."""
    texts = (f"answer {chr(97 + place)}" for place in range(len(scores)))
    given = [RatedAnswer(text=t, score=s, **same) for t, s in zip(texts, scores, strict=True)]
    return RatedPrompt(prompt=user("p"), answers=given)


def text(row: Row, side: str) -> str:
    return str(row[side][0]["content"])


WORDS = st.sampled_from(["yes", "Yes", "no", " no ", "perhaps", "", " \n", "yes and no"]) | st.text(
    st.characters(codec="utf-8"), max_size=8
)
ANSWERS = st.builds(
    RatedAnswer,
    text=WORDS,
    writer=st.none() | st.sampled_from(MODELS),
    ratings=st.dictionaries(st.sampled_from([*ASPECTS]), st.none() | st.integers(1, 5)),
    score=st.none() | st.integers(1, 10).map(float) | st.just(float("nan")),
    verdict=st.none() | st.booleans(),
)
RATED_PROMPTS = st.builds(
    RatedPrompt,
    prompt=st.text(st.characters(codec="utf-8"), min_size=1)
    .filter(lambda text: bool(text.strip()))
    .map(user),
    answers=st.lists(ANSWERS, max_size=5),
)
POLICIES = st.builds(
    Policy,
    by=st.sampled_from(["overall", "mean", "verdict", "honesty"]),
    least_margin=st.sampled_from([0.25, 1.0, 3.0]),
    least_score=st.sampled_from([3.0, 5.0]),
    most_alike=st.sampled_from([None, 0.5, 0.95, 1.0]),
    one_model=st.sampled_from(["allow", "drop"]),
)


# --- properties of every strategy


@given(RATED_PROMPTS, POLICIES, st.sampled_from(PAIRED))
def test_the_better_rated_answer_is_chosen_whoever_wrote_it(
    rated: RatedPrompt, policy: Policy, name: str
) -> None:
    by = "mean" if name == "mean_of_aspects" else policy.by
    for row in made(rated, name, policy)[0]:
        assert STRATEGIES[name].schema.problem(row) is None
        assert row["score_chosen"] > row["score_rejected"]
        assert normalised(text(row, "chosen")) != normalised(text(row, "rejected"))
        for side in ("chosen", "rejected"):
            assert [
                one
                for one in rated.answers
                if (one.text, one.writer) == (text(row, side), row[f"{side}_model"])
                and score(one, by) == row[f"score_{side}"]
            ]
        if policy.one_model == "drop" and row["chosen_model"] is not None:
            assert row["chosen_model"] != row["rejected_model"]
        if name == "margin":
            assert row["margin"] == row["score_chosen"] - row["score_rejected"]
            assert row["margin"] >= policy.least_margin - 1e-9
        if name in ONE_PAIR:
            scores = [score(one, by) for one in rated.answers if one.text.strip()]
            assert row["score_chosen"] == max(one for one in scores if one is not None)


@given(RATED_PROMPTS, POLICIES, st.sampled_from([*STRATEGIES]), st.randoms())
def test_the_order_of_the_answers_does_not_matter(
    rated: RatedPrompt, policy: Policy, name: str, dice: Any
) -> None:
    shuffled = list(rated.answers)
    dice.shuffle(shuffled)

    def contents(rated: RatedPrompt) -> list[str]:
        return sorted(
            json.dumps(
                [outcome.reason, sorted(outcome.evidence["texts"])]  # type: ignore[arg-type]
                if isinstance(outcome, Drop)
                else outcome
            )
            for outcome in STRATEGIES[name].outcomes(rated, policy)
        )

    assert contents(replace(rated, answers=shuffled)) == contents(rated)


@given(RATED_PROMPTS, POLICIES, st.sampled_from([*STRATEGIES]))
def test_every_prompt_pair_and_answer_is_a_row_or_has_a_reason(
    rated: RatedPrompt, policy: Policy, name: str
) -> None:
    rows, drops = made(rated, name, policy)
    answers = len(rated.answers)
    of = {"all_pairs": answers * (answers - 1) // 2, "unpaired": answers}
    assert len(rows) + len(drops) == (of.get(name) or 1)
    ids = [row["id"] for row in rows]
    assert len(set(ids)) == len(ids)
    if name in ONE_PAIR:
        assert ids in ([], [row_id(rated.prompt)])
    for drop in drops:
        assert re.fullmatch(r"[a-z]+( [a-z]+)?", drop.reason)
        evidence = json.dumps(dict(drop.evidence))
        row = {"id": "0" * 16, "reason": drop.reason, "evidence": evidence}
        assert DROPPED.problem(row) is None


@given(RATED_PROMPTS, POLICIES)
def test_an_unpaired_answer_is_labelled_by_its_own_score(
    rated: RatedPrompt, policy: Policy
) -> None:
    least = 1.0 if policy.by == "verdict" else policy.least_score
    for row in made(rated, "unpaired", policy)[0]:
        assert UNPAIRED.problem(row) is None
        same = {
            value >= least
            for one in rated.answers
            if normalised(one.text) == normalised(text(row, "completion"))
            and (value := score(one, policy.by)) is not None
        }
        assert same == {row["label"]}


# --- what each strategy does


def test_zephyr_takes_the_best_against_any_other_about_equally_often() -> None:
    drawn = Counter(
        text(row, "rejected")
        for number in range(1500)
        for row in made(replace(scored(9, 7, 5, 1), prompt=user(f"p {number}")), "zephyr")[0]
    )
    assert set(drawn) == {"answer b", "answer c", "answer d"}
    assert min(drawn.values()) > 420


def test_a_tie_for_the_best_leaves_a_pair_with_a_lower_one() -> None:
    for number in range(20):
        rated = replace(scored(9, 9, 3), prompt=user(f"p {number}"))
        [row], _ = made(rated, "zephyr")
        assert text(row, "rejected") == "answer c"


@each("name", ONE_PAIR)
def test_equal_scores_make_no_pair(name: str) -> None:
    ratings = {"honesty": 3}
    rows, [drop] = made(scored(3, 3, 3, ratings=ratings), name)
    assert (rows, drop.reason) == ([], "tie")
    assert drop.evidence["texts"] == ["answer a", "answer b", "answer c"]


@each(
    ("rated", "policy", "reason"),
    [
        (scored(), EXACT, "no pair"),
        (scored(3), EXACT, "no pair"),
        (scored(None, None), EXACT, "no rating"),
        (scored(3, None), EXACT, "no rating"),
        (scored(float("nan"), 3), EXACT, "no rating"),
        (scored(3, 1, writer="m"), Policy(most_alike=None, one_model="drop"), "one model"),
        (scored(3, 1), Policy(most_alike=0.8), "same text"),
        (replace(scored(3), answers=[RatedAnswer(text=" ", score=1)] * 2), EXACT, "empty"),
        (replace(scored(3), answers=[RatedAnswer(text=t, score=s) for t, s in
                                        (("A  b", 3), ("a B", 1))]), EXACT, "same text"),
    ],
)  # fmt: skip
def test_what_makes_no_pair_has_its_reason(rated: RatedPrompt, policy: Policy, reason: str) -> None:
    rows, [drop] = made(rated, "zephyr", policy)
    assert (rows, drop.reason) == ([], reason)


def test_an_unrated_or_like_answer_is_passed_over_for_another() -> None:
    [row], _ = made(scored(None, 5, 3), "zephyr")
    assert (text(row, "chosen"), text(row, "rejected")) == ("answer b", "answer c")
    long = "The Nile is the longest river of Africa, with 6,650 km"
    rated = RatedPrompt(
        prompt=user("p"),
        answers=[
            RatedAnswer(text=long + ".", score=9),
            RatedAnswer(text=long + "!", score=1),
            RatedAnswer(text="The Congo.", score=5),
        ],
    )
    [row], _ = made(rated, "max_min", Policy())
    assert text(row, "rejected") == "The Congo."
    [row], _ = made(rated, "max_min", EXACT)
    assert text(row, "rejected") == long + "!"


def test_models_that_nobody_knows_are_not_taken_for_one() -> None:
    policy = Policy(most_alike=None, one_model="drop")
    assert len(made(scored(3, 1), "zephyr", policy)[0]) == 1
    assert len(made(scored(3, 1, writer="m"), "zephyr", EXACT)[0]) == 1


def test_a_mean_skips_what_does_not_apply() -> None:
    cairo = {"instruction_following": 2, "honesty": 3, "truthfulness": 3, "helpfulness": 3}
    better = {**cairo, "honesty": None, "helpfulness": 4}
    rated = RatedPrompt(
        prompt=user("p"),
        answers=[
            RatedAnswer(text="worse", score=10.0, ratings=cairo),
            RatedAnswer(text="better", score=1.0, ratings=better),
            RatedAnswer(text="unrated", score=9.0, ratings={"honesty": None}),
        ],
    )  # fmt: skip
    [row], _ = made(rated, "mean_of_aspects")
    assert (text(row, "chosen"), text(row, "rejected")) == ("better", "worse")
    assert (row["score_chosen"], row["score_rejected"]) == (3.0, 2.75)
    [row], _ = made(rated, "max_min")
    assert (text(row, "chosen"), row["score_rejected"]) == ("worse", 1.0)


def test_max_min_takes_the_ends_and_margin_no_nearer_than_it_was_told() -> None:
    [row], _ = made(scored(4, 9, 8, 1), "max_min")
    assert (text(row, "chosen"), text(row, "rejected")) == ("answer b", "answer d")
    policy = Policy(most_alike=None, least_margin=5)
    drawn = set()
    for number in range(30):
        [row], _ = made(replace(scored(4, 9, 8, 1), prompt=user(f"p {number}")), "margin", policy)
        drawn.add(text(row, "rejected"))
        assert row["margin"] in (5.0, 8.0)
    assert drawn == {"answer a", "answer d"}
    rows, [drop] = made(scored(9, 8), "margin", policy)
    assert (rows, drop.reason) == ([], "small margin")


def test_all_pairs_are_all_that_are_strictly_ordered() -> None:
    rows, drops = made(scored(5, 3, 3, 1), "all_pairs")
    pairs = {(text(row, "chosen")[-1], text(row, "rejected")[-1]) for row in rows}
    assert pairs == {("a", "b"), ("a", "c"), ("a", "d"), ("b", "d"), ("c", "d")}
    assert [drop.reason for drop in drops] == ["tie"]
    assert drops[0].evidence["texts"] in (["answer b", "answer c"], ["answer c", "answer b"])


def test_an_answer_given_twice_and_rated_both_good_and_bad_teaches_nothing() -> None:
    twice = [RatedAnswer(text=t, score=s) for t, s in (("Yes.", 9.0), ("yes.", 2.0), ("No.", 0.0))]
    rows, drops = made(RatedPrompt(prompt=user("p"), answers=twice), "unpaired")
    assert [(text(row, "completion"), row["label"]) for row in rows] == [("No.", False)]
    assert sorted(drop.reason for drop in drops) == ["contradictory ratings", "same text"]


@each("by", ["verdict", "honesty", "mean"])
def test_unpaired_labels_follow_a_verdict_an_aspect_or_the_mean(by: str) -> None:
    good = RatedAnswer(text="good", verdict=True, ratings={"honesty": 5})
    poor = RatedAnswer(text="poor", verdict=False, ratings={"honesty": 4})
    rows, _ = made(RatedPrompt(prompt=user("p"), answers=[poor, good]), "unpaired", Policy(by=by))
    assert {text(row, "completion"): row["label"] for row in rows} == {"good": True, "poor": False}


def test_a_draw_is_the_same_in_every_process_and_another_for_another_prompt() -> None:
    drawn = ""
    for number in range(8):
        [row], _ = made(replace(scored(9, 7, 5, 1), prompt=user(f"p {number}")), "zephyr")
        drawn += text(row, "rejected")[-1]
    assert drawn == "bccdbbbb"


@each("most_alike", [0.0, -1.0, 1.5, 95.0])
def test_a_share_that_is_none_is_refused(most_alike: float) -> None:
    with pytest.raises(RecipeError, match=r"most_alike is .* share of common text"):
        Policy(most_alike=most_alike)


def test_a_margin_of_nothing_is_refused() -> None:
    with pytest.raises(RecipeError, match="least_margin is 0"):
        Policy(least_margin=0)


@each("name", [*STRATEGIES])
def test_a_strategy_s_rows_come_back_from_arrow_as_they_were(name: str) -> None:
    import pyarrow as pa

    rated = scored(6, 3, ratings={"honesty": 3})
    rated = replace(rated, answers=[
        replace(one, ratings={"honesty": int(one.score or 0) // 2}) for one in rated.answers
    ])  # fmt: skip
    rows, _ = made(rated, name)
    schema = STRATEGIES[name].schema
    assert rows and pa.Table.from_pylist(rows, schema=schema.arrow).to_pylist() == rows


def test_a_rated_answer_has_a_column_for_each_aspect() -> None:
    names = {column.name for column in RATED.columns}
    assert set(ASPECTS) < names
    row = {
        **dict.fromkeys(names), "id": "0" * 16, "row_id": "1" * 16, "prompt": user("p"),
        "completion": assistant("c"), "honesty": None, "helpfulness": 4, "mean": 4.0, "overall": 1,
        "rationales": "{}",
    }  # fmt: skip
    assert RATED.problem(row) is None


# --- known answers


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


SOLVERS = ("6b_finetuning", "6b_verification", "175b_finetuning", "175b_verification")


@pytest.fixture(scope="module")
def solved(data: Path) -> list[RatedPrompt]:
    """GSM8K's open half with four real solutions each and the official verdicts."""
    questions = {row["idx"]: row["question"] for row in lines(data / "gsm8k_test_a.jsonl")}
    return [
        RatedPrompt(
            prompt=user(questions[row["idx"]]),
            answers=[
                RatedAnswer(
                    text=row[solver]["solution"], writer=solver, verdict=row[solver]["is_correct"]
                )
                for solver in SOLVERS
            ],
        )
        for row in lines(data / "gsm8k_model_solutions_a.jsonl")
    ]


def verdicts(rated: RatedPrompt) -> set[bool | None]:
    return {one.verdict for one in rated.answers}


@pytest.mark.parametrize("name", ["zephyr", "max_min", "margin"])
def test_the_mixed_rows_of_gsm8k_are_the_353_usable_pairs(
    solved: list[RatedPrompt], name: str
) -> None:
    policy = Policy(by="verdict", most_alike=None)  # KA-05
    kept, reasons = 0, Counter[str]()
    for rated in solved:
        rows, drops = made(rated, name, policy)
        kept += len(rows)
        reasons.update(drop.reason for drop in drops)
        assert bool(rows) == (verdicts(rated) == {True, False})
        for row in rows:
            right = {one.text for one in rated.answers if one.verdict}
            assert text(row, "chosen") in right and text(row, "rejected") not in right
    assert kept == 353
    assert reasons == {"tie": 660 - 353}


def test_every_right_solution_of_gsm8k_is_paired_with_every_wrong_one(
    solved: list[RatedPrompt],
) -> None:
    policy = Policy(by="verdict", most_alike=None)
    for rated in solved:
        texts: dict[bool, set[str]] = {True: set(), False: set()}
        for one in rated.answers:
            texts[bool(one.verdict)].add(normalised(one.text))
        rows, drops = made(rated, "all_pairs", policy)
        assert len(rows) == len(texts[True]) * len(texts[False])
        assert len(rows) + len(drops) == 6


def test_the_labels_of_gsm8k_are_the_official_verdicts(solved: list[RatedPrompt]) -> None:
    policy = Policy(by="verdict")
    rows = [row for rated in solved for row in made(rated, "unpaired", policy)[0]]
    official = Counter(one.verdict for rated in solved for one in rated.answers)
    assert official[True] == 146 + 266 + 225 + 371  # KA-05
    repeated = sum(
        len(rated.answers) - len({normalised(one.text) for one in rated.answers})
        for rated in solved
    )
    assert len(rows) == sum(official.values()) - repeated
    assert official[True] - repeated <= sum(row["label"] for row in rows) <= official[True]


@pytest.fixture(scope="module")
def pool(data: Path) -> list[RatedPrompt]:
    """Real answers of six models to 150 prompts, with ratings drawn from a seed."""
    dice = random.Random(20)
    return [
        RatedPrompt(
            prompt=user(row["instruction"]),
            answers=[
                RatedAnswer(
                    text=one["response"] or "",  # a model gave none
                    writer=one["model"],
                    ratings={aspect: dice.choice([None, 1, 2, 3, 4, 5]) for aspect in ASPECTS},
                    score=float(dice.randint(1, 10)),
                )
                for one in row["completions"]
            ],
        )
        for row in lines(data / "alpacaeval_pool_a.jsonl")
    ]


Check = Callable[[RatedPrompt, Row], bool]
CHECKS: dict[str, Check] = {
    "zephyr": lambda rated, row: row["score_chosen"] == max(overall(rated)),
    "mean_of_aspects": lambda rated, row: row["score_chosen"] == max(means(rated)),
    "max_min": lambda rated, row: row["score_rejected"] == min(overall(rated)),
    "margin": lambda rated, row: row["score_chosen"] - 4 >= row["score_rejected"],
    "all_pairs": lambda rated, row: row["score_chosen"] > row["score_rejected"],
}


def overall(rated: RatedPrompt) -> list[float]:
    """The scores of a prompt's different texts: of equal texts the best rated is in the running."""
    best: dict[str, float] = {}
    for one in rated.answers:
        if own := normalised(one.text):
            best[own] = max(best.get(own, 0.0), one.score or 0.0)
    return list(best.values())


def means(rated: RatedPrompt) -> Iterable[float]:
    given = (mean_rating(one.ratings.values()) for one in rated.answers if one.text.strip())
    return [one for one in given if one is not None]


@pytest.mark.parametrize(("name", "holds"), CHECKS.items(), ids=CHECKS)
def test_a_real_pool_of_six_models_is_paired_as_the_strategy_says(
    pool: list[RatedPrompt], name: str, holds: Check
) -> None:
    policy = Policy(most_alike=None, least_margin=4)
    writers: Counter[str] = Counter()
    kept = 0
    for rated in pool:
        rows, drops = made(rated, name, policy)
        assert len(rows) + len(drops) == (15 if name == "all_pairs" else 1)
        kept += len(rows)
        for row in rows:
            assert STRATEGIES[name].schema.problem(row) is None
            assert holds(rated, row), row
            writers[row["chosen_model"]] += 1
    assert kept > (1800 if name == "all_pairs" else 140)
    assert set(writers) == {one.writer for one in pool[0].answers}


def test_near_texts_of_a_real_pool_make_no_pair(pool: list[RatedPrompt]) -> None:
    from rapidfuzz.fuzz import ratio

    apart, alike = 0, 0
    for rated in pool:
        rows, drops = made(rated, "all_pairs", Policy(most_alike=0.6))
        apart += len(rows)
        alike += sum(drop.reason == "same text" for drop in drops)
        for row in rows:
            sides: Sequence[str] = [normalised(text(row, side)) for side in ("chosen", "rejected")]
            assert ratio(*sides) < 60
    assert apart > alike > 30


SHAPES = {strategy.schema.name: strategy.schema for strategy in STRATEGIES.values()}


@each("schema", SHAPES)
def test_a_strategy_s_schema_holds_no_name_that_a_trainer_takes_for_something_else(
    schema: Schema,
) -> None:
    names = {column.name for column in schema.columns}
    read = {"prompt", "chosen", "rejected", "completion", "label", "margin"}
    ours = {"id", "score_chosen", "score_rejected", "chosen_model", "rejected_model"}
    assert names <= read | ours
    assert ("margin" in names) == (schema is STRATEGIES["margin"].schema)
