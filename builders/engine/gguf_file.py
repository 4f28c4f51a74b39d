"""A model in a GGUF file: what its metadata tells, read without loading the model.

Source: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

from __future__ import annotations

import hashlib
import mmap
import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from builders.errors import InputError, printable
from builders.hub_vocabulary import Licence
from builders.recipe import at_home

_NUMBERS = {  # the types of values, by their numbers in a file, as `struct` names them
    0: "B",
    1: "b",
    2: "H",
    3: "h",
    4: "I",
    5: "i",
    6: "f",
    7: "?",
    10: "Q",
    11: "q",
    12: "d",
}
_STRING, _LIST = 8, 9
_FEW = 4096  # items of a list that is kept; a model has fewer layers, and more tokens
_PART = re.compile(r"(.+)-(\d{5})-of-(\d{5})\.gguf", re.DOTALL)
_NO_WRITERS = {  # what else is in GGUF files, by `general.type` or architecture
    "adapter": "an adapter (LoRA)",
    "mmproj": "the projector of a vision model",
    "clip": "the projector of a vision model",
    "imatrix": "an importance matrix",
    "vocab": "a vocabulary",
    "bert": "an embedding model",
    "nomic-bert": "an embedding model",
    "jina-bert-v2": "an embedding model",
}


@dataclass(frozen=True, kw_only=True)
class ModelFile:
    """A GGUF file whose model can write.

    Attributes:
        path: The file, or the first of its parts.
        metadata: Its values by key; a long list is left out.
        parts: All its files, in their order.
    """

    path: Path
    metadata: Mapping[str, Any]
    parts: tuple[Path, ...]

    @property
    def name(self) -> str:
        """The file's name, as its metadata often has that of a checkpoint."""
        part = _PART.fullmatch(self.path.name)
        return printable(part[1] if part else self.path.name.removesuffix(".gguf")).strip()

    @property
    def licence(self) -> Licence:
        """Its licence: `other` for words that are no id on the Hub, `unknown` without any."""
        return Licence.stated(
            *(self.metadata.get(f"general.license{end}") for end in ("", ".name", ".link"))
        )

    @property
    def has_chat_template(self) -> bool:
        """Whether it knows how a conversation is written; a base model does not."""
        template = self.metadata.get("tokenizer.chat_template")
        return isinstance(template, str) and bool(template.strip())

    @property
    def architecture(self) -> str:
        """The name of its architecture, which begins the keys of its sizes."""
        return str(self.metadata["general.architecture"])

    @property
    def context_tokens(self) -> int:
        """The longest text that the model was made for."""
        return self._size("context_length")

    @property
    def key_size(self) -> int:
        """The numbers in one key of one attention head."""
        heads = self._sizes("attention.head_count")
        return self._size("attention.key_length") or (
            self._size("embedding_length") // max([*heads, 1])
        )

    def bytes_per_token(self, per_key_number: float, per_value_number: float) -> float:
        """The memory of one token's keys and values."""
        layers = self._size("block_count")
        heads = self._sizes("attention.head_count_kv") or self._sizes("attention.head_count")
        of_all = sum(heads) if len(heads) > 1 else layers * sum(heads)
        value_size = self._size("attention.value_length") or self.key_size
        return of_all * (self.key_size * per_key_number + value_size * per_value_number)

    @property
    def size(self) -> int:
        """The bytes of all its files."""
        return sum(part.stat().st_size for part in self.parts)

    @cached_property
    def sha256(self) -> str:
        """The digest of its content; of several files, of all of them as one."""
        digest = hashlib.sha256()
        for part in self.parts:
            with part.open("rb") as stream:
                hashlib.file_digest(stream, lambda: digest)
        return digest.hexdigest()

    def _size(self, name: str) -> int:
        return max(self._sizes(name), default=0)

    def _sizes(self, name: str) -> list[int]:
        """A size of the model, or that of each layer; empty where the file has none."""
        found = self.metadata.get(f"{self.architecture}.{name}")
        listed = found if isinstance(found, list) else [found]
        return [one for one in listed if type(one) is int and 0 <= one < 2**31]


