"""A build sends what was chosen, and its lineage holds what was really sent."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from builders import build
from builders.drafting.draft import Draft
from builders.errors import InputError
from tests.cases import each
from tests.endpoint import Behaviour, Endpoint, Rule


def refusing(name: str) -> Rule:
    error = {"error": {"message": f"Unsupported parameter: '{name}'", "param": name}}
    return Rule("given", when=lambda body: name in body, status=400, body=error)


def built(folder: Path, endpoint: Endpoint, recipe: str = "completions", **values: Any) -> Draft:
    prompts = folder / "prompts.jsonl"
    prompts.write_text("".join(json.dumps({"prompt": f"Why {n}?"}) + "\n" for n in range(5)))
    own = {"samples": 1, "max_tokens": 64} if recipe == "completions" else {}
    return build(
        recipe,
        prompts=prompts,
        teacher=endpoint.url,
        work=folder / "work",
        progress=False,
        **own,
        **values,
    )


def writer(draft: Draft) -> dict[str, Any]:
    facts: dict[str, Any] = draft.facts["lineage"]["teachers"]["writer"]
    return facts


def test_what_was_learned_is_in_the_lineage_of_every_build_from_the_same_answers(
    tmp_path: Path,
) -> None:
    with Endpoint(Behaviour(rules=[refusing("max_tokens"), refusing("seed")])) as endpoint:
        first = built(tmp_path, endpoint)
        sent = {"max_tokens": "sent as max_completion_tokens", "seed": "left out"}
        assert writer(first)["sent"] == sent
        asked = len(endpoint.requests)
        for values in ({}, {"from_ledger": True}):
            again = built(tmp_path, endpoint, **values)
            assert again.facts == first.facts
        assert not [one for one in endpoint.requests[asked:] if one.method == "POST"]
        # Another build of the folder knows it: nothing is refused again.
        built(tmp_path, endpoint, seed=7)
        assert all(one.status == 200 for one in endpoint.requests[asked:])


def test_parameters_that_were_chosen_are_sent_and_are_part_of_a_call(tmp_path: Path) -> None:
    with Endpoint() as endpoint:
        plain = built(tmp_path, endpoint)
        assert not {"parameters", "sent"} & {*writer(plain)}
        asked = len(endpoint.requests)
        params = {"writer:chat_template_kwargs": {"enable_thinking": False}, "min_p": 0.1}
        chosen = built(tmp_path, endpoint, params=params, without=["top_p"])
        bodies = [one.body for one in endpoint.requests[asked:] if one.method == "POST"]
        assert len(bodies) == 5
        for body in bodies:
            assert body["chat_template_kwargs"] == {"enable_thinking": False}
            assert body["min_p"] == 0.1 and "top_p" not in body
        assert writer(chosen)["parameters"] == {
            "chat_template_kwargs": {"enable_thinking": False},
            "min_p": 0.1,
            "top_p": None,
        }
        asked = len(endpoint.requests)
        again = built(tmp_path, endpoint, from_ledger=True)
        assert again.facts["lineage"] == chosen.facts["lineage"]
        assert len(endpoint.requests) == asked


@each(
    ("values", "message"),
    [
        ({"params": {"critic:top_k": 1}}, "critic:top_k names no teacher of completions"),
        ({"params": {"messages": []}}, "params: 'messages' is no parameter to choose"),
        ({"params": {"top_k": float("nan")}}, "params: .* is not JSON"),
        ({"without": ["a b"]}, "without: 'a b' does not name a parameter"),
    ],
)
def test_a_wrong_choice_is_refused_before_anything_is_asked(
    tmp_path: Path, values: dict[str, Any], message: str
) -> None:
    with Endpoint() as endpoint:
        with pytest.raises(InputError, match=message):
            built(tmp_path, endpoint, **values)
        assert endpoint.requests == []


@each("recipe", ["ultrafeedback", "constitution"])
def test_the_words_of_a_refusal_are_the_evidence_in_every_recipe(
    tmp_path_factory: pytest.TempPathFactory, recipe: str
) -> None:
    body = {"error": {"message": "Flagged: unsafe", "metadata": {"reasons": ["violence"]}}}
    unsafe = Rule("given", contains="Why 1?", status=403, body=body)
    with Endpoint(Behaviour(rules=[unsafe])) as endpoint:
        draft = built(tmp_path_factory.mktemp("build"), endpoint, recipe=recipe, rows=2)
        asked = [one for one in endpoint.requests if "Why 1?" in one.prompt]
    dropped = [row for row in draft.rows("dropped") if "Why 1?" in row["evidence"]]
    assert [row["reason"] for row in dropped] == ["filtered"]
    assert "403: Flagged: unsafe; violence" in dropped[0]["evidence"]
    prompts = [json.dumps(one.body, sort_keys=True) for one in asked]
    assert len(prompts) == len(set(prompts)) < 10
