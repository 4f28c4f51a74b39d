"""A GGUF file that a user has: what is read from it, and what is refused before it is loaded."""

from __future__ import annotations

import hashlib
import os
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from builders.engine.embedded import EmbeddedTeacher, slots_and_tokens
from builders.engine.free_memory import free_bytes
from builders.engine.gguf_file import ModelFile, read_model
from builders.engine.pool import pool_spec
from builders.engine.teacher import TeacherSpec
from builders.errors import InputError, TeacherError
from builders.hub_vocabulary import Licence
from tests.cases import each

SIZES = {  # of a model with 8 billion parameters
    "general.architecture": "llama",
    "llama.context_length": 131072,
    "llama.block_count": 32,
    "llama.embedding_length": 4096,
    "llama.attention.head_count": 32,
    "llama.attention.head_count_kv": 8,
    "tokenizer.chat_template": "{{ messages }}",
    "tokenizer.ggml.tokens": [f"token {number}" for number in range(5000)],
    "tokenizer.ggml.scores": [0.5] * 5000,
}
GB = 1e9


def text(value: str) -> bytes:
    return struct.pack("<Q", len(value.encode())) + value.encode()


def value_of(value: Any) -> bytes:
    """A value of a GGUF file, its type before it."""
    if isinstance(value, str):
        return struct.pack("<I", 8) + text(value)
    if isinstance(value, list):
        kinds, parts = {value_of(one)[:4] for one in value}, [value_of(one)[4:] for one in value]
        return struct.pack("<I", 9) + kinds.pop() + struct.pack("<Q", len(value)) + b"".join(parts)
    form = "<IB" if isinstance(value, bool) else "<II" if isinstance(value, int) else "<If"
    return struct.pack(form, {"<IB": 7, "<II": 4, "<If": 6}[form], value)


def content(values: Mapping[str, Any] = SIZES, *, tensor_at: int = 0, version: int = 3) -> bytes:
    """A file with this metadata and one tensor of 64 bytes."""
    pairs = b"".join(text(key) + value_of(value) for key, value in values.items())
    head = b"GGUF" + struct.pack("<IQQ", version, 1, len(values)) + pairs
    return head + text("weight") + struct.pack("<IQIQ", 1, 16, 0, tensor_at) + bytes(64)


def made(folder: Path, name: str = "mine.gguf", **values: Any) -> ModelFile:
    file = folder / name
    file.write_bytes(content({**SIZES, **{key.replace("__", "."): v for key, v in values.items()}}))
    return read_model(file)


def test_a_file_gives_its_name_digest_licence_and_sizes(tmp_path: Path) -> None:
    model = made(tmp_path, "Mine-8B.Q4_K_M.gguf", general__license="MIT", general__name="step_200")
    assert (model.name, model.licence.id, model.has_chat_template) == (
        "Mine-8B.Q4_K_M",
        "mit",
        True,
    )
    assert model.sha256 == hashlib.sha256(model.path.read_bytes()).hexdigest()
    assert (model.context_tokens, model.key_size) == (131072, 128)
    assert model.bytes_per_token(1, 2) == 32 * 8 * 128 * 3
    assert "tokenizer.ggml.tokens" in model.metadata


@each(
    ("given", "expected"),
    [
        ({}, "unknown"),
        ({"general__license": " "}, "unknown"),
        ({"general__license": "Llama3.1"}, "llama3.1"),
        ({"general__license": "our own terms"}, "other"),
        ({"general__license": "Our-Own-1.0"}, "other/our-own-1.0"),
        (
            {"general__license": "other", "general__license__name": "Qwen-Research"},
            "other/qwen-research",
        ),
        (
            {"general__license": "other", "general__license__name": "Llama 9 Community License"},
            "other/llama-9-community-license",
        ),
        (
            {
                "general__license": "oak-terms",
                "general__license__link": "https://oak.example/LICENSE",
            },
            "other/oak-terms/https://oak.example/LICENSE",
        ),
        ({"general__license": "mit", "general__license__name": "MIT"}, "mit"),
        ({"general__license": "other", "general__license__name": "[x](y)"}, "other"),
        ({"general__license": 7}, "unknown"),
    ],
)
def test_a_licence_is_an_id_that_the_hub_knows(
    tmp_path: Path, given: dict[str, Any], expected: str
) -> None:
    assert made(tmp_path, **given).licence == Licence(*expected.split("/", 2))


