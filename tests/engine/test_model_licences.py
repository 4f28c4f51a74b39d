"""The licence of a model follows from its name, and never from that of another model."""

import re
import tomllib
from pathlib import Path

import pytest

from builders.engine import model_licences
from builders.engine.model_licences import model_licence
from builders.hub_vocabulary import Licence, vocabulary
from tests.cases import each

TABLE = tomllib.loads(
    Path(model_licences.__file__).with_suffix(".toml").read_text(encoding="utf-8")
)["models"]
KNOWN = {
    "apache-2.0": [
        "Qwen/Qwen2.5-7B-Instruct",
        "qwen2.5:7b",
        "qwen2.5:7b-instruct-q4_K_M",
        "qwen/qwen-2.5-7b-instruct",
        "openrouter/qwen/qwen-2.5-7b-instruct:free",
        "lmstudio-community/Qwen2.5-7B-Instruct-GGUF",
        "hf.co/bartowski/Qwen2.5-14B-Instruct-GGUF:Q4_K_M",
        "Qwen/Qwen2.5-32B-Instruct-GPTQ-Int4",
        "/models/Qwen2.5-1.5B-Instruct-Q8_0.gguf",
        "C:\\models\\Qwen2.5-0.5B-Instruct-fp16.gguf",
        "Qwen/Qwen2.5-Coder-32B-Instruct-AWQ",
        "qwen2.5vl:7b",
        "qwen/qwen3-coder:free",
        "unsloth/Qwen3-4B-Instruct-2507-GGUF:UD-Q4_K_XL",
        "nvidia/Qwen3-8B-NVFP4",
        "Qwen/Qwen3-30B-A3B-Instruct-2507-FP8",
        "qwen3:8b",
        "Qwen/Qwen3-Next-80B-A3B-Thinking",
        "Qwen/QwQ-32B",
        "openai/gpt-oss-20b",
        "gpt-oss:120b-cloud",
        "unsloth/gpt-oss-20b-bnb-4bit",
        "mistralai/Mistral-7B-Instruct-v0.3",
        "TheBloke/Mistral-7B-Instruct-v0.2-GPTQ",
        "open-mistral-7b",
        "mixtral:8x22b",
        "open-mixtral-8x7b",
        "mistralai/mistral-nemo",
        "mistralai/mistral-small-24b-instruct-2501",
        "RedHatAI/Mistral-Small-3.1-24B-Instruct-2503-quantized.w4a16",
        "HuggingFaceTB/SmolLM2-1.7B-Instruct",
        "smollm2:135m",
        "allenai/OLMo-2-1124-13B-Instruct",
        "granite3.3:8b",
        "ibm-granite/granite-4.0-h-small",
    ],
    "mit": [
        "microsoft/phi-4",
        "phi4-mini",
        "Phi-3.5-mini-instruct",
        "phi3:mini",
        "deepseek-ai/DeepSeek-R1",
        "deepseek/deepseek-r1-0528:free",
        "deepseek-r1:7b",
        "deepseek-r1:14b-qwen-distill-q4_K_M",
        "deepseek-ai/DeepSeek-R1-Distill-Qwen-32B",
        "deepseek/deepseek-chat-v3-0324",
        "z-ai/glm-4.5-air:free",
        "zai-org/GLM-4.6-FP8",
    ],
    "llama2": ["meta-llama/Llama-2-7b-chat-hf", "llama2:13b"],
    "llama3": ["meta-llama/Meta-Llama-3-8B-Instruct", "llama3:70b-instruct-q4_0"],
    "llama3.1": [
        "meta-llama/llama-3.1-8b-instruct:free",
        "meta-llama/Meta-Llama-3.1-70B-Instruct-Turbo",
        "RedHatAI/Meta-Llama-3.1-8B-Instruct-FP8-dynamic",
        "llama3.1",
        "llama3.1-8b",
        "llama-3.1-8b-instant",
        "@cf/meta/llama-3.1-8b-instruct-fp8",
        "accounts/fireworks/models/llama-v3p1-405b-instruct",
        "allenai/Llama-3.1-Tulu-3-8B",
    ],
    "llama3.2": ["llama3.2:3b", "meta-llama/Llama-3.2-11B-Vision-Instruct"],
    "llama3.3": ["llama-3.3-70b-versatile", "meta-llama/Llama-3.3-70B-Instruct"],
    "llama4": ["meta-llama/llama-4-scout", "meta-llama/Llama-4-Maverick-17B-128E-Instruct-FP8"],
    "gemma": ["google/gemma-2-9b-it", "gemma2:27b", "google/gemma-3-27b-it:free", "gemma3n:e4b"],
    "cc-by-nc-4.0": ["CohereLabs/aya-expanse-8b"],
    "qwen-research": ["Qwen/Qwen2.5-3B-Instruct", "qwen2.5-coder:3b"],
    "qwen": ["Qwen/Qwen2.5-72B-Instruct", "qwen/qwen-2.5-72b-instruct:free"],
    "mrl": ["mistralai/Mistral-Large-Instruct-2411", "Ministral-8B-Instruct-2410"],
    "modified-mit": ["moonshotai/kimi-k2", "moonshotai/Kimi-K2-Instruct-0905"],
    "openai-terms-of-use": [
        "gpt-4o-2024-08-06",
        "gpt-4-1106-preview",
        "gpt-4o",
        "openai/gpt-4.1-mini",
        "gpt-5",
        "o3-mini",
        "gpt-3.5-turbo",
    ],
    "anthropic-terms-of-use": ["anthropic/claude-3.7-sonnet:thinking", "claude-sonnet-4-5"],
    "google-terms-of-use": ["google/gemini-2.5-flash", "models/gemini-2.0-flash"],
}
UNKNOWN = [
    "",
    "model",
    "default",
    "qwen2.5",  # its size is not named
    "qwen-max",
    "qwen3-max",
    "qwen2.5-7b-instruct-abliterated",
    "joe/Qwen2.5-7B-Instruct",  # may be trained further
    "Qwen/Qwen2.5-7B-Instruct/adapter",
    "my-qwen2.5-7b",
    "mistral",
    "mistral-large",
    "mistral-large-latest",
    "mistral-medium",
    "mistral-small-latest",
    "mistral-small:22b",
    "NousResearch/Hermes-3-Llama-3.1-8B",
    "nvidia/Llama-3.1-Nemotron-70B-Instruct-HF",
    "deepseek-r1:8b",
    "deepseek-r1:8b-llama-distill-q4_K_M",
    "qwen3-coder-plus",
    "deepseek-r1:70b",
    "deepseek-ai/DeepSeek-R1-Distill-Llama-8B",
    "deepseek-chat",
    "deepseek-v3",
    "glm-4.5-flash",
    "glm-4-plus",
    "command-r",
    "gemma-4-12b",
    "phi-5",
    "llama-5-8b",
    "gpt-j-6b",
    "gpt-4-x-alpaca",
    "gpt-3.5-llama",
    "gpt-5-oss",
    "o3-distill-llama",
    "claude-2-alpaca-13b",
    "o2",
]


