"""Rated answers and pairs: who writes, what the judge is asked, and that no rating goes astray."""

from __future__ import annotations

import ast
import json
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import pipelines.ultrafeedback
from builders.drafting.draft import last_draft
from builders.engine.calls import Answer, Call, Question
from builders.judging.aspects import ASPECTS
from builders.preferences.aspect_ratings import (
    answers,
    criticising,
    rated,
    rated_rows,
    rating,
    ratings,
    unreadable,
)
from builders.recipe import Drop, Raw, row_id, short_hash
from builders.schema import user
from builders.sources.seed_forms import read_prompts
from builders.sources.source import Source
from pipelines.ultrafeedback import PRINCIPLES, RECIPE, TABLES, alike, measures, row, writing
from scripts.main import main
from tests.drafting.test_run import rows_of

SCRIPT = '''
import json
import re

TEXTS = re.compile(r"^(Text \\d+ <\\w+>)\\n\\| (.*)$", re.MULTILINE)
RANK = {"excellent": 5, "good": 4, "fair": 3, "poor": 2, "useless": 1}


def answer(call):
    """Writers say how good they are; the judge believes them, and now and then cannot be read."""
    if call.role.startswith("writer"):
        return f"I am {call.model}, a {call.model} answer to {call.asked[-1]['content']}"
    if "Criticise a text" in call.text:
        said = call.text.rpartition("# The text\\n| I am ")[2].split(",")[0]
        return json.dumps({"critique": f"It is {said}.", "score": 2 * RANK[said] - 1})
    if SPOILED(call):
        return "Text 1 is the best of them, I would say 4 or 5."
    found = TEXTS.findall(call.text)
    rated = [
        {"label": label, "rationale": text, "rating": RANK[text.split("I am ")[1].split(",")[0]]}
        for label, text in found
    ]
    if "The kinds of" in call.text:
        rated = [one | {"types": [1]} for one in rated]
    return json.dumps({"ratings": rated[::-1]})
'''
WORTH = {"excellent": 5, "good": 4, "fair": 3, "poor": 2, "useless": 1}


def built(
    folder: Path, *words: str, spoiled: str = "lambda call: False", models: Sequence[str] = ()
) -> dict[str, Any]:
    """A build of 20 prompts by writers whose models say how good they are."""
    script = folder / "script.py"
    script.write_text(f"SPOILED = {spoiled}\n{SCRIPT}", encoding="utf-8")
    prompts = folder / "prompts.jsonl"
    lines = [json.dumps({"prompt": f"Question {n}?", "source": "sharegpt"}) for n in range(20)]
    prompts.write_text("\n".join(lines), encoding="utf-8")
    teachers = [f"--teacher=scripted:{script}#{model}" for model in models or WORTH]
    command = ["build", "ultrafeedback", "--prompts", str(prompts), "--work", str(folder / "work")]
    judge = f"--teacher=judge=scripted:{script}#judge"
    assert main([*command, *teachers, judge, "--rows", "20", "--json", *words]) == 0
    draft = last_draft(folder / "work" / "ultrafeedback")
    return {**draft.facts, "draft": draft.folder, "run": draft.run}


# --- who writes


MEMBERS = [f"writer_{number}" for number in range(1, 18)]


def drawn(
    identity: str, *, members: Sequence[str] = MEMBERS, source: str = "sharegpt", **more: Any
) -> list[Question]:
    raw = {"id": identity, "prompt": user("Why?"), "source": source}
    options = {"table": TABLES["paper"], "source": "other", "seed": 42, **more}
    return writing(raw, members, 4, **options)


IDS = [short_hash(str(number)) for number in range(3000)]


def test_each_prompt_has_four_distinct_writers_and_every_writer_its_share() -> None:
    by_prompt = [[one.whom for one in drawn(identity)] for identity in IDS]
    assert all(len(set(whom)) == 4 for whom in by_prompt)
    often = Counter(name for whom in by_prompt for name in whom)
    assert often.keys() == set(MEMBERS)
    assert all(abs(count - 3000 * 4 / 17) < 120 for count in often.values())


def test_the_same_prompt_has_the_same_writers_whatever_comes_before_it() -> None:
    forth = {identity: drawn(identity) for identity in IDS[:200]}
    back = {identity: drawn(identity) for identity in reversed(IDS[:200])}
    assert forth == back
    assert drawn(IDS[0]) != drawn(IDS[0], seed=43)