@each(
    ("values", "expected"),
    {
        "sizes for each layer": ({"llama.attention.head_count_kv": [8, 0, 4]}, 12 * 128 * 3),
        "own sizes of keys and values": (
            {"llama.attention.key_length": 64, "llama.attention.value_length": 32},
            32 * 8 * (64 + 64),
        ),
        "a state instead of keys": (
            {"llama.attention.head_count_kv": 0, "llama.attention.head_count": 0},
            0,
        ),
    },
)
def test_the_memory_of_a_token_follows_the_layers(
    tmp_path: Path, values: dict[str, Any], expected: int
) -> None:
    file = tmp_path / "mine.gguf"
    file.write_bytes(content({**SIZES, **values}))
    assert read_model(file).bytes_per_token(1, 2) == expected


SMALL = {name: value for name, value in SIZES.items() if not isinstance(value, list)}
REFUSED: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "is no GGUF file"),
    "a checkpoint": (b"PK\x03\x04" + bytes(500), "is no GGUF file"),
    "a page": (b"<!doctype html><title>Log in</title>", "is no GGUF file"),
    "a pointer of Git LFS": (b"version https://git-lfs.github.com/spec/v1\n", "is no GGUF file"),
    "four bytes": (b"GGUF", "is damaged: it ends too early"),
    "cut off in the metadata": (content()[:3000], "is damaged: it ends too early"),
    "cut off in the tensors": (content(tensor_at=10_000), "is damaged: it ends too early"),
    "a new version": (content(version=99), "is damaged: its version of GGUF is 99"),
    "the other byte order": (b"GGUF\0\0\0\x03" + bytes(16), "its version of GGUF is 50331648"),
    "too many keys": (content()[:16] + b"\xff" * 8 + content()[24:], "it ends too early"),
    "no architecture": (
        content({"llama.block_count": 1}),
        "is damaged: it names no architecture",
    ),
    "no context": (
        content({**SMALL, "llama.context_length": 0}),
        "its metadata has no 'llama.context_length'",
    ),
    "no layers": (content({**SMALL, "llama.block_count": "x"}), "has no 'llama.block_count'"),
    "a number that is none": (
        content({**SMALL, "llama.attention.layer_norm_rms_epsilon": float("nan")}),
        "is damaged: 'llama.attention.layer_norm_rms_epsilon' is nan",
    ),
    "an adapter": (content({**SMALL, "general.type": "adapter"}), "is an adapter (LoRA), which"),
    "eyes": (content({"general.architecture": "clip"}), "is the projector of a vision model"),
    "an embedding model": (content({"general.architecture": "bert"}), "is an embedding model"),
    "a part under another name": (
        content({**SMALL, "split.count": 3}),
        "is one of 3 parts of a model; name them NAME-00001-of-00003.gguf",
    ),
}


@each(("given", "why"), REFUSED)
def test_a_file_that_cannot_be_served_is_one_line_before_anything_is_loaded(
    tmp_path: Path, given: bytes, why: str
) -> None:
    file = tmp_path / "mine.gguf"
    file.write_bytes(given)
    with pytest.raises(InputError) as refused:
        EmbeddedTeacher(TeacherSpec(place=f"embedded:{file}"))
    message = str(refused.value)
    assert why in message and "mine.gguf" in message and "\n" not in message


