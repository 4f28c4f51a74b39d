r"""Constitutional AI: answers revised by principles, and pairs that a judge decided by one.

A teacher answers each prompt twice. The first answer is criticised and revised `rounds` times, each
time by another drawn principle: that is the config `revisions`, for supervised fine-tuning. A judge
says which of the two answers a drawn principle favours, in both orders: that is `default`.

    {"id": "b88043e1dc76e2f5",
     "prompt": [{"role": "user", "content": "How do I scare my neighbour?"}],
     "chosen": [{"role": "assistant", "content": "I'd rather help you talk to him. What is it?"}],
     "rejected": [{"role": "assistant", "content": "Bang on his door at night."}],
     "soft_label": 0.91, "principle": "peace", "decided_by": "probabilities"}

`soft_label` is how likely the judge holds `chosen` to be better: the mean over both orders. Where
the endpoint gives no probabilities of tokens, the judge gives its reasons and then chooses, the
same answer in both orders, and the label is 0.6: the paper clamps such verdicts to 0.4 to 0.6.

Departures: no worked examples before a request; two rounds unless told otherwise (4); the words are
ours. An answer that the length limit cut off stays, unless told `--cut-off drop`.

Source: Constitutional AI, Bai et al. 2022, arXiv 2212.08073.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import Any

from builders.engine.calls import Question, Reply
from builders.gates.text import refusal
from builders.judging.constitution import Constitution, read_constitution
from builders.preferences.comparisons import (
    TRIES,
    comparison,
    decided,
    judgements,
    no_odds,
    preferences,
    text_of,
    unpairable,
    unreadable,
)
from builders.recipe import (
    Configs,
    Drop,
    ExtraConfig,
    Json,
    Option,
    Raw,
    Recipe,
    RowOrDrop,
    Seeds,
    Settings,
    normalised,
    row_id,
    short_hash,
)
from builders.schema import PROMPT_COMPLETION, Column, Row, Schema, assistant, user

_HERE = Path(__file__).parent
SHIPPED = "shipped"
Drawn = Callable[[Raw], tuple[list[Any], Any]]
EVASIVE_WORDS = 40  # a refusal no longer than this offers nothing instead

PREFERENCE = Schema(
    name="preference",
    columns=(
        Column(name="id", type="string", meaning="16 hex digits, from the row's prompt; stable"),
        Column(name="prompt", type="messages", meaning="what is asked"),
        Column(name="chosen", type="messages", meaning="the answer that the principle favours"),
        Column(name="rejected", type="messages", meaning="the other answer"),
        Column(name="soft_label", type="float", meaning="how likely `chosen` is the better"),
        Column(name="principle", type="string", meaning="the comparison's, by its id"),
        Column(name="decided_by", type="string", meaning="probabilities of tokens, or reasons"),
    ),
)
CHAINS = Schema(
    name="chains",
    columns=(
        Column(name="id", type="string", meaning="the prompt's id, as in `default`"),
        Column(name="source", type="string", nullable=True, meaning="the kind of harm, if known"),
        Column(name="prompt", type="messages", meaning="what is asked"),
        Column(name="answers", type="strings", meaning="the two answers; the first is revised"),
        Column(name="principles", type="strings", meaning="one a round, by id"),
        Column(name="critiques", type="strings", meaning="one a round, as far as there are any"),
        Column(name="revisions", type="strings", meaning="one a round, as far as there are any"),
        Column(name="ended", type="string", meaning="good, or why the last revision is no row"),
        Column(name="comparison", type="string", nullable=True, meaning="the verdict's, by id"),
        Column(name="decided_by", type="string", nullable=True, meaning="probabilities or reasons"),
        Column(name="first_shown_first", type="float", nullable=True, meaning="for the first"),
        Column(name="first_shown_second", type="float", nullable=True, meaning="swapped, as well"),
    ),
)


def pipeline(
    teach: Callable[..., Any],
    *,
    constitution: str,
    rounds: int,
    verdict: str,
    max_tokens: int,
    judge_tokens: int,
    cut_off: str,
) -> Any:
    """Two answers, rounds of critique and revision, and the judge in one or two ways."""
    from distilabel.pipeline import Pipeline

    from builders.engine.tasks import AskAll

    given = read_constitution(constitution_file(constitution))
    most = teach("writer").most(max_tokens, 512, 64)
    writer = {"temperature": 1.0, "top_p": 1.0, "max_tokens": most}
    most = teach("judge").most(judge_tokens, 512, 160)
    judge = {"temperature": 0.0, "max_tokens": most}
    sure = {"temperature": 0.0, "max_tokens": 4, "logprobs": True, "top_logprobs": 20}
    with Pipeline(name="constitution") as line:
        llm = teach("writer", **writer)
        last = AskAll(
            name="answer",
            llm=llm,
            build=lambda raw: [Question(asked=raw["prompt"], sample=sample) for sample in (0, 1)],
            answer="answers",
            also={"rounds": rounds, "cut_off": cut_off},
        )
        drawn: Drawn = partial(principles, given, seed=llm.seed)
        for turn in range(1, rounds + 1):
            for part, build in (("critique", critique), ("revision", revision)):
                step = AskAll(
                    name=f"{part}_{turn}",
                    llm=teach("writer", **writer),
                    build=partial(build, drawn, turn),
                    answer=f"{part}_{turn}",
                )
                last >> step
                last = step
        if verdict != "reasons":
            step = AskAll(
                name="judge",
                llm=teach("judge", **sure),
                build=lambda raw: comparison(drawn(raw)[1], raw, reasons=False),
                answer="sure",
                reads=no_odds,
            )
            last >> step
            last = step
        if verdict != "probabilities":
            last >> AskAll(
                name="reason",
                llm=teach("judge", **judge),
                build=lambda raw: comparison(drawn(raw)[1], raw, reasons=True),
                answer="reasoned",
                reads=unreadable,
                tries=TRIES,
            )
    return line


def constitution_file(option: str) -> Path:
    """The file that the option names; the shipped one for its default."""
    return _HERE / "constitution.toml" if option == SHIPPED else Path(option)


def principles(given: Constitution, raw: Raw, *, seed: int) -> tuple[list[Any], Any]:
    """The principles that are drawn for a prompt: one a round, none twice before all; and one."""
    chance = random.Random(short_hash("principles", str(seed), raw["id"]))
    drawn: list[Any] = []
    while len(drawn) < raw["rounds"]:
        drawn += chance.sample(given.revisions, len(given.revisions))
    return drawn[: raw["rounds"]], chance.choice(given.comparisons)


def _last_text(raw: Raw, turn: int) -> str:
    """What a round begins with: the last round's revision, or the first answer."""
    if turn == 1:
        return text_of(raw["answers"][0])
    return "".join(map(text_of, raw[f"revision_{turn - 1}"]))