def test_one_model_alone_writes_four_variants_of_which_no_two_are_alike() -> None:
    for identity in IDS[:200]:
        asked = drawn(identity, members=["writer"])
        assert {one.whom for one in asked} == {"writer"}
        assert [one.sampling["temperature"] for one in asked] == [1.0, 0.7, 1.3, 0.4]


def test_two_models_write_two_each_the_second_time_at_another_temperature() -> None:
    asked = drawn(IDS[0], members=["writer_1", "writer_2"])
    assert Counter(one.whom for one in asked) == {"writer_1": 2, "writer_2": 2}
    assert len({(one.whom, one.sampling["temperature"]) for one in asked}) == 4


PUBLISHED: list[tuple[str, str, Mapping[str, int]]] = [
    ("paper", "evol_instruct", {"helpfulness": 100}),
    ("paper", "ultrachat", {"helpfulness": 60, "truthfulness": 20, "honesty": 18}),
    ("paper", "flan_v2_cot", {"helpfulness": 60, "truthfulness": 20, "verbalized_calibration": 20}),
    ("paper", "truthful_qa", {"truthfulness": 100}),
    ("code", "flan_v2_p3", {"helpfulness": 80, "verbalized_calibration": 20}),
    ("code", "false_qa", {"truthfulness": 50, "honesty": 45, "verbalized_calibration": 5}),
]


@pytest.mark.parametrize(("preset", "source", "shares"), PUBLISHED)
def test_principles_are_drawn_as_the_named_table_has_them(
    preset: str, source: str, shares: Mapping[str, int]
) -> None:
    asked = [one for i in IDS for one in drawn(i, source=source, table=TABLES[preset])]
    often = Counter(one.about["principle"] for one in asked)
    assert set(often) - set(shares) <= {"verbalized_calibration"}
    for principle, share in shares.items():
        assert abs(often[principle] / len(asked) - share / 100) < 0.015, principle


def test_every_table_gives_whole_hundreds_and_only_principles_that_have_words() -> None:
    for table in TABLES.values():
        assert "other" in table and all(sum(odds.values()) == 100 for odds in table.values())
        assert {name for odds in table.values() for name in odds} == set(PRINCIPLES)
    assert all(len(set(said)) == len(said) >= 5 for said in list(PRINCIPLES.values())[:3])


def test_a_principle_is_said_in_all_its_ways_before_the_prompt_s_own_instruction() -> None:
    said = {one.about["system"] for identity in IDS[:500] for one in drawn(identity)}
    assert said == {text for texts in PRINCIPLES.values() for text in texts}
    raw = {"id": "0", "prompt": [{"role": "system", "content": "Be a pirate."}, *user("Why?")]}
    asked = writing(raw, ["writer"], 1, table=TABLES["code"], source="x", seed=1)[0].asked
    assert [turn["role"] for turn in asked if isinstance(turn, dict)] == ["system", "user"]
    assert str(asked[0]["content"]).endswith("\n\nBe a pirate.")  # type: ignore[index]


@pytest.mark.parametrize(
    ("source", "like"),
    [
        ("TruthfulQA", "other"),
        ("truthful-qa", "truthful_qa"),
        ("flan_v2_niv2", "flan"),
        ("misconception", "truthful_qa"),
        ("complex", "evol_instruct"),
        ("", "other"),
    ],
)
def test_a_source_is_known_by_its_name(source: str, like: str) -> None:
    assert alike(source) == like


def test_the_shipped_prompts_are_sixty_of_five_kinds_and_what_is_known_comes_along() -> None:
    rows, _, left_out = read_prompts(Source(place=RECIPE.seeds.source), RECIPE.seeds.keeps)
    assert len(rows) == 60 and left_out == {}
    assert set(Counter(row["source"] for row in rows).values()) == {12}
    knowing = [row for row in rows if row["source"] in ("misconception", "false_premise")]
    assert all(row["reference"] for row in knowing) and len(knowing) == 24
    assert {alike(row["source"]) for row in rows} == {
        *("evol_instruct", "sharegpt", "flan", "truthful_qa", "false_qa")
    }


# --- what the judge is asked, and what it said of whom


