"""Asks a judge about pairs that people labelled, in both orders, so that it can be measured.

Every call goes through a ledger of its own: an answer that was paid for is not asked for again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from builders.engine.calls import Call, Failure, Unreadable
from builders.engine.engine import Engine
from builders.engine.judgements import of_a_judge
from builders.engine.ledger import Ledger
from builders.engine.parameters import Choice, chosen_names, with_choices
from builders.engine.progress import Progress
from builders.engine.run_limits import RunLimits
from builders.engine.teacher import Teacher, TeacherSpec, missing_end
from builders.engine.teacher_kinds import teacher
from builders.errors import RecipeError, TeacherError, folder_error
from builders.file_lock import folder_lock
from builders.judging.pair_texts import Pair
from builders.judging.prompts import comparing
from builders.judging.tables import texts
from builders.judging.verdicts import ABSENT, Codes, Judged, codes
from builders.recipe import Recipe, Seeds
from builders.schema import PROMPT_COMPLETION

LEDGER = "ledger.sqlite"
_SAMPLING = {"temperature": 0.0, "max_tokens": 512}  # MT-bench's temperature for judges
_LOOK_S = 0.2
_AHEAD = 4  # calls prepared for each that may be in flight


def _no_pipeline(*_: object) -> object:
    raise RecipeError("a judge that is measured has no pipeline")


# An engine belongs to a recipe; of this one it needs the role.
_ROLE = Recipe(
    name="judge",
    makes="verdicts on labelled pairs",
    schema=PROMPT_COMPLETION,
    seeds=Seeds(form="prompts", source=""),
    roles={"judge": "compares two texts"},
    rows=1,
    rows_of="verdicts",
    pipeline=_no_pipeline,
    row=lambda raw: raw,
)


@dataclass(frozen=True)
class _Verdict:
    """One verdict: `a`, `b`, `tie`, `unreadable`, or `absent` where no answer can be used.

    `lost` is then why, as `cause (words)`; `text` is the answer, if there was one.
    """

    word: str
    text: str | None = None
    lost: str | None = None


def asked_judge(
    pairs: Sequence[Pair],
    labelled: Judged,
    spec: TeacherSpec,
    home: Path,
    progress: Progress,
    *,
    repeats: int = 0,
    choices: Sequence[Choice] = (),
    run_limits: RunLimits | None = None,
) -> Judged:
    """The labelled pairs with the verdicts that a judge gives now, in both orders.

    Args:
        pairs: The texts, in the order of `labelled`.
        labelled: People's labels, and facts about the texts; its own verdicts are ignored.
        spec: The judge.
        home: The folder of its ledger.
        progress: Counts what happens.
        repeats: How often each pair is asked again in the first order.
        choices: Further parameters of each request, and those to leave out.
        run_limits: Budget and pace.

    Raises:
        PotstillError: No judge, no answer at all, or stopped; every answer is kept.
    """
    who = teacher(replace(spec, chosen=chosen_names(choices)))
    try:
        with folder_lock(home), closing(Ledger.open(home / LEDGER)) as ledger:
            progress.begin("starting the judge")
            with Engine(_ROLE, who, ledger, progress, seed=0, run_limits=run_limits) as engine:
                calls = len(pairs) * (2 + repeats)
                progress.begin(f"judging with {who.model}", lambda: calls)
                asking = _verdicts(engine, who, pairs, repeats, choices)
                verdicts = engine.loop.run_until_complete(asking)
    except OSError as error:
        raise folder_error(error, home) from None
    if pairs and all(one.lost and one.text is None for one in verdicts):
        raise TeacherError(f"{who.model!r} answered no call; check it with one question by hand")
    starts = range(0, len(verdicts), len(pairs) or 1)
    turns = [verdicts[start : start + len(pairs)] for start in starts]
    first, second, *again = turns
    return replace(
        labelled,
        judge=who.model,
        first=_codes(first),
        second=_codes(second),
        repeats=np.column_stack([_codes(one) for one in again]) if again else None,
        rationale=texts(one.text for one in first),
        shown=None,
        preference=None,
        score_a=None,
        score_b=None,
        rationale_a=None,
        rationale_b=None,
        lost=np.column_stack([texts(one.lost for one in turn) for turn in turns]),
    )


async def _verdicts(
    engine: Engine,
    who: Teacher,
    pairs: Sequence[Pair],
    repeats: int,
    choices: Sequence[Choice],
) -> list[_Verdict]:
    """First every pair as it is, then every pair swapped, then each repetition."""
    sampling = with_choices(_SAMPLING, choices)
    ahead = asyncio.Semaphore(_AHEAD * who.concurrency)

    async def verdict(pair: Pair, swapped: bool, sample: int) -> _Verdict:
        question = comparing(pair.prompt, pair.a, pair.b, swapped=swapped, reference=pair.reference)
        call = Call(
            role="judge",
            endpoint=who.name,
            model=who.model,
            revision=who.revision,
            prompt=question.messages,
            sampling=sampling,
            sample=sample,
        )
        async with ahead:
            try:
                answer = of_a_judge(await engine.answer(call))
            except Failure as failure:
                return _Verdict("absent", lost=f"{failure.cause} ({failure})")
        if fault := answer.fault(*missing_end(who)):
            why = f"{fault} (finish_reason {answer.finish_reason!r})"
            return _Verdict("absent", answer.text, lost=why)
        with suppress(Unreadable):
            return _Verdict(question.parse(answer.text), answer.text)
        return _Verdict("unreadable", answer.text)

    turns = [(False, 0), (True, 0), *((False, sample) for sample in range(1, repeats + 1))]
    tasks = [asyncio.ensure_future(verdict(one, *turn)) for turn in turns for one in pairs]
    whole = asyncio.gather(*tasks)
    try:
        while not whole.done():
            await asyncio.wait([whole], timeout=_LOOK_S)
            if engine.stopped:  # calls that were not sent yet would wait for ever
                raise engine.stopped
        return await whole
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _codes(verdicts: Sequence[_Verdict]) -> Codes:
    found = codes([one.word if one.word in ("a", "b", "tie") else None for one in verdicts])
    found[np.array([one.word == "absent" for one in verdicts], bool)] = ABSENT
    return found
