"""The licence of a model, from its name as an endpoint writes it: model_licences.toml."""

from __future__ import annotations

import functools
import re
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from builders.hub_vocabulary import Licence

# Where a name is written around that of the model, and what of it is kept.
_PLACES = [
    (re.compile(pattern), kept)
    for pattern, kept in (
        (r".*/models--([^/]+?)--([^/]+?)(/.*)?", r"\1/\2"),  # in the cache of huggingface_hub
        (r"([^/]+)/[^/]+-gguf/([^/]+\.gguf)", r"\1/\2"),
        (r".*\\([^\\]*)|[/.~].*/(.*)", r"\1\2"),  # a file or a folder on a disk
        (r"arn:aws[\w-]*:bedrock:[^/]*:(?:foundation-model|inference-profile)/(.+)", r"\1"),
        (r"azureml://registries/[^/]+/models/([^/]+)/.*", r"\1"),
        (r"projects/.+/(publishers/.+)", r"\1"),
        (r"(?:bedrock/)?(?:[a-z]{2}(?:-[a-z]+){1,3}-\d|converse|invoke)/(.+)", r"\1"),
        (r"azure/(?:eu|us|global|global-standard|responses)/(.+)", r"\1"),
        (r"(?:databricks/)?databricks-(.+)", r"\1"),
        (r"(?:us\.)?deepseek\.((?:r|v)\d.*)", r"deepseek-\1"),
    )
]
_DOTTED = re.compile(r"(?:(?:us|eu|apac|au|ca|jp|global|us-gov)\.)?([a-z0-9]+)\.(?=[a-z])")
# What a name has after that of the model: a variant of a gateway or a version of Bedrock, a file's
# ending, how its numbers are stored, how fast or at which price it is served, a date of an upload.
_VARIANT = re.compile(
    r":(?:free|latest|nitro|floor|beta|extended|online|exacto|thinking|fastest|cheapest|preferred|"
    r"[0-9a-f]{40,64})$|-v?(?!0:)\d+:\d+(?::\d+k|:mm)?$"
)
_STORED = re.compile(
    r"""[-_.](?:
        gguf | safetensors | bin | gptq | awq | exl[23] | mlx | mlc | onnx | bnb | maas | cloud | hf
        | f(?:p|p8-|loat)?(?:8|16|32) | bf16 | fp8-dynamic | fp8-block | (?:mx|nv)?fp4
        | ud | i1 | imat(?:rix)? | int[48] | [2348]-?bits? | w[48]a(?:8|16) | dynamic
        | quantized(?:\.w[48]a(?:8|16))? | \d{5}-of-\d{5}
        | q\d+f\d+(?:_\d)? | (?:i?q[1-8]|tq[12])(?:_[01248ksml]|_xs|_xxs|_xl|_nl)*
        | turbo | lite | fast | cheap | free | reference | tee | versatile | instant | specdec
        | basic
    )$""",
    re.VERBOSE,
)
_POINT = re.compile(  # in a version number, which may be written llama-v3p1, Llama-3_1 or llama3-1
    r"(\d)[p_](?=\d)|"
    r"((?:llama|qwen|glm|phi|granite|gpt|mistral-small|deepseek)-?v?\d)-(?=\d(?:-|$))"
)


_MOST_NAME = 400  # characters; no model has a longer one
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
    one, and so is one behind an unknown organisation's name. What a provider fine-tunes under a
    name of its own is known only where its terms of use apply to the model, as it has no licence.
    """
    if len(model) > _MOST_NAME:
        return None
    tuned = re.fullmatch(r"(?:.*/)?(?:ft:(.+?)(?::.*)?|(.+)\.ft-.*)", model.strip().lower())
    name = _bare((tuned[1] or tuned[2]) if tuned else model)
    found = next((known for fits, known in _table().models if fits.fullmatch(name)), None)
    is_closed = found is not None and str(found.name).endswith("-terms-of-use")
    return found if is_closed or not tuned else None


def _bare(model: str) -> str:
    """The name in small letters, without what comes before and after that of the model."""
    name = model.strip().lower().rstrip("/").replace(" ", "-")
    name = re.sub(r"(?<=[^/])@.*", "", name)  # a revision; not @cf/model
    prefixes, before = _table().prefixes, ""
    while name != before:
        before = name
        for place, kept in _PLACES:
            if found := place.fullmatch(name):
                name = found.expand(kept)
        parts = name.partition("/" if "/" in name else "_")  # org/model, and a file's org_model
        if parts[2] and parts[0] in prefixes:
            name = parts[2]
    if (maker := _DOTTED.match(name)) and maker[1] in prefixes:
        name = name[maker.end() :]
    model_name, colon, provider = name.rpartition(":")
    name = _VARIANT.sub("", model_name if colon and provider in prefixes else name)
    name = name.replace("-v0:", "-v0.").replace(":", "-")
    while (shorter := _STORED.sub("", name)) != name:
        name = shorter
    return _POINT.sub(r"\1\2.", name)


@functools.cache
def _table() -> _Table:
    given = tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))
    models = [
        (re.compile(one["pattern"]), Licence(one["licence"], one.get("name"), one.get("link")))
        for one in given["models"]
    ]
    return _Table(given["version"], frozenset(given["prefixes"]), models)
