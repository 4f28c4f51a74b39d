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
# The same models as routers, clouds, local servers and the names of files write them.
ROUTED = {
    "llama3.1": """
        openrouter/meta-llama/llama-3.1-70b-instruct:free
        meta.llama3-1-70b-instruct-v1:0
        us.meta.llama3-1-70b-instruct-v1:0
        bedrock/us-east-1/meta.llama3-1-8b-instruct-v1:0
        bedrock/converse/us.meta.llama3-1-8b-instruct-v1:0
        bedrock/meta.llama3-1-405b-instruct-v1:0
        bedrock/converse/arn:aws:bedrock:eu-west-1::foundation-model/meta.llama3-1-8b-instruct-v1:0
        litellm_proxy/azure_ai/azureml://registries/azureml-meta/models/Llama-3.1-8B/versions/4
        vertex_ai/publishers/meta/models/llama-3.1-8b-instruct-maas
        arn:aws:bedrock:us-east-1::foundation-model/meta.llama3-1-8b-instruct-v1:0
        arn:aws:bedrock:us-west-2:123456789012:inference-profile/us.meta.llama3-1-70b-instruct-v1:0
        accounts/fireworks/models/llama-v3p1-70b-instruct
        fireworks_ai/accounts/fireworks/models/llama-v3p1-8b-instruct
        together_ai/meta-llama/Meta-Llama-3.1-8B-Instruct-Turbo
        meta-llama/Meta-Llama-3.1-8B-Instruct-Turbo-Free
        meta-llama/Meta-Llama-3.1-8B-Instruct-Reference
        llama3.1:8b
        llama3.1:8b-instruct-q4_K_M
        llama3.1:latest
        registry.ollama.ai/library/llama3.1:70b
        Meta-Llama-3.1-8B-Instruct-Q4_K_M.gguf
        Meta-Llama-3.1-8B-Instruct.Q4_K_M.gguf
        lmstudio-community/Meta-Llama-3.1-8B-Instruct-GGUF/Meta-Llama-3.1-8B-Instruct-Q4_K_M.gguf
        Meta-Llama-3.1-405B-Instruct-Q4_K_M-00001-of-00009.gguf
        meta-llama_Llama-3.1-8B-Instruct-Q8_0.gguf
        /data/hub/models--meta-llama--Llama-3.1-8B-Instruct/snapshots/0e9e39f249a1
        /models/llama-3.1-8b-instruct
        @cf/meta/llama-3.1-8b-instruct-fp8-fast
        @cf/meta/llama-3.1-8b-instruct-awq
        workers-ai/@cf/meta/llama-3.1-70b-instruct
        vertex_ai/meta/llama-3.1-405b-instruct-maas
        publishers/meta/models/llama-3.1-405b-instruct-maas
        projects/p/locations/us-central1/publishers/meta/models/llama-3.1-8b-instruct-maas
        azure_ai/Meta-Llama-3.1-70B-Instruct
        azureml://registries/azureml-meta/models/Meta-Llama-3.1-8B-Instruct/versions/4
        databricks-meta-llama-3-1-70b-instruct
        databricks/databricks-meta-llama-3-1-405b-instruct
        watsonx/meta-llama/llama-3-1-70b-instruct
        meta-llama/Llama-3.1-8B-Instruct:together
        meta-llama/Llama-3.1-8B-Instruct:fireworks-ai
        meta-llama/Llama-3.1-8B-Instruct:cheapest
        Meta-Llama-3_1-70B-Instruct
        meta-llama/Meta-Llama-3.1-70B-Instruct-fast
        ai/llama3.1:8B-Q4_K_M
        Llama-3.1-8B-Instruct-q4f16_1-MLC
        meta/llama-3.1-8b-instruct:bf16
        hf.co/bartowski/Meta-Llama-3.1-8B-Instruct-GGUF:Q4_K_M
        llama-3.1-8b-instant
        oci/meta.llama-3.1-405b-instruct
        mradermacher/Meta-Llama-3.1-8B-Instruct-i1-GGUF
        replicate/meta/meta-llama-3.1-405b-instruct
    """,
    "llama3": """
        @cf/meta/llama-3-8b-instruct
        meta.llama3-8b-instruct-v1:0
        bedrock/meta.llama3-70b-instruct-v1:0
        meta/meta-llama-3-8b-instruct
        llama3-70b-8192
        accounts/fireworks/models/llama-v3-8b-instruct
        vertex_ai/meta/llama3-70b-instruct-maas
        replicate/meta/meta-llama-3-8b-instruct:5a6809ca6288247d06daf6365557e5e429063f32a21146b2a807c682652136b8
    """,
    "llama3.3": """
        us.meta.llama3-3-70b-instruct-v1:0
        Meta-Llama-3_3-70B-Instruct
        meta_llama/Llama-3.3-70B-Instruct
        @cf/meta/llama-3.3-70b-instruct-fp8-fast
        databricks-meta-llama-3-3-70b-instruct
        meta-llama/Llama-3.3-70B-Instruct-Turbo-Free
        accounts/fireworks/models/llama-v3p3-70b-instruct
    """,
    "llama3.2": """
        us.meta.llama3-2-11b-instruct-v1:0
        us.meta.llama3-2-1b-instruct-v1:0
        accounts/fireworks/models/llama-v3p2-3b-instruct
    """,
    "llama4": """
        us.meta.llama4-scout-17b-instruct-v1:0
        us.meta.llama4-maverick-17b-instruct-v1:0
        @cf/meta/llama-4-scout-17b-16e-instruct
        accounts/fireworks/models/llama4-scout-instruct-basic
    """,
    "llama2": """
        llama-2-7b-chat.Q4_0.gguf
        @cf/meta/llama-2-7b-chat-int8
        llama2:7b-chat
    """,
    "apache-2.0": """
        mistral.mistral-7b-instruct-v0:2
        mistral.mixtral-8x7b-instruct-v0:1
        @cf/mistral/mistral-7b-instruct-v0.1
        @hf/thebloke/mistral-7b-instruct-v0.1-awq
        mistralai/mixtral-8x7b-instruct-v01
        qwen.qwen3-32b-v1:0
        qwen.qwen3-coder-30b-a3b-v1:0
        openai.gpt-oss-20b-1:0
        us.openai.gpt-oss-120b-1:0
        databricks-gpt-oss-120b
        accounts/fireworks/models/qwen2p5-7b-instruct
        accounts/fireworks/models/mixtral-8x22b-instruct
        Qwen_Qwen3-4B-Q4_K_M.gguf
        Qwen/Qwen3-32B:novita
        groq/openai/gpt-oss-20b
        ai/smollm2:135M-Q4_0
        SmolLM2-135M-Instruct-Q8_0.gguf
        watsonx/ibm/granite-3-3-8b-instruct
        qwen-3-32b
        qwen3:30b-a3b-instruct-2507-q4_K_M
        mistral:7b-instruct-v0.3-q4_K_M
    """,
    "mit": """
        us.deepseek.r1-v1:0
        deepseek.r1-v1:0
        accounts/fireworks/models/deepseek-v3p1
        accounts/fireworks/models/glm-4p5
        deepseek-v3.1:671b-cloud
        microsoft_Phi-4-mini-instruct-Q4_K_M.gguf
        databricks/phi-3-5-mini
        phi3:3.8b-mini-128k-instruct-q4_0
    """,
    "gemma": """
        google_gemma-3-4b-it-Q4_K_M.gguf
        gemma3:4b-it-qat
        google/gemma-3-27b-it:nebius
        gemma-2-9b-it-Q4_K_M.gguf
    """,
    "openai-terms-of-use": """
        azure/gpt-4o
        azure/gpt-35-turbo
        gpt-35-turbo-16k
        azure/eu/gpt-4o-2024-08-06
        azure/global-standard/gpt-4o-mini
        ft:gpt-4o-mini:org::id
        ft:gpt-4o-mini-2024-07-18:acme:bot:9abc
        openai/ft:gpt-3.5-turbo-0125:acme::9abc
        gpt-4o-mini-2024-07-18.ft-0123abcd
        openrouter/openai/gpt-4.1-mini
        databricks-gpt-5
        gpt-4-1-mini
        chatgpt-4o-latest
        o4-mini
    """,
    "anthropic-terms-of-use": """
        anthropic.claude-3-5-sonnet-20240620-v1:0
        us.anthropic.claude-sonnet-4-5-20250929-v1:0
        anthropic.claude-v2:1
        anthropic.claude-instant-v1
        anthropic.claude-3-sonnet-20240229-v1:0:28k
        vertex_ai/claude-3-5-sonnet@20240620
        bedrock/us-east-1/anthropic.claude-3-haiku-20240307-v1:0
        databricks-claude-3-7-sonnet
        global.anthropic.claude-opus-4-1-20250805-v1:0
    """,
    "google-terms-of-use": """
        projects/p/locations/l/publishers/google/models/gemini-1.5-pro
        gemini/gemini-2.0-flash-lite
        vertex_ai/gemini-1.5-pro-002
    """,
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
    "ft:open-mistral-7b:587a6b29:20240514:7e773925",
    "ft:llama-3.1-8b-instruct:x::y",
    "llama-3.1-8b-instruct.ft-0123",
    "accounts/acme/models/llama-v3p1-8b-instruct",
    "accounts/fireworks/models/my-llama",
    "arn:aws:bedrock:us-east-1:123456789012:custom-model/meta.llama3-1-8b-instruct-v1:0/abc",
    "arn:aws:bedrock:us-east-1:1:imported-model/xyz",
    "arn:aws:bedrock:us-east-1:1:provisioned-model/llama",
    "projects/p/locations/l/endpoints/123",
    "azure/my-deployment",
    "mistral.mistral-large-2402-v1:0",
    "amazon.nova-pro-v1:0",
    "cohere.command-r-plus-v1:0",
    "acme.llama3-1-8b-instruct-v1:0",
    "llama-3.1-8b-instruct-lora",
    "llama-3.1-8b-instruct:my-adapter",
    "acme/ft:gpt-oss-20b:x",
    "bedrock/arn:aws:bedrock:us-east-1:1:custom-model/meta.llama3-1-8b-instruct-v1:0/abc",
    "gpt-oss-20b-acme",
    "google_ai/gemma-2-9b-it",
    "openai/acme/gpt-oss-20b",
    "llama-3.1-8b-instruct-ft",
    "Llama 3.1 8B Instruct Uncensored",
    "user/llama3.1:latest",
    "qwen-turbo",
    "qwen.qwen3-max-v1:0",
    "deepseek-r1-distill-llama-70b",
    "us.deepseek.v3-v1:0",
    "nvidia/llama-3.1-nemotron-70b-instruct",
    "perplexity/llama-3.1-sonar-small-128k-online",
    "tunedModels/gemma-x",
    "models--acme--Llama-3.1-8B-Instruct",
    "/hub/models--acme--Llama-3.1-8B-Instruct/snapshots/00",
    "acme_llama-3.1-8b-instruct-q4_k_m.gguf",
    "acme/x-GGUF/llama-3.1-8b-instruct-q4_k_m.gguf",
    "gpt-4o-distill-llama",
    "dolphin-llama3",
    "ggml-model-q4_0.gguf",
    "turbo",
    "free",
]


@each("name", [*KNOWN])
def test_a_known_model_has_its_licence_however_an_endpoint_writes_its_name(name: str) -> None:
    models = [*KNOWN[name], *ROUTED.get(name, "").split()]
    found = {model: model_licence(model) for model in models}
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
