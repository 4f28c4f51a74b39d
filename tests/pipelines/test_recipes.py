"""The names by which the data of every recipe is known: of its steps, its configs, its columns."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

from builders.drafting.draft import last_draft
from builders.recipe import short_hash
from builders.recipe_loading import load_recipe, recipe_names
from pipelines import completions, constitution, instructions, ultrafeedback
from scripts.main import main

RECIPES = [load_recipe(name) for name in recipe_names()]


def steps(module: Any, **options: Any) -> list[str]:
    """The steps that a recipe's pipeline is made of, with its default options and these."""
    from builders.engine.llm import EngineLLM
    from builders.engine.teacher_kinds import RecordedTeacher

    teacher = RecordedTeacher({"name": "http://x/v1", "model": "m", "revision": None})

    def teach(role: str, *, schema: Any = None, **sampling: Any) -> Any:
        llm = EngineLLM(role=role, sampling=sampling, answer_schema=schema)
        return llm.bound(SimpleNamespace(seed=1), {role: teacher})

    chosen = {option.name: option.default for option in module.RECIPE.options}
    return list(module.pipeline(teach, **(options if "stage" in options else chosen | options)).dag)


def test_steps_keep_their_names() -> None:
    """A step's name is part of its chance, and of the column `llm_NAME_call`."""
    stages = ["bootstrap", "classify", "input_first", "output_first"]
    assert [steps(instructions, stage=stage) for stage in stages] == [[stage] for stage in stages]
    found = {
        "completions": steps(completions, samples=2),
        "constitution": steps(constitution, verdict="both", rounds=2),
        "ultrafeedback": steps(ultrafeedback),
    }
    assert found == {
        "completions": ["answer", "judge"],
        "constitution": [
            "answer",
            *("critique_1", "revision_1", "critique_2", "revision_2"),
            *("judge", "reason"),
        ],
        "ultrafeedback": ["write", "rate", "criticise"],
    }


PAIR = "id prompt chosen rejected score_chosen score_rejected chosen_model rejected_model"
COLUMNS = {
    "completions": {"default": "id prompt completion"},
    "constitution": {
        "default": "id prompt chosen rejected soft_label principle decided_by",
        "revisions": "id prompt completion",
        "chains": "id source prompt answers principles critiques revisions ended comparison "
        "decided_by first_shown_first first_shown_second",
    },
    "instructions": {"default": "id prompt completion"},
    "ultrafeedback": {
        "default": PAIR,
        "rated": "id row_id prompt completion model principle instruction_following honesty "
        "truthfulness helpfulness mean overall critique rationales temperature ended "
        "shown_at",
        "unpaired": "id prompt completion label",
        "all_pairs": PAIR,
        "margin": f"{PAIR} margin",
    },
}
OF_ALL = {
    "calls": "id row_ids role model revision asked sampling sample answer ended "
    "finish_reason reasoning tool_calls parsed fault answered_by fingerprint input_tokens "
    "output_tokens",
    "dropped": "id reason evidence",
}


def test_configs_keep_their_columns_in_order() -> None:
    found = {
        recipe.name: {
            config: " ".join(column.name for column in schema.columns)
            for config, schema in recipe.schemas.items()
        }
        for recipe in RECIPES
    }
    assert found == {name: columns | OF_ALL for name, columns in COLUMNS.items()}


SCRIPT = """
import json
import re

LABELS = re.compile(r"^(Text [0-9]+ <[a-z0-9]+>)$", re.MULTILINE)


def answer(call):
    number = int(call.id[:6], 16)
    if isinstance(call.asked, str):
        if call.text.endswith("Is it classification?"):
            return "No"
        return f"Say {number} in words.\\n10. Explain {number}.\\nInput: {number}\\nOutput: it"
    if call.role.startswith("writer"):
        return f"This is answer {number}."
    if labels := LABELS.findall(call.text):
        ratings = [
            {"label": label, "rationale": "so", "rating": (number + place) % 5 + 1}
            for place, label in enumerate(labels)
        ]
        return json.dumps({"ratings": ratings})
    if "[[4]]" in str(call.asked):
        return f"It is good.\\n[[{number % 10 + 1}]]"
    return f"It is good.\\n[[{'AB'[number % 2]}]]"
"""

IDS = {
    "instructions": {
        "default": "5 a4ddccb13d095c06",
        "calls": "15 2f08a7e7b6df00bd",
        "dropped": "5 6c013c516ffee553",
    },
    "completions": {
        "default": "5 aa00b5d7a2998711",
        "calls": "40 0cf463c1561f69bd",
        "dropped": "15 48b95e9d7dcf9cbc",
    },
    "constitution": {
        "default": "5 365bc1350a65744d",
        "revisions": "8 e27a8cd556cbd588",
        "chains": "8 e27a8cd556cbd588",
        "calls": "80 c97560171997a775",
        "dropped": "3 65e249d7283cff04",
    },
    "ultrafeedback": {
        "default": "8 9916d5fb55a51510",
        "rated": "32 19ad8d17e959e3dc",
        "unpaired": "32 20637c221f2523f2",
        "all_pairs": "48 ee1498cd8a18ee0f",
        "margin": "8 9916d5fb55a51510",
        "calls": "192 0feba11b229dda73",
        "dropped": "0 e3b0c44298fc1c14",
    },
}


def test_what_is_asked_and_the_ids_of_rows_never_change(tmp_path: Path) -> None:
    """A call with another id is paid again by everybody; a row with another id is another row."""
    script = tmp_path / "script.py"
    script.write_text(SCRIPT, encoding="utf-8")
    found: dict[str, dict[str, str]] = {}
    for name in ("instructions", "completions", "constitution", "ultrafeedback"):
        words = ["build", name, f"--teacher=scripted:{script}", "--rows", "8"]
        words += ["--samples", "4", "--prompts", "instructions"] if name == "completions" else []
        assert main([*words, "--work", str(tmp_path)]) == 0
        draft = last_draft(tmp_path / name)
        ids = {
            config: [row["id"] for row in draft.rows(config)]
            for config in load_recipe(name).schemas
        }
        found[name] = {config: f"{len(of)} {short_hash(*of)}" for config, of in ids.items()}
    assert found == IDS
