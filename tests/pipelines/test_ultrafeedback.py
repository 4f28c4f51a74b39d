"""UltraFeedback: principles by source, ratings and pairs of a whole build, and its figures."""

from __future__ import annotations

import ast
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

import pipelines.ultrafeedback
from builders.drafting.draft import last_draft
from builders.judging.aspects import ASPECTS
from builders.recipe import row_id
from builders.sources.seed_forms import read_prompts
from builders.sources.source import Source
from pipelines.ultrafeedback import PRINCIPLES, RECIPE, TABLES, kind
from scripts.main import main
from tests.cases import each
from tests.drafting.test_run import rows_of

SCRIPT = '''
import json
import re

TEXTS = re.compile(r"^(Text \\d+ <\\w+>)\\n\\| (.*)$", re.MULTILINE)
RANK = {"excellent": 5, "good": 4, "fair": 3, "poor": 2, "useless": 1}


def answer(call):
    """Writers name their quality; the judge believes them, and is unreadable now and then."""
    if call.role.startswith("writer"):
        return f"I am {call.model}, a {call.model} answer to {call.prompt[-1]['content']}"
    if "Criticise a text" in call.text:
        quality = call.text.rpartition("# The text\\n| I am ")[2].split(",")[0]
        return json.dumps({"critique": f"It is {quality}.", "score": 2 * RANK[quality] - 1})
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
CALIBRATION = "verbalized_calibration"
WORTH = {"excellent": 5, "good": 4, "fair": 3, "poor": 2, "useless": 1}


def built(
    folder: Path,
    *words: str,
    spoiled: str = "lambda call: False",
    models: Sequence[str] = (),
    source: str = "sharegpt",
) -> dict[str, Any]:
    """A build of 20 prompts by writers whose models are named for how good they are."""
    script = folder / "script.py"
    script.write_text(f"SPOILED = {spoiled}\n{SCRIPT}", encoding="utf-8")
    prompts = folder / "prompts.jsonl"
    lines = [json.dumps({"prompt": f"Question {n}?", "source": source}) for n in range(20)]
    prompts.write_text("\n".join(lines), encoding="utf-8")
    teachers = [f"--teacher=scripted:{script}#{model}" for model in models or WORTH]
    command = ["build", "ultrafeedback", "--prompts", str(prompts), "--work", str(folder / "work")]
    judge = f"--teacher=judge=scripted:{script}#judge"
    assert main([*command, *teachers, judge, "--rows", "20", "--json", *words]) == 0
    draft = last_draft(folder / "work" / "ultrafeedback")
    return {**draft.facts, "draft": draft.folder, "run": draft.run}


# --- principles and sources


@each(
    ("table", "source", "odds"),
    [
        ("paper", "evol_instruct", {"helpfulness": 100}),
        ("paper", "flan_v2_cot", {"helpfulness": 60, "truthfulness": 20, CALIBRATION: 20}),
        (
            "paper",
            "ultrachat",
            {"helpfulness": 60, "truthfulness": 20, "honesty": 18, CALIBRATION: 2},
        ),
        ("paper", "truthful_qa", {"truthfulness": 100}),
        ("code", "flan_v2_p3", {"helpfulness": 80, CALIBRATION: 20}),
        ("code", "false_qa", {"truthfulness": 50, "honesty": 45, CALIBRATION: 5}),
    ],
)
def test_the_tables_are_those_of_the_published_readme_and_code(
    table: str, source: str, odds: Mapping[str, int]
) -> None:
    assert TABLES[table][kind(source)] == odds


def test_principles_are_drawn_from_the_named_table_by_the_prompt_s_source(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    by_paper = built(tmp_path, source="truthful_qa")["measures"]["answers by principle"]
    assert by_paper == {"truthfulness": 80}
    by_code = built(tmp_path, "--principles", "code", source="truthful_qa")["measures"]
    assert {"honesty", "truthfulness"} <= by_code["answers by principle"].keys()
    capsys.readouterr()


def test_the_weights_of_a_table_add_up_to_100_and_every_principle_has_wordings() -> None:
    for table in TABLES.values():
        assert "other" in table and all(sum(odds.values()) == 100 for odds in table.values())
        assert {name for odds in table.values() for name in odds} == set(PRINCIPLES)
    wordings = list(PRINCIPLES.values())[:3]
    assert all(len(set(texts)) == len(texts) >= 5 for texts in wordings)


@each(
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
    assert kind(source) == like


def test_the_shipped_prompts_are_sixty_of_five_kinds_and_keep_their_reference() -> None:
    rows, _, left_out, *_ = read_prompts(Source(place=RECIPE.seeds.source), RECIPE.seeds.keeps)
    assert len(rows) == 60 and not left_out
    assert set(Counter(row["source"] for row in rows).values()) == {12}
    knowing = [row for row in rows if row["source"] in ("misconception", "false_premise")]
    assert all(row["reference"] for row in knowing) and len(knowing) == 24
    assert {kind(row["source"]) for row in rows} == {
        *("evol_instruct", "sharegpt", "flan", "truthful_qa", "false_qa")
    }


# --- a whole build


def test_the_example_row_of_the_module_is_what_the_recipe_makes() -> None:
    docstring = pipelines.ultrafeedback.__doc__ or ""
    example = ast.literal_eval(docstring[docstring.index("{") : docstring.rindex("}") + 1])
    assert RECIPE.schema.problem(example) is None
    assert example["id"] == row_id(example["prompt"])


def test_the_better_model_is_chosen_at_any_place_before_the_judge(
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


def test_every_extra_config_is_made_of_the_same_answers(
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


def test_an_unreadable_rating_is_asked_for_again_and_every_try_is_kept(
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


def test_after_three_more_tries_a_rating_is_absent_and_not_guessed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--pair", "mean_of_aspects", "--accept-unreadable"]
    facts = built(tmp_path, *words, spoiled="lambda call: True")
    capsys.readouterr()
    assert facts["counts"] == {"made": 20, "kept": 0, "dropped": {"no rating": 20}}
    tries = Counter(
        row["sample"] for row in rows_of(facts["draft"], "calls") if "Rate " in row["asked"]
    )
    assert tries == dict.fromkeys(range(4), 80)
    assert all(row["helpfulness"] is None for row in rows_of(facts["draft"], "rated"))
    evidence = json.loads(rows_of(facts["draft"], "dropped")[0]["evidence"])
    assert evidence["faults"] == [f"{name}: no rating" for name in sorted(ASPECTS)]


@pytest.mark.parametrize("pair", ["zephyr", "mean_of_aspects", "max_min", "margin"])
def test_a_set_that_one_model_wrote_is_reported_as_such(
    pair: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    facts = built(tmp_path, "--pair", pair, "--by", "mean", models=["good"])
    capsys.readouterr()
    writers = "one model, good, under several principles and temperatures"
    assert facts["measures"]["writers"] == writers
    assert facts["counts"] == {"made": 20, "kept": 0, "dropped": {"same text": 20}}
    assert main(["show", "ultrafeedback", "--work", str(tmp_path / "work")]) == 0
    assert writers in " ".join(capsys.readouterr().out.split())


def test_what_is_reported_follows_from_the_rows_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    facts = built(tmp_path)
    capsys.readouterr()
    assert RECIPE.measures(lambda config: rows_of(facts["draft"], config)) == facts["measures"]


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
    assert "report.json is no report on a judge" in capsys.readouterr().err