def read_model(path: Path) -> ModelFile:
    """The model in a file; of one in several parts, any of them is given.

    Raises:
        InputError: There is no such file, it is damaged, or its model cannot write.
    """
    if path == Path():
        raise InputError("embedded: names no file; give one as embedded:FILE.gguf, or 'embedded'")
    path = at_home(path)
    parts = _parts(path)
    found = [_metadata(part) for part in parts]
    metadata = found[0]
    of_all = metadata.get("split.count", 1)
    if of_all not in (0, len(parts)):
        raise InputError(
            f"{str(path)!r} is one of {of_all} parts of a model; name them "
            f"NAME-00001-of-{of_all:05}.gguf and so on, as they were published"
        )
    for kind in (metadata.get("general.type"), metadata.get("general.architecture")):
        if what := _NO_WRITERS.get(str(kind)):
            raise InputError(f"{str(path)!r} is {what}, which writes no text; give a model's file")
    model = ModelFile(path=parts[0], metadata=metadata, parts=parts)
    for name in ("context_length", "block_count"):
        if not model._size(name):
            raise InputError(
                f"{str(path)!r} holds no whole model: its metadata has no "
                f"{f'{model.architecture}.{name}'!r}; download it again, or give another file"
            )
    for key, value in metadata.items():  # llama.cpp aborts the process where one is wrong
        if key.endswith("_epsilon") and not (isinstance(value, float) and 0 <= value < 1):
            raise InputError(f"{str(path)!r} is damaged: {key!r} is {value!r}; download it again")
    return model


def _parts(path: Path) -> tuple[Path, ...]:
    named = _PART.fullmatch(path.name)
    if not named:
        return (path,)
    parts = tuple(
        path.with_name(f"{named[1]}-{number:05}-of-{named[3]}.gguf")
        for number in range(1, int(named[3]) + 1)
    )
    if missing := [one.name for one in parts if not one.exists()]:
        raise InputError(
            f"{missing[0]!r} is not beside {path.name!r}, which is a part of the same model; "
            f"put all {len(parts)} parts into one folder"
        )
    return parts or (path,)


def _metadata(path: Path) -> dict[str, Any]:
    """The metadata of one file, all of whose tensors begin inside it.

    Raises:
        InputError: It cannot be read, is no GGUF file, or is damaged.
    """
    given = repr(str(path))
    try:
        if path.exists() and not path.is_file():  # reading a pipe could block forever
            raise InputError(f"{given} is no file; give a GGUF file as embedded:FILE.gguf")
        with path.open("rb") as stream:
            if stream.read(4) != b"GGUF":
                raise InputError(
                    f"{given} is no GGUF file (it does not begin with 'GGUF'); give a model that "
                    "was converted for llama.cpp"
                )
            with mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as content:
                return _Reader(content).metadata()
    except OSError as error:
        raise InputError(
            f"the model's file {given} cannot be read ({error.strerror}); give the path of a GGUF "
            "file as embedded:FILE.gguf"
        ) from None
    except (ValueError, struct.error, RecursionError) as error:
        why = error if type(error) is ValueError else "it ends too early"
        raise InputError(f"{given} is damaged: {why}; download it again") from None


class _Reader:
    """Reads a file's values one after the other."""

    def __init__(self, content: mmap.mmap) -> None:
        self._content = content
        self._at = 4

    def metadata(self) -> dict[str, Any]:
        """All values; raises ValueError or struct.error where the file is damaged."""
        version = self._number("I")
        if version not in (2, 3):
            raise ValueError(f"its version of GGUF is {version}, not 2 or 3")
        tensors, pairs = self._number("Q"), self._number("Q")
        if max(tensors, pairs) > len(self._content):
            raise ValueError("it ends too early")
        found = {self._text(): self._value(self._number("I")) for _ in range(pairs)}
        if not isinstance(found.get("general.architecture"), str):
            raise ValueError("it names no architecture")
        last = 0
        for _ in range(tensors):
            self._text()
            for _ in range(self._number("I")):
                self._number("Q")
            self._number("I")
            last = max(last, self._number("Q"))
        if self._at + last > len(self._content):
            raise ValueError("it ends too early")
        return found

    def _number(self, kind: str) -> Any:
        (value,) = struct.unpack_from(f"<{kind}", self._content, self._at)
        self._at += struct.calcsize(f"<{kind}")
        return value

    def _text(self) -> str:
        end = self._number("Q") + self._at
        if end > len(self._content):
            raise ValueError("it ends too early")
        text = self._content[self._at : end].decode("utf-8", "replace")
        self._at = end
        return text

    def _value(self, kind: int) -> Any:
        if kind == _STRING:
            return self._text()
        if kind in _NUMBERS:
            return self._number(_NUMBERS[kind])
        if kind != _LIST:
            raise ValueError(f"it has a value of the unknown type {kind}")
        inner, count = self._number("I"), self._number("Q")
        if count > len(self._content):
            raise ValueError("it ends too early")
        if inner in _NUMBERS and count > _FEW:
            self._at += count * struct.calcsize(f"<{_NUMBERS[inner]}")
            return None
        listed = [self._value(inner) for _ in range(count)]
        return listed if count <= _FEW else None