def raw_of(texts: Sequence[str], **more: Any) -> Raw:
    """A raw row after its answers were written."""
    replies = [
        {
            "text": text,
            "fault": None,
            "finish_reason": "stop",
            "model": f"m{place}",
            "about": {"principle": "honesty", "system": "Be honest.", "temperature": 1.0},
        }
        for place, text in enumerate(texts)
    ]
    prompt = user("Which?")
    choices = {"pair": "zephyr", "by": "overall", "least_margin": 1.0, "one_model": "allow"}
    return {
        "id": row_id(prompt),
        "prompt": prompt,
        "completions": replies,
        **choices,
        "cut_off": "keep",
        **more,
    }


def judged(raw: Raw, worth: Mapping[str, int], *, form: str = "json", seed: int = 1) -> Raw:
    """The row after a judge that rates each text by its worth, in an order of its own."""
    dice = random.Random(seed)
    rated_so = []
    for question in rating(raw, form=form, seed=seed):
        aspect = ASPECTS[question.about["aspect"]]
        texts = [one["text"] for one in answers(raw)]
        said = [
            (label, worth[texts[text]])
            for label, text in zip(question.about["labels"], question.about["order"], strict=True)
        ]
        dice.shuffle(said)
        if form == "json":
            types = {"types": [1]} if aspect.types else {}
            listed = [{"label": a, **types, "rationale": "r", "rating": b} for a, b in said]
            text = json.dumps({"ratings": listed})
        else:
            text = "\n\n".join(f"{label}\nRationale: r\nRating: {value}" for label, value in said)
        rated_so.append(reply_to(question, text))
    critiques = []
    for one, question in zip(answers(raw), criticising(raw, form=form), strict=True):
        critiques.append(reply_to(question, f"So so.\nOverall Score: {worth[one['text']]}"))
    return {**raw, "ratings": rated_so, "critiques": critiques}


def reply_to(question: Question, text: str | None, finish_reason: str = "stop") -> dict[str, Any]:
    fault = "time-out"
    if text is not None:
        fault = unreadable(question, Answer(text=text, finish_reason=finish_reason)) or ""
    return {
        "about": dict(question.about),
        "text": text,
        "finish_reason": finish_reason,
        "fault": fault or None,
    }


@given(
    st.lists(st.integers(1, 5), min_size=1, max_size=8),
    st.integers(0, 10**6),
    st.sampled_from(["json", "text"]),
)
@settings(deadline=None)
def test_each_text_gets_its_own_rating_in_whatever_order_it_is_shown_and_answered(
    worth: list[int], seed: int, form: str
) -> None:
    by_text = {f"text {place} {seed}": value for place, value in enumerate(worth)}
    raw = judged(raw_of(list(by_text)), by_text, form=form, seed=seed)
    for given_ratings in ratings(raw).values():
        assert [one.value for one in given_ratings] == worth
    assert len(ratings(raw)) == 4
    assert {one.text: one.score for one in rated(raw).candidates} == by_text


def test_all_texts_of_a_prompt_stand_in_one_order_before_the_judge_and_it_is_recorded() -> None:
    raw = raw_of([f"text {letter}" for letter in "abcd"])
    asked = rating(raw, form="json", seed=3)
    assert [one.about["aspect"] for one in asked] == list(ASPECTS)
    (order,) = {tuple(one.about["order"]) for one in asked}
    for one in asked:
        content = str(one.asked[0]["content"])  # type: ignore[index]
        places = [content.index(f"| text {'abcd'[text]}") for text in order]
        assert places == sorted(places)
    assert len({label for one in asked for label in one.about["labels"]}) == 16
    found = {tuple(rating(raw, form="json", seed=seed)[0].about["order"]) for seed in range(300)}
    assert len(found) == 24  # every order comes


def test_the_judge_is_held_to_one_rating_for_each_label_in_its_place() -> None:
    asked = rating(raw_of(["a", "b", "c"]), form="json", seed=1)
    for one in asked:
        assert one.schema is not None
        entries = one.schema["properties"]["ratings"]["prefixItems"]
        labels = [entry["properties"]["label"]["const"] for entry in entries]
        assert labels == one.about["labels"]
    assert all(one.schema is None for one in rating(raw_of(["a"]), form="text", seed=1))


def test_what_is_known_of_the_matter_is_told_to_the_judge_and_not_to_the_writers() -> None:
    raw = raw_of(["a", "b"], reference="It is the Nile.")
    assert all("It is the Nile." in str(one.asked) for one in rating(raw, form="json", seed=1))
    asked = writing(raw, ["writer"], 4, table=TABLES["paper"], source="x", seed=1)
    assert "Nile" not in str(asked)