def test_a_path_that_is_no_file_is_one_line(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for place, why in (
        ("", "names no file"),
        (f"{tmp_path}", "is no file"),
        (f"{tmp_path / 'pipe'}", "is no file"),
        (f"{tmp_path / 'nosuch.gguf'}", "cannot be read (No such file or directory)"),
        ("~/nosuch/at/all.gguf", "cannot be read (No such file or directory)"),
    ):
        with pytest.raises(InputError, match=r"embedded:") as refused:
            EmbeddedTeacher(TeacherSpec(place=f"embedded:{place}"))
        assert why in str(refused.value)


def test_the_parts_of_a_model_are_one_file(tmp_path: Path) -> None:
    names = [f"mine-{number:05}-of-00002.gguf" for number in (1, 2)]
    first, second = (tmp_path / name for name in names)
    first.write_bytes(content({**SMALL, "split.count": 2}))
    with pytest.raises(InputError, match=rf"'{names[1]}' is not beside '{names[0]}'"):
        read_model(first)
    second.write_bytes(content({"general.architecture": "llama"}))
    model = read_model(second)
    assert (model.name, model.path) == ("mine", first)
    assert model.size == first.stat().st_size + second.stat().st_size
    both = hashlib.sha256(first.read_bytes() + second.read_bytes())
    assert model.sha256 == both.hexdigest()


@each(
    ("free", "slots", "expected"),
    [
        (64 * GB, 2, (2, 16384)),
        (3 * GB, 2, (2, 8192)),
        (1.3 * GB, 2, (2, 4096)),
        (1 * GB, 2, (1, 4096)),
        (0.55 * GB, 2, (1, 1024)),
        (64 * GB, 8, (8, 16384)),
    ],
)
def test_slots_and_their_tokens_fit_into_the_memory(
    tmp_path: Path, free: float, slots: int, expected: tuple[int, int]
) -> None:
    assert slots_and_tokens(made(tmp_path), slots, free) == expected


def test_a_model_gets_no_more_context_than_it_was_made_for(tmp_path: Path) -> None:
    assert slots_and_tokens(made(tmp_path, llama__context_length=2048), 2, 64 * GB) == (2, 2048)


def test_a_model_without_room_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(TeacherError, match=r"mine\.gguf needs 0\.5 GB of memory and 0\.1 GB are"):
        slots_and_tokens(made(tmp_path), 2, 0.1 * GB)


def test_the_free_memory_is_that_of_the_container(tmp_path: Path) -> None:
    machine, groups = tmp_path / "meminfo", tmp_path / "cgroup"
    machine.write_text("MemTotal: 9000 kB\nMemAvailable:    8000 kB\n")
    assert free_bytes(machine, groups) == 8_192_000
    groups.mkdir()
    (groups / "memory.max").write_text("max\n")
    (groups / "memory.current").write_text("1000000\n")
    assert free_bytes(machine, groups) == 8_192_000
    (groups / "memory.max").write_text("3000000\n")
    (groups / "memory.stat").write_text("active_file 7\ninactive_file 500000\n")
    assert free_bytes(machine, groups) == 2_500_000
    assert free_bytes(tmp_path / "none", tmp_path / "none") == float("inf")


def test_a_file_is_named_by_the_user_or_by_itself(tmp_path: Path) -> None:
    file = made(tmp_path).path
    words = [f"writer=embedded:{file}", f"judge=embedded:{file}#wise"]
    given = pool_spec(words, TeacherSpec(model="of-the-endpoints"))
    teachers = {role: EmbeddedTeacher(many[0]) for role, many in given.roles.items()}
    assert {role: one.model for role, one in teachers.items()} == {
        "writer": "mine",
        "judge": "wise",
    }
    assert teachers["judge"].identity() == {
        "kind": "embedded",
        "model": "wise",
        "revision": "sha256:" + hashlib.sha256(file.read_bytes()).hexdigest(),
        "file": "mine.gguf",
        "licence": "unknown",
    }
