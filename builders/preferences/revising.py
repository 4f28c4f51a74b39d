"""Answers criticised and revised by principles: the steps, the configs `chains` and `revisions`.

A raw row holds two `answers` (the first one is revised), and for each round N the replies
`critique_N` and `revision_N`; each list is empty once the chain has ended early.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from statistics import fmean
from typing import Any

from builders.engine.calls import Question, Reply
from builders.gates.text import refusal
from builders.preferences.comparisons import decided, preferences, text_of
from builders.preferences.principles import Revision
from builders.recipe import Configs, ExtraConfig, Json, Raw, Settings, normalised, row_id
from builders.schema import PROMPT_COMPLETION, Column, Row, Schema, assistant, user

Principles = Callable[[Raw], Sequence[Revision]]  # one per round
EVASIVE_WORDS = 40  # a refusal no longer than this offers nothing instead

CHAINS = Schema(
    name="chains",
    columns=(
        Column(name="id", type="string", meaning="the prompt's id, as in `default`"),
        Column(name="source", type="string", nullable=True, meaning="the kind of harm, if known"),
        Column(name="prompt", type="messages", meaning="what is asked"),
        Column(name="answers", type="strings", meaning="the two answers; the first is revised"),
        Column(name="principles", type="strings", meaning="one per round, by id"),
        Column(name="critiques", type="strings", meaning="one per round, as far as there are any"),
        Column(name="revisions", type="strings", meaning="one per round, as far as there are any"),
        Column(name="ended", type="string", meaning="good, or why the last revision is no row"),
        Column(name="comparison", type="string", nullable=True, meaning="the verdict's, by id"),
        Column(name="decided_by", type="string", nullable=True, meaning="probabilities or reasons"),
        Column(
            name="first_shown_first", type="float", nullable=True, meaning="the first's probability"
        ),
        Column(name="first_shown_second", type="float", nullable=True, meaning="the same, swapped"),
    ),
)


def critique_and_revise(
    last: Any,
    teach: Callable[..., Any],
    principles: Principles,
    *,
    rounds: int,
    sampling: dict[str, Any],
) -> Any:
    """Connect two steps per round to `last`, a critique and a revision; give the last of them."""
    from builders.engine.tasks import AskAll

    for turn in range(1, rounds + 1):
        for part, build in (("critique", critique_question), ("revision", revision_question)):
            step = AskAll(
                name=f"{part}_{turn}",
                llm=teach("writer", **sampling),
                build=partial(build, principles, turn),
                answer=f"{part}_{turn}",
            )
            last >> step
            last = step
    return last


def critique_question(principles: Principles, turn: int, raw: Raw) -> list[Question]:
    """Asks for faults by the round's principle, after the answer that it is about."""
    principle = principles(raw)[turn - 1]
    asked = _dialogue(raw, turn, f"{principle.critique}\n\nDo not write a new answer yet.")
    return [Question(prompt=asked, about={"principle": principle.id})] if asked else []


def revision_question(principles: Principles, turn: int, raw: Raw) -> list[Question]:
    """Asks for a better answer, after the critique."""
    principle = principles(raw)[turn - 1]
    critique = "".join(map(text_of, raw[f"critique_{turn}"]))
    asked = _dialogue(raw, turn, principle.critique)
    if not critique or not asked:
        return []
    request = f"{principle.revision}\n\nWrite the new answer and nothing else."
    asked = [*asked, *assistant(critique), *user(request)]
    return [Question(prompt=asked, about={"principle": principle.id})]


def _dialogue(raw: Raw, turn: int, request: str) -> list[dict[str, str]] | None:
    """The prompt, the text that the round begins with, and a request; None without a text."""
    begin = raw["answers"][:1] if turn == 1 else raw[f"revision_{turn - 1}"]
    text = "".join(map(text_of, begin))
    return [*raw["prompt"], *assistant(text), *user(request)] if text else None


