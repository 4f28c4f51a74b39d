"""Preference sets by the real small model: built, released, loaded, trained on; and its judge."""

from __future__ import annotations

import json
import math
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from builders.drafting.draft import last_draft
from builders.engine.embedded import EmbeddedTeacher
from builders.engine.engine import Engine
from builders.engine.ledger import Ledger
from builders.engine.progress import Progress
from builders.engine.tasks import AskAll
from builders.engine.teacher import EMBEDDED_MODEL, TeacherSpec
from builders.judging.reliability import report
from builders.judging.verdicts import FAILED, A, B, Judged
from builders.preferences.comparisons import comparison_questions, parse_probability, preferences
from builders.preferences.principles import Comparison
from builders.schema import user
from pipelines.constitution import RECIPE
from scripts.main import main
from tests.test_trainers import tiny_model

torch = pytest.importorskip("torch", reason="the extra `trainers` is not installed")
trl = pytest.importorskip("trl", reason="the extra `trainers` is not installed")

pytestmark = [
    pytest.mark.slow,
    # TRL 1.16 sets and reads what transformers 5.23 has renamed.
    pytest.mark.filterwarnings("ignore:`(is_)?gradient_checkpointing.*deprecated:FutureWarning"),
]

ROWS = 4
# With whole answers, or more of them, a build takes several times as long, and shows nothing more.
SHORT = ["--rows", str(ROWS), "--cut-off", "keep", "--max-tokens", "32"]
BUILDS = {"ultrafeedback": [*SHORT, "--writers", "2"], "constitution": SHORT}


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Both sets, built by the embedded teacher, with answers that are cut off, and released."""
    folder = tmp_path_factory.mktemp("preferences")
    for name, words in BUILDS.items():
        place = ["--work", str(folder / "work")]
        assert main(["build", name, *words, *place]) == 0
        assert main(["release", name, *place, "--to", str(folder / name)]) == 0
    return folder


def loaded(work: Path, name: str, config: str, cache: Path) -> Any:
    import datasets

    return datasets.load_dataset(str(work / name), config, split="train", cache_dir=str(cache))


@pytest.mark.parametrize("name", BUILDS)
def test_every_prompt_is_kept_or_dropped_for_a_reason_and_each_config_loads(
    name: str, work: Path, tmp_path: Path
) -> None:
    draft = last_draft(work / "work" / name)
    counts = draft.counts
    assert counts["made"] == ROWS == counts["kept"] + sum(counts["dropped"].values())
    assert counts["kept"] >= 2, counts
    for path in sorted(draft.folder.glob("*.parquet")):
        wanted = pq.read_table(path).to_pylist()
        if wanted:
            assert list(loaded(work, name, path.stem, tmp_path)) == wanted


def test_what_one_small_model_rated_is_rated_for_every_aspect_and_the_card_says_one_model(
    work: Path, tmp_path: Path
) -> None:
    rows = list(loaded(work, "ultrafeedback", "rated", tmp_path))
    read = [row for row in rows if row["helpfulness"] is not None]
    assert len(read) >= 0.8 * len(rows)  # held to a schema it can be read
    assert {row["model"] for row in rows} == {EMBEDDED_MODEL}
    # It counts up from 1 along the places, whichever text is there: the card shows the figures.
    by_place = last_draft(work / "work" / "ultrafeedback").facts["measures"][
        "mean rating by place before the judge"
    ]
    assert by_place[max(by_place)] - by_place["1"] > 0.5
    card = (work / "ultrafeedback" / "README.md").read_text(encoding="utf-8")
    assert f"one model, {EMBEDDED_MODEL}, under several principles and temperatures" in card
    assert f"The judge {EMBEDDED_MODEL}: **never measured against people**" in card


def test_the_chains_of_the_real_model_are_whole_or_name_why_and_its_verdicts_have_two_orders(
    work: Path, tmp_path: Path
) -> None:
    chains = list(loaded(work, "constitution", "chains", tmp_path))
    assert any(chain["ended"] == "good" for chain in chains)
    for chain in chains:
        assert len(chain["answers"]) == 2
        parts = [len(chain[name]) for name in ("principles", "critiques", "revisions")]
        whole = chain["ended"] in ("good", "unchanged")
        assert parts == [2, 2, 2] if whole else chain["ended"] in ("unfinished", "cut off", "empty")
    for pair in loaded(work, "constitution", "default", tmp_path):
        assert pair["decided_by"] == "probabilities" and 0.5 < pair["soft_label"] <= 1


# --- trainers


@pytest.mark.parametrize(
    ("name", "config", "kind"),
    [
        ("ultrafeedback", "default", "DPO"),
        ("ultrafeedback", "all_pairs", "DPO"),
        ("ultrafeedback", "unpaired", "KTO"),
        ("ultrafeedback", "margin", "Reward"),
        ("ultrafeedback", "default", "Reward"),
        ("constitution", "default", "DPO"),
        ("constitution", "default", "Reward"),
        ("constitution", "revisions", "SFT"),
    ],
)
def test_a_trainer_takes_two_real_steps_on_a_released_config(
    name: str, config: str, kind: str, work: Path, tmp_path: Path
) -> None:
    from transformers import (
        AutoModelForCausalLM,
        AutoModelForSequenceClassification,
        AutoTokenizer,
    )

    rows = loaded(work, name, config, tmp_path / "cache")
    folder = tmp_path / "model"
    folder.mkdir()
    tiny_model(folder, (json.dumps(row) for row in rows))
    tokenizer = AutoTokenizer.from_pretrained(folder)
    if kind == "Reward":
        head = {"num_labels": 1, "dtype": torch.float32}
        model = AutoModelForSequenceClassification.from_pretrained(folder, **head)
    else:
        model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    arguments = getattr(trl, f"{kind}Config")(
        output_dir=str(tmp_path / "trained"),
        max_steps=2,
        per_device_train_batch_size=2,
        learning_rate=0.01,
        logging_steps=1,
        use_cpu=True,
        bf16=False,
        report_to="none",
        disable_tqdm=True,
    )
    trainer = getattr(trl, f"{kind}Trainer")(
        model=model, args=arguments, train_dataset=rows, processing_class=tokenizer
    )
    trainer.train()
    assert trainer.state.global_step == 2
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    assert len(losses) == 2 and all(math.isfinite(loss) for loss in losses)
    after = trainer.model.state_dict()
    assert any(not torch.equal(after[key], before[key]) for key in before)


# --- what the judge is worth


PAIRS = 52  # a report of fewer than 50 is unreliable for that reason alone
CORRECT = Comparison(id="correct", harms=(), question="Which answer is correct?")


def labelled() -> list[dict[str, Any]]:
    """Pairs that nobody would judge wrong; in every second the right answer is b."""
    pairs = []
    for number in range(PAIRS):
        left, right = 3 + number, 2 + 3 * number % 17
        right_answer, wrong = f"It is {left + right}.", f"It is {left + right + 11}."
        texts = (right_answer, wrong) if number % 2 == 0 else (wrong, right_answer)
        pairs.append(
            {
                "prompt": user(f"What is {left} + {right}?"),
                "answers": [{"text": text, "fault": None, "ended": "complete"} for text in texts],
                "cut_off": "keep",
                "label": A if number % 2 == 0 else B,
            }
        )
    return pairs


def judging(teach: Any) -> Any:
    from distilabel.pipeline import Pipeline

    with Pipeline(name="judging") as line:
        sure = {"temperature": 0.0, "max_tokens": 4, "logprobs": True, "top_logprobs": 20}
        AskAll(
            name="judge",
            llm=teach("judge", cut_off="keep", **sure),
            build=lambda raw: comparison_questions(CORRECT, raw, reasons=False),
            answer="sure",
            parse=parse_probability,
        )
    return line


def test_the_report_of_the_small_judge_calls_it_unreliable_and_says_so_on_the_card(
    work: Path, tmp_path: Path
) -> None:
    with closing(Ledger.open(tmp_path / "ledger.sqlite")) as ledger:
        teacher = EmbeddedTeacher(TeacherSpec())
        with Engine(RECIPE, teacher, ledger, Progress(), seed=1) as engine:
            rows = engine(judging, labelled())
    found = [preferences(row["sure"]) for row in rows]
    orders = [
        [A if one > 0.5 else B for one in both] if len(both) == 2 else [FAILED] * 2
        for both in found
    ]
    measured = report(
        Judged(
            judge=EMBEDDED_MODEL,
            ids=[str(number) for number in range(len(rows))],
            first=np.array([both[0] for both in orders], np.int8),
            second=np.array([both[1] for both in orders], np.int8),
            people=np.array([[row["label"]] for row in rows], np.int8),
        )
    )
    assert measured["verdict"] == "unreliable" and not measured["reliable"]
    assert measured["reasons"]

    file = tmp_path / "report.json"
    file.write_text(json.dumps({"judges": [measured]}), encoding="utf-8")
    place = ["--work", str(work / "work")]
    again = ["build", "ultrafeedback", *BUILDS["ultrafeedback"], *place]
    assert main([*again, "--from-ledger", "--judge-report", str(file)]) == 0
    assert main(["release", "ultrafeedback", *place, "--to", str(tmp_path / "measured")]) == 0
    card = (tmp_path / "measured" / "README.md").read_text(encoding="utf-8")
    assert f"The judge {EMBEDDED_MODEL}: **unreliable**." in card
    assert "| both\\_order\\_consistency |" in card