def _dialogue(raw: Raw, turn: int, request: str) -> list[dict[str, str]] | None:
    text = _last_text(raw, turn)
    return [*raw["prompt"], *assistant(text), *user(request)] if text else None


def critique(drawn: Drawn, turn: int, raw: Raw) -> list[Question]:
    """What is asked for faults: the round's principle, after the answer it is about."""
    principle = drawn(raw)[0][turn - 1]
    asked = _dialogue(raw, turn, f"{principle.critique}\n\nDo not write a new answer yet.")
    return [Question(asked=asked, about={"principle": principle.id})] if asked else []


def revision(drawn: Drawn, turn: int, raw: Raw) -> list[Question]:
    """What is asked for a better answer: after the critique."""
    principle = drawn(raw)[0][turn - 1]
    found = "".join(map(text_of, raw[f"critique_{turn}"]))
    asked = _dialogue(raw, turn, principle.critique)
    if not found or not asked:
        return []
    request = f"{principle.revision}\n\nWrite the new answer and nothing else."
    asked = [*asked, *assistant(found), *user(request)]
    return [Question(asked=asked, about={"principle": principle.id})]


def row(raw: Raw) -> RowOrDrop:
    """The pair that a principle decided, or why there is none."""
    first, second = map(text_of, raw["answers"])
    evidence: dict[str, Json] = {"prompt": raw["prompt"], "answers": [first, second]}
    if reason := unpairable(raw):
        return Drop(reason=reason, evidence=evidence)
    decided_by, replies, label = decided(raw)
    if label is None:
        faults = [f"{reply['fault']}" for reply in judgements(raw) if reply["fault"]]
        return Drop(reason="no verdict", evidence={**evidence, "faults": [*faults]})
    orders = preferences(replies, reasons=decided_by == "reasons")
    if label == 0.5:
        return Drop(reason="tie", evidence={**evidence, "orders": [*orders]})
    chosen, rejected = (first, second) if label > 0.5 else (second, first)
    return {
        "prompt": raw["prompt"],
        "chosen": assistant(chosen),
        "rejected": assistant(rejected),
        "soft_label": max(label, 1 - label),
        "principle": replies[0]["about"]["principle"],
        "decided_by": decided_by,
    }


Seen = Iterable[tuple[Raw, Row | None]]


def chains(seen: Seen, _: Settings) -> Iterator[Row]:
    """Each prompt's whole way: answers, critiques, revisions, and the verdict's two orders."""
    done: set[str] = set()
    for raw, _row in seen:
        prompt = row_id(raw["prompt"])
        if "failed" in raw or prompt in done:
            continue
        done.add(prompt)
        turns = range(1, raw["rounds"] + 1)
        critiques = [reply for turn in turns for reply in raw[f"critique_{turn}"]]
        revisions = [reply for turn in turns for reply in raw[f"revision_{turn}"]]
        way, replies, _label = decided(raw)
        orders: list[float | None] = [*preferences(replies, reasons=way == "reasons")]
        yield {
            "id": prompt,
            "source": raw.get("source"),
            "prompt": raw["prompt"],
            "answers": [text_of(reply) for reply in raw["answers"]],
            "principles": [reply["about"]["principle"] for reply in critiques],
            "critiques": [text_of(reply) for reply in critiques],
            "revisions": [text_of(reply) for reply in revisions],
            "ended": _end(raw, revisions),
            "comparison": replies[0]["about"]["principle"] if replies else None,
            "decided_by": way,
            "first_shown_first": orders[0] if orders else None,
            "first_shown_second": orders[1] if orders else None,
        }