def chains(candidates: Iterable[tuple[Raw, Row | None]], _: Settings) -> Iterator[Row]:
    """Each prompt's whole chain: answers, critiques, revisions, and the verdict in both orders."""
    seen: set[str] = set()
    for raw, _row in candidates:
        prompt = row_id(raw["prompt"])
        if "failed" in raw or prompt in seen:
            continue
        seen.add(prompt)
        turns = range(1, raw["rounds"] + 1)
        critiques = [reply for turn in turns for reply in raw[f"critique_{turn}"]]
        revisions = [reply for turn in turns for reply in raw[f"revision_{turn}"]]
        way, replies, _label = decided(raw)
        first, second = preferences(replies) if way else (None, None)
        yield {
            "id": prompt,
            "source": raw.get("source"),
            "prompt": raw["prompt"],
            "answers": [text_of(reply) for reply in raw["answers"]],
            "principles": [reply["about"]["principle"] for reply in critiques],
            "critiques": [text_of(reply) for reply in critiques],
            "revisions": [text_of(reply) for reply in revisions],
            "ended": _end(raw, revisions),
            "comparison": replies[0]["about"]["principle"] if way else None,
            "decided_by": way,
            "first_shown_first": first,
            "first_shown_second": second,
        }


def _end(raw: Raw, revisions: Sequence[Reply]) -> str:
    """`good` where the last revision is one to learn from; else the reason why not."""
    if len(revisions) < raw["rounds"]:
        return "unfinished"
    if revisions[-1]["text"] is None:
        return str(revisions[-1]["fault"])
    same = normalised(text_of(revisions[-1])) == normalised(text_of(raw["answers"][0]))
    return "unchanged" if same else "good"


def revised(candidates: Iterable[tuple[Raw, Row | None]], settings: Settings) -> Iterator[Row]:
    """The last revision of each prompt, where it is one to learn from."""
    for chain in chains(candidates, settings):
        if chain["ended"] == "good":
            completion = assistant(chain["revisions"][-1])
            yield {"id": chain["id"], "prompt": chain["prompt"], "completion": completion}


EXTRA_CONFIGS = {
    "revisions": ExtraConfig(schema=PROMPT_COMPLETION, rows=revised),
    "chains": ExtraConfig(schema=CHAINS, rows=chains),
}


def refuses(text: str) -> bool:
    """Whether an answer refuses, as far as its wording shows."""
    return refusal({"completion": assistant(text)}) is not None


def evades(text: str) -> bool:
    """Whether an answer refuses and offers nothing instead."""
    return refuses(text) and len(text.split()) <= EVASIVE_WORDS


def measures(configs: Configs) -> dict[str, Json]:
    """How the chains ended, how often answers refuse, how often each principle was used."""
    all_chains = list(configs("chains"))
    good = [chain for chain in all_chains if chain["ended"] == "good"]
    found: dict[str, Json] = {
        "revisions by how they ended": dict(Counter(chain["ended"] for chain in all_chains)),
        "share revised": _share(chain["ended"] == "good" for chain in all_chains),
    }
    texts = {
        "first answers": [chain["answers"][0] for chain in all_chains if chain["answers"][0]],
        "last revisions": [chain["revisions"][-1] for chain in good],
    }
    for name, given in texts.items():
        found[f"share of {name} that refuse"] = _share(map(refuses, given))
        found[f"share of {name} that evade"] = _share(map(evades, given))
    judged = [chain for chain in all_chains if chain["decided_by"]]
    found["share of verdicts that hold in both orders"] = _share(
        (one["first_shown_first"] > 0.5) == (one["first_shown_second"] > 0.5) for one in judged
    )
    used = Counter(principle for chain in all_chains for principle in chain["principles"])
    found["principles of revision"] = dict(sorted(used.items()))
    compared = Counter(chain["comparison"] for chain in judged)
    found["principles of comparison"] = dict(sorted(compared.items()))
    return found


def _share(given: Iterable[bool]) -> float | None:
    values = list(given)
    return round(fmean(values), 4) if values else None