def test_a_critique_is_told_what_the_writer_was_to_hold_to() -> None:
    (one,) = criticising(raw_of(["a"]), form="text")
    assert "Be honest." in str(one.asked)


def test_an_answer_that_was_cut_off_gives_no_rating_however_well_it_reads() -> None:
    (question, *_) = rating(raw_of(["a"]), form="text", seed=1)
    text = f"{question.about['labels'][0]}\nRating: 4"
    assert reply_to(question, text)["fault"] is None
    assert reply_to(question, text, "length")["fault"] == "cut off"


def test_a_score_of_1_stays_1() -> None:
    raw = judged(raw_of(["bad", "good"]), {"bad": 1, "good": 5})
    pair = row(raw)
    assert isinstance(pair, dict)
    assert (pair["score_chosen"], pair["score_rejected"]) == (5.0, 1.0)


def test_absent_is_not_zero_and_an_unread_aspect_is_left_out_of_the_mean() -> None:
    raw = judged(raw_of(["a", "b"]), {"a": 2, "b": 3})
    honesty = raw["ratings"][1]
    one, other = honesty["about"]["labels"]
    listed = [
        {"label": one, "rationale": "", "rating": "N/A"},
        {"label": other, "rationale": "", "rating": 3},
    ]
    honesty["text"] = json.dumps({"ratings": listed})
    raw["ratings"][3] |= {"fault": "no rating", "text": "?"}
    rows = list(rated_rows([raw]))
    assert sorted(row["mean"] for row in rows) == [2.0, 3.0]
    assert all(row["helpfulness"] is None for row in rows)
    assert [row["honesty"] for row in rows].count(None) == 1


def test_a_prompt_is_dropped_for_what_its_ratings_are() -> None:
    def reason(raw: Raw) -> str:
        verdict = row(raw)
        assert isinstance(verdict, Drop)
        return verdict.reason

    assert reason(judged(raw_of(["a", "b"]), {"a": 3, "b": 3})) == "tie"
    assert reason(judged(raw_of(["a"]), {"a": 3})) == "no pair"
    assert reason(judged(raw_of(["A b", "a  B"]), {"A b": 3, "a  B": 5})) == "same text"
    unread = judged(raw_of(["a", "b"]), {"a": 3, "b": 5})
    for reply in unread["critiques"]:
        reply |= {"fault": "no score"}
    verdict = row(unread)
    assert isinstance(verdict, Drop) and verdict.reason == "no rating"
    assert verdict.evidence["faults"] == ["overall: no score"]
    silent = raw_of(["a"], ratings=[], critiques=[])
    silent["completions"][0] |= {"text": None, "fault": "http 500"}
    assert reason(silent) == "http 500"


def test_an_answer_that_failed_or_was_cut_off_costs_its_siblings_nothing() -> None:
    raw = raw_of(["a", "b", "c"], cut_off="drop")
    raw["completions"][1] |= {"text": None, "fault": "time-out"}
    raw["completions"][0] |= {"finish_reason": "length"}
    assert [one["text"] for one in answers(raw)] == ["c"]
    assert [one["text"] for one in answers({**raw, "cut_off": "keep"})] == ["a", "c"]


# --- the whole way


def test_the_example_row_of_the_module_is_what_the_recipe_makes() -> None:
    docstring = pipelines.ultrafeedback.__doc__ or ""
    example = ast.literal_eval(docstring[docstring.index("{") : docstring.rindex("}") + 1])
    assert RECIPE.schema.problem(example) is None
    assert example["id"] == row_id(example["prompt"])


def test_the_better_model_is_chosen_wherever_the_judge_saw_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    facts = built(tmp_path)
    capsys.readouterr()
    assert facts["counts"] == {"made": 20, "kept": 20, "dropped": {}}
    pairs, rated_kept = rows_of(facts["draft"], "default"), rows_of(facts["draft"], "rated")
    assert len(rated_kept) == 80
    for one in rated_kept:
        worth = WORTH[one["model"]]
        assert [one[aspect] for aspect in ASPECTS] == [worth] * 4
        assert one["overall"] == 2 * worth - 1 and one["mean"] == worth
        assert one["completion"][0]["content"].startswith(f"I am {one['model']},")
        assert set(json.loads(one["shown_at"]).values()) <= {0, 1, 2, 3}
    best = {}
    for one in rated_kept:
        best[one["row_id"]] = max(best.get(one["row_id"], 0), WORTH[one["model"]])
    assert all(WORTH[pair["chosen_model"]] == best[pair["id"]] for pair in pairs)
    assert all(pair["score_chosen"] > pair["score_rejected"] for pair in pairs)
    assert {row["role"] for row in rows_of(facts["draft"], "calls")} >= {"writer_1", "judge"}