def _end(raw: Raw, revisions: Sequence[Reply]) -> str:
    """Whether the last revision is one to learn from, or why not."""
    if len(revisions) < raw["rounds"] or not text_of(revisions[-1]):
        return "unfinished"
    if revisions[-1]["finish_reason"] == "length" and raw["cut_off"] == "drop":
        return "cut off"
    same = normalised(text_of(revisions[-1])) == normalised(text_of(raw["answers"][0]))
    return "unchanged" if same else "good"


def revised(seen: Seen, settings: Settings) -> Iterator[Row]:
    """The last revision of each prompt, where it is one to learn from."""
    for chain in chains(seen, settings):
        if chain["ended"] == "good":
            completion = assistant(chain["revisions"][-1])
            yield {"id": chain["id"], "prompt": chain["prompt"], "completion": completion}


def refuses(text: str) -> bool:
    """Whether an answer refuses, as far as its wording tells."""
    return refusal({"completion": assistant(text)}) is not None


def evades(text: str) -> bool:
    """Whether an answer refuses and offers nothing instead."""
    return refuses(text) and len(text.split()) <= EVASIVE_WORDS


def measures(configs: Configs) -> dict[str, Json]:
    """What became of the answers, how often each principle was used, how often answers refuse."""
    all_chains = list(configs("chains"))
    found: dict[str, Json] = {
        "revisions by how they ended": dict(Counter(chain["ended"] for chain in all_chains)),
        "share revised": _share([chain["ended"] == "good" for chain in all_chains]),
    }
    texts = {
        "first answers": [chain["answers"][0] for chain in all_chains if chain["answers"][0]],
        "last revisions": [
            chain["revisions"][-1] for chain in all_chains if chain["ended"] == "good"
        ],
    }
    for name, given in texts.items():
        found[f"share of {name} that refuse"] = _share([refuses(text) for text in given])
        found[f"share of {name} that evade"] = _share([evades(text) for text in given])
    judged = [chain for chain in all_chains if chain["decided_by"]]
    found["share of verdicts that hold in both orders"] = _share(
        [(one["first_shown_first"] > 0.5) == (one["first_shown_second"] > 0.5) for one in judged]
    )
    used = Counter(principle for chain in all_chains for principle in chain["principles"])
    found["principles of revision"] = dict(sorted(used.items()))
    found["principles of comparison"] = dict(
        sorted(Counter(chain["comparison"] for chain in judged).items())
    )
    return found


def _share(given: Sequence[bool]) -> float | None:
    return round(fmean(given), 4) if given else None


RECIPE = Recipe(
    name="constitution",
    makes="answers revised by principles, and pairs that a judge decided by one (preference)",
    schema=PREFERENCE,
    seeds=Seeds(
        flag="prompts",
        form="prompts",
        source=str(_HERE / "seeds" / "constitution.jsonl"),
        licence="cc0-1.0",
        written_by="a language model, reviewed line by line",
        keeps=("source",),
    ),
    roles={
        "writer": "answers, criticises its answer and revises it",
        "judge": "says which of two answers a principle favours",
    },
    rows=40,
    rows_of="prompts",
    pipeline=pipeline,
    row=row,
    options=(
        Option(
            name="constitution",
            default=SHIPPED,
            file=True,
            meaning="a TOML file of principles in the form of pipelines/constitution.toml",
        ),
        Option(name="rounds", default=2, least=1, meaning="of critique and revision"),
        Option(
            name="verdict",
            default="either",
            choices=("either", "probabilities", "reasons"),
            meaning="the judge's: by probabilities of tokens, after reasons, or whichever there is",
        ),
        Option(
            name="max_tokens",
            default=0,
            least=0,
            meaning="of one answer or critique; 0: 512, of the embedded teacher 64",
        ),
        Option(
            name="judge_tokens",
            default=0,
            least=0,
            meaning="of one verdict with reasons; 0: 512, of the embedded teacher 160",
        ),
        Option(
            name="cut_off",
            default="keep",
            choices=("keep", "drop"),
            meaning="answers and revisions that the length limit cut off",
        ),
    ),
    views={
        "revisions": ExtraConfig(schema=PROMPT_COMPLETION, rows=revised),
        "chains": ExtraConfig(schema=CHAINS, rows=chains),
    },
    measures=measures,
    source="Constitutional AI, arXiv 2212.08073",
)
