"""A released set trains: TRL reads it with `load_dataset` and takes real steps on it."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from scripts.main import main
from tests.drafting.test_run import build_words

torch = pytest.importorskip("torch", reason="the extra `trainers` is not installed")
trl = pytest.importorskip("trl", reason="the extra `trainers` is not installed")

pytestmark = [
    pytest.mark.slow,
    # TRL 1.16 sets what transformers 5.23 has renamed.
    pytest.mark.filterwarnings("ignore:`gradient_checkpointing` is deprecated:FutureWarning"),
]

CHATML = """{% for turn in messages %}<|im_start|>{{ turn.role }}
{{ turn.content }}<|im_end|>
{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant
{% endif %}"""


def tiny_model(folder: Path, texts: Iterable[str]) -> Path:
    """A Llama of 30,000 weights with a tokenizer of its own, on the disk as a trainer loads it."""
    from tokenizers import ByteLevelBPETokenizer
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    bytes_to_tokens = ByteLevelBPETokenizer()
    marks = ["<|pad|>", "<|im_start|>", "<|im_end|>"]
    bytes_to_tokens.train_from_iterator(
        texts, vocab_size=500, special_tokens=marks, show_progress=False
    )
    bytes_to_tokens.save_model(str(folder))
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=bytes_to_tokens._tokenizer,
        pad_token="<|pad|>",
        eos_token="<|im_end|>",
        chat_template=CHATML,
    )
    tokenizer.save_pretrained(folder)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
        bos_token_id=None,
    )
    torch.manual_seed(0)
    LlamaForCausalLM(config).save_pretrained(folder)
    return folder


@pytest.mark.parametrize("name", ["instructions", "completions"])
def test_a_released_set_trains_two_steps_of_sft_on_its_completions_alone(
    name: str, tmp_path: Path
) -> None:
    import datasets
    from transformers import AutoModelForCausalLM, AutoTokenizer

    work, to = tmp_path / "work", tmp_path / "released"
    assert main(build_words(tmp_path, name=name)) == 0
    assert main(["release", name, "--work", str(work), "--to", str(to)]) == 0
    rows = datasets.load_dataset(str(to), split="train", cache_dir=str(tmp_path / "cache"))
    assert len(rows) >= 4

    folder = tmp_path / "model"
    folder.mkdir()
    tiny_model(folder, (json.dumps(row) for row in rows))
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    arguments = trl.SFTConfig(
        output_dir=str(tmp_path / "trained"),
        max_steps=2,
        per_device_train_batch_size=2,
        learning_rate=0.01,
        logging_steps=1,
        use_cpu=True,
        bf16=False,  # which is what it would be by default, and 60 times slower on a CPU
        report_to="none",
        disable_tqdm=True,
    )
    trainer = trl.SFTTrainer(
        model=model, args=arguments, train_dataset=rows, processing_class=tokenizer
    )
    assert trained_texts(trainer, tokenizer) == [
        f"{row['completion'][0]['content']}<|im_end|>" for row in rows
    ]
    trainer.train()
    assert trainer.state.global_step == 2
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    assert len(losses) == 2 and all(math.isfinite(loss) and loss > 0 for loss in losses)

    trainer.save_model(str(tmp_path / "trained"))
    trained = AutoModelForCausalLM.from_pretrained(tmp_path / "trained").state_dict()
    assert trained.keys() == before.keys()
    assert any(not torch.equal(trained[key], before[key]) for key in before)
    assert all(torch.isfinite(value).all() for value in trained.values())


def trained_texts(trainer: Any, tokenizer: Any) -> list[str]:
    """The text of each row that the loss is taken on, in the rows' order."""
    found = []
    for row in trainer.train_dataset:
        batch = trainer.data_collator([row])
        labels = [label for label in batch["labels"][0].tolist() if label != -100]
        found.append(tokenizer.decode(labels).rstrip("\n"))
    return found