def test_every_further_config_rests_on_the_same_answers(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    facts = built(tmp_path)
    capsys.readouterr()
    assert len(rows_of(facts["draft"], "all_pairs")) == 20 * 6
    unpaired = rows_of(facts["draft"], "unpaired")
    assert len(unpaired) == 80
    good = {row["completion"][0]["content"].split()[2] for row in unpaired if row["label"]}
    assert good == {"excellent,", "good,"}
    for pair in rows_of(facts["draft"], "margin"):
        assert pair["margin"] == pair["score_chosen"] - pair["score_rejected"] >= 1


def test_a_rating_that_cannot_be_read_is_asked_again_and_every_try_is_kept(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    facts = built(tmp_path, spoiled="lambda call: call.sample < 2")
    capsys.readouterr()
    assert facts["counts"]["kept"] == 20
    tries = Counter(
        row["sample"] for row in rows_of(facts["draft"], "calls") if "Rate " in row["asked"]
    )
    assert tries == {0: 80, 1: 80, 2: 80}
    assert all(row["helpfulness"] for row in rows_of(facts["draft"], "rated"))


def test_after_three_times_again_a_rating_is_absent_and_nobody_guesses_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    facts = built(tmp_path, "--pair", "mean_of_aspects", spoiled="lambda call: True")
    capsys.readouterr()
    assert facts["counts"] == {"made": 20, "kept": 0, "dropped": {"no rating": 20}}
    tries = Counter(
        row["sample"] for row in rows_of(facts["draft"], "calls") if "Rate " in row["asked"]
    )
    assert tries == dict.fromkeys(range(4), 80)
    assert all(row["helpfulness"] is None for row in rows_of(facts["draft"], "rated"))
    evidence = json.loads(rows_of(facts["draft"], "dropped")[0]["evidence"])
    assert "honesty: no rating" in evidence["faults"] or evidence["faults"]


@pytest.mark.parametrize("pair", ["zephyr", "mean_of_aspects", "max_min", "margin"])
def test_a_set_that_one_model_wrote_says_so(
    pair: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    facts = built(tmp_path, "--pair", pair, "--by", "mean", models=["good"])
    capsys.readouterr()
    said = "one model, good, under several principles and temperatures"
    assert facts["measures"]["writers"] == said
    assert facts["counts"] == {"made": 20, "kept": 0, "dropped": {"same text": 20}}
    assert main(["show", "ultrafeedback", "--work", str(tmp_path / "work")]) == 0
    assert said in " ".join(capsys.readouterr().out.split())


def test_what_is_reported_follows_from_the_rows_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    facts = built(tmp_path)
    capsys.readouterr()
    assert measures(lambda config: rows_of(facts["draft"], config)) == facts["measures"]


def test_a_judge_that_was_never_measured_is_named_and_a_report_of_it_travels(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    facts = built(tmp_path)
    (judge,) = facts["lineage"]["judges"]
    assert (judge["judge"], judge["reliable"]) == ("judge", False)
    assert judge["verdict"] == "never measured against people"

    report = {"judge": "judge", "verdict": "unreliable", "reliable": False, "reasons": ["r"]}
    file = tmp_path / "report.json"
    file.write_text(json.dumps({"judges": [{**report, "figures": {}}]}))
    (judge,) = built(tmp_path, "--judge-report", str(file))["lineage"]["judges"]
    assert judge["verdict"] == "unreliable" and judge["reasons"] == ["r"]

    file.write_text(json.dumps({"judges": [{**report, "judge": "another", "figures": {}}]}))
    capsys.readouterr()
    with pytest.raises(AssertionError):
        built(tmp_path, "--judge-report", str(file))
    assert "report is about another" in capsys.readouterr().err
    file.write_text("{}")
    with pytest.raises(AssertionError):
        built(tmp_path, "--judge-report", str(file))
    assert "report.json is no report of a judge" in capsys.readouterr().err


def test_calls_are_made_for_answers_that_there_are(tmp_path: Path) -> None:
    raw = raw_of(["", "  "])
    assert rating(raw, form="json", seed=1) == [] == criticising(raw, form="json")
    call = Call(role="w", endpoint="e", model="m", revision=None, asked="x")
    assert call.sample == 0
