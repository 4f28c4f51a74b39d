"""The licence of a model, from its name as an endpoint writes it: model_licences.toml."""

from __future__ import annotations

import functools
import re
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from builders.hub_vocabulary import Licence

# What a name has after that of the model: a variant of a gateway, a file's ending, how its numbers
# are stored, a date of an upload.
_VARIANT = re.compile(r":(?:free|latest|nitro|floor|beta|extended|online|exacto|thinking|fastest)$")
_STORED = re.compile(
    r"""[-_.](?:
        gguf | safetensors | bin | gptq | awq | exl[23] | mlx | onnx | bnb | maas | cloud | hf
        | f(?:p|p8-|loat)?(?:8|16|32) | bf16 | fp8-dynamic | fp8-block | (?:mx|nv)?fp4
        | ud | int[48] | [2348]-?bits? | w[48]a(?:8|16) | dynamic | quantized(?:\.w[48]a(?:8|16))?
        | i?q[1-8](?:_[01ksml]|_xs|_xxs|_xl|_nl)*
    )$""",
    re.VERBOSE,
)


TABLE = "the table of models of "  # and its version


class _Table(NamedTuple):
    version: str
    prefixes: frozenset[str]
    models: Sequence[tuple[re.Pattern[str], Licence]]


def table_name() -> str:
    """What a card calls the table."""
    return f"{TABLE}{_table().version}"


@functools.lru_cache(maxsize=256)
def model_licence(model: str) -> Licence | None:
    """The licence of a model by an endpoint's name for it; None if it is not listed.

    A name with words that the table does not know is that of another model, such as a fine-tuned
    one, and so is one behind an unknown organisation's name.
    """
    name = _bare(model)
    return next((known for fits, known in _table().models if fits.fullmatch(name)), None)


def _bare(model: str) -> str:
    """The name in small letters, without what comes before and after that of the model."""
    name = model.strip().lower().rstrip("/")
    name = name[:1] + name[1:].partition("@")[0]  # a revision
    if name.startswith(("/", ".", "~")) or "\\" in name:  # a file or a folder on a disk
        name = re.split(r"[/\\]", name)[-1]
    while (parts := name.partition("/"))[2] and parts[0] in _table().prefixes:
        name = parts[2]
    name = _VARIANT.sub("", name).replace(":", "-")
    while (shorter := _STORED.sub("", name)) != name:
        name = shorter
    return name


@functools.cache
def _table() -> _Table:
    given = tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))
    models = [
        (re.compile(one["pattern"]), Licence(one["licence"], one.get("name"), one.get("link")))
        for one in given["models"]
    ]
    return _Table(given["version"], frozenset(given["prefixes"]), models)