@each("name", [*KNOWN])
def test_a_known_model_has_its_licence_however_an_endpoint_writes_its_name(name: str) -> None:
    found = {model: model_licence(model) for model in KNOWN[name]}
    other = name not in vocabulary()["license"]
    assert {
        model: (known and (known.name if other else known.id)) for model, known in found.items()
    } == dict.fromkeys(found, name)
    assert not other or {known.id for known in found.values() if known} == {"other"}


@each("model", UNKNOWN)
def test_a_name_that_may_be_another_model_s_has_no_licence(model: str) -> None:
    assert model_licence(model) is None


def test_every_licence_of_the_table_is_one_of_the_hub_and_each_other_one_has_a_name() -> None:
    assert {one["licence"] for one in TABLE} <= set(vocabulary()["license"])
    assert [one for one in TABLE if (one["licence"] == "other") != ("name" in one)] == []
    assert [one for one in TABLE if not re.match("https://", one["source"])] == []


@pytest.mark.parametrize("one", TABLE, ids=[one["pattern"] for one in TABLE])
def test_the_model_that_an_entry_cites_is_one_that_it_lists(one: dict[str, str]) -> None:
    if "huggingface.co/" not in one["source"]:
        return  # the page of a provider's terms
    cited = one["source"].removeprefix("https://huggingface.co/").replace("openai-community/", "")
    expected = Licence(one["licence"], one.get("name"), one.get("link"))
    assert model_licence(cited) == expected
