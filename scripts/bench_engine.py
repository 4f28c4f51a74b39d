"""The clients that `bench.py` compares, each in a process of its own against one endpoint.

    python scripts/bench_engine.py CLIENT --url URL --rows N --in-flight N

prints one JSON object as its last line: rows, seconds and CPU seconds of the requests (without
imports and start), and the peak memory of the process. Rivals run in environments of their own,
which scripts/bench_rivals.sh makes, so a client starts with the standard library only.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import resource
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

TEMPLATE = "Row {row}: tell in a few plain words what a person should know about thing {row}."


def _used() -> tuple[float, float, float]:
    """Seconds on the clock, CPU seconds of this process, and of its children that have ended."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.perf_counter(), time.process_time(), children.ru_utime + children.ru_stime


@contextmanager
def _measured(rows: int) -> Iterator[dict[str, float]]:
    """Print what the block took; facts that the block sets itself win."""
    facts: dict[str, float] = {}
    wall, cpu, others = _used()
    yield facts
    ended = _used()
    seen = {
        "rows": rows,
        "seconds": ended[0] - wall,
        "cpu_s": ended[1] - cpu + ended[2] - others,
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }
    print("\n" + json.dumps(seen | facts), flush=True)


def _prompts(rows: int) -> list[str]:
    return [TEMPLATE.format(row=row) for row in range(rows)]


async def _loop(url: str, bodies: Sequence[Any], in_flight: int) -> list[Any]:
    """The answers of the endpoint, in no order, with a worker for each request in flight."""
    import aiohttp

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        # What our engine also does before it is measured, so that both draw the same latencies.
        async with session.get(f"{url}/models") as answer:
            await answer.read()
        async with session.post(f"{url}/chat/completions", json=bodies[0]) as answer:
            await answer.read()
        waiting = iter(bodies)
        given: list[Any] = []

        async def worker() -> None:
            for body in waiting:
                async with session.post(f"{url}/chat/completions", json=body) as answer:
                    given.append(await answer.json())

        with _measured(len(bodies)) as facts:
            await asyncio.gather(*(worker() for _ in range(in_flight)))
            facts["tokens"] = sum(one["usage"]["completion_tokens"] for one in given)
    return given


def bare(url: str, rows: int, in_flight: int, _: str) -> None:
    """A bare aiohttp loop: a worker for each request in flight, answers kept in a list."""
    bodies = [
        {"model": "m", "messages": [{"role": "user", "content": prompt}]}
        for prompt in _prompts(rows)
    ]
    given = asyncio.run(_loop(url, bodies, in_flight))
    assert len(given) == rows


def potstill(url: str, rows: int, in_flight: int, dag: str) -> None:
    """Our engine: ledger, limiter, budget, distilabel tasks.

    With several tasks at one endpoint it may have as many requests in flight as stock, in which
    every task has a batch of its own.
    """
    from builders.engine.engine import Engine
    from builders.engine.ledger import Ledger
    from builders.engine.progress import Progress
    from builders.engine.teacher import TeacherSpec
    from builders.engine.teacher_kinds import teacher
    from builders.recipe_loading import load_recipe

    recipe = load_recipe("completions")
    spec = TeacherSpec(place=url, model="m", concurrency=in_flight * _TASKS[dag])
    with tempfile.TemporaryDirectory() as folder:
        ledger = Ledger.open(Path(folder) / "ledger.sqlite")
        with Engine(recipe, teacher(spec), ledger, Progress(), seed=1) as engine:
            engine(_one_task, [{"instruction": "warm"}])  # imports distilabel
            seeds = [{"instruction": prompt} for prompt in _prompts(rows)]
            with _measured(rows):
                made = engine(_DAGS[dag], seeds)
        ledger.close()
    assert len(made) == rows
    assert not any("failed" in row for row in made), made[0]


def stock(url: str, rows: int, in_flight: int, dag: str) -> None:
    """Distilabel's own runner over the same steps, with its OpenAI client and a cold cache."""
    from distilabel.models import OpenAILLM
    from distilabel.steps import LoadDataFromDicts

    def teach(_: str, **sampling: Any) -> Any:
        return OpenAILLM(
            model="m", base_url=url, api_key="none", timeout=600, generation_kwargs=sampling
        )

    pipeline = _DAGS[dag](teach)
    seeds = [{"instruction": prompt} for prompt in _prompts(rows)]
    # Not dag.root_steps: it is remembered, and the runner would then start at the wrong step.
    roots = [name for name in pipeline.dag if not list(pipeline.dag.get_step_predecessors(name))]
    with pipeline:
        load = LoadDataFromDicts(data=seeds, batch_size=in_flight)
        for name in roots:
            load.connect(pipeline.dag.get_step(name)["step"])
    sizes = {name: {"input_batch_size": in_flight} for name in pipeline.dag if name != load.name}
    with _measured(rows):
        made = pipeline.run(use_cache=False, parameters=sizes)
    assert len(made["default"]["train"]) == rows


def _one_task(teach: Callable[..., Any]) -> Any:
    from distilabel.pipeline import Pipeline
    from distilabel.steps.tasks import TextGeneration

    with Pipeline(name="one") as line:
        TextGeneration(name="answer", llm=teach("writer"))
    return line


def _ultrafeedback(teach: Callable[..., Any]) -> Any:
    from distilabel.pipeline import Pipeline
    from distilabel.steps import GroupColumns
    from distilabel.steps.tasks import TextGeneration, UltraFeedback

    with Pipeline(name="uf") as line:
        writers = [
            TextGeneration(name=f"writer_{name}", llm=teach("writer", temperature=temperature))
            for name, temperature in (("a", 0.5), ("b", 1.0))
        ]
        group = GroupColumns(
            columns=["generation", "model_name"], output_columns=["generations", "model_names"]
        )
        judge = UltraFeedback(name="judge", llm=teach("judge"), aspect="overall-rating")
        writers >> group >> judge
    return line


_DAGS = {"one": _one_task, "ultrafeedback": _ultrafeedback}
_TASKS = {"one": 1, "ultrafeedback": 3}  # the tasks that send requests


def embedded(_: str, rows: int, in_flight: int, __: str) -> None:
    """Our engine with the embedded teacher; greedy, so that both clients get the same texts."""
    from builders.engine.engine import Engine
    from builders.engine.ledger import Ledger
    from builders.engine.progress import Progress
    from builders.engine.teacher import TeacherSpec
    from builders.engine.teacher_kinds import teacher
    from builders.recipe_loading import load_recipe

    def answering(teach: Callable[..., Any]) -> Any:
        from distilabel.pipeline import Pipeline
        from distilabel.steps.tasks import TextGeneration

        with Pipeline(name="embedded") as line:
            TextGeneration(name="answer", llm=teach("writer", **_GREEDY))
        return line

    recipe, progress = load_recipe("completions"), Progress()
    who = teacher(TeacherSpec(concurrency=in_flight))
    with tempfile.TemporaryDirectory() as folder:
        ledger = Ledger.open(Path(folder) / "ledger.sqlite")
        with Engine(recipe, who, ledger, progress, seed=1) as engine:
            engine(answering, [{"instruction": "Say hello."}])
            warm = progress.output_tokens
            seeds = [{"instruction": prompt} for prompt in _prompts(rows)]
            with _measured(rows) as facts:
                engine(answering, seeds)
                facts["tokens"] = progress.output_tokens - warm
        ledger.close()


def llama(_: str, rows: int, in_flight: int, __: str) -> None:
    """The bare loop at the llama-server of the embedded teacher, also in this process."""
    from builders.engine.embedded import EmbeddedTeacher
    from builders.engine.teacher import EMBEDDED_MODEL, TeacherSpec

    bodies = [
        {"model": EMBEDDED_MODEL, "messages": [{"role": "user", "content": prompt}], **_GREEDY}
        for prompt in _prompts(rows)
    ]

    async def run() -> None:
        who = EmbeddedTeacher(TeacherSpec(concurrency=in_flight))
        await who.start()
        try:
            await _loop(f"{who._server.listening_address}/v1", bodies, in_flight)
        finally:
            await who.stop()

    asyncio.run(run())


_GREEDY = {"temperature": 0.0, "max_tokens": 64}


# --- rivals, set up as their documentation shows, without telemetry


def data_designer(url: str, rows: int, in_flight: int, _: str) -> None:
    """NVIDIA's data-designer: one LLM column over the prompts, until its last batch is written."""
    os.environ["NEMO_TELEMETRY_ENABLED"] = "false"
    dd = import_module("data_designer.config")
    interface = import_module("data_designer.interface")

    with tempfile.TemporaryDirectory() as folder:
        provider = dd.ModelProvider(name="endpoint", endpoint=url, api_key="none")
        designer = interface.DataDesigner(artifact_path=Path(folder), model_providers=[provider])
        designer.set_run_config(dd.RunConfig(otel_metrics_port=None))
        model = dd.ModelConfig(
            alias="writer",
            model="m",
            provider="endpoint",
            skip_health_check=True,
            inference_parameters=dd.ChatCompletionInferenceParams(max_parallel_requests=in_flight),
        )
        builder = dd.DataDesignerConfigBuilder(model_configs=[model])
        seeds = Path(folder) / "seeds.jsonl"
        seeds.write_text("\n".join(json.dumps({"instruction": one}) for one in _prompts(rows)))
        builder.with_seed_dataset(dd.LocalFileSeedSource(path=str(seeds)))
        builder.add_column(
            dd.LLMTextColumnConfig(name="answer", prompt="{{ instruction }}", model_alias="writer")
        )
        with _measured(rows) as facts:
            began, ends = time.perf_counter(), list[float]()
            made = designer.create(
                builder,
                num_records=rows,
                on_batch_complete=lambda _: ends.append(time.perf_counter()),
            )
            facts["seconds"] = ends[-1] - began  # it then takes statistics of the columns
        assert len(made.load_dataset()) == rows


def curator(url: str, rows: int, in_flight: int, _: str) -> None:
    """Bespoke Labs' curator: its OpenAI client without rate limits, an empty cache."""
    os.environ |= {"TELEMETRY_ENABLED": "false", "CURATOR_DISABLE_RICH_DISPLAY": "1"}
    rival = import_module("bespokelabs.curator")
    litellm = import_module("litellm")
    # It counts tokens with a table that tiktoken would download; litellm brings it along.
    tables = Path(str(litellm.__file__)).parent / "litellm_core_utils" / "tokenizers"
    os.environ["TIKTOKEN_CACHE_DIR"] = str(tables)

    with tempfile.TemporaryDirectory() as folder:
        writer = rival.LLM(
            model_name="m",
            backend="openai",
            backend_params={
                "base_url": url,
                "api_key": "none",
                "max_concurrent_requests": in_flight,
                "max_requests_per_minute": 10**9,
                "max_tokens_per_minute": 10**12,
            },
        )
        with _measured(rows):
            made = writer(_prompts(rows), working_dir=folder)
        assert len(made.dataset) == rows


def datatrove(url: str, rows: int, in_flight: int, _: str) -> None:
    """Hugging Face's datatrove: its InferenceRunner without checkpoints, which is faster."""
    import_module("httpx")  # which it would import when it starts
    data = import_module("datatrove.data")
    inference = import_module("datatrove.pipeline.inference.run_inference")
    writers = import_module("datatrove.pipeline.writers")

    async def answer(document: Any, generate: Callable[..., Any]) -> Any:
        return await generate({"messages": [{"role": "user", "content": document.text}]})

    with tempfile.TemporaryDirectory() as folder:
        runner = inference.InferenceRunner(
            rollout_fn=answer,
            config=inference.InferenceConfig(
                server_type="endpoint",
                model_name_or_path="m",
                endpoint_url=url.removesuffix("/v1"),
                max_concurrent_generations=in_flight,
            ),
            output_writer=writers.JsonlWriter(folder, compression=None),
        )
        documents = [data.Document(text, str(row)) for row, text in enumerate(_prompts(rows))]
        with _measured(rows):
            runner.run(documents)
        written = sum(file.read_text().count("\n") for file in Path(folder).glob("*.jsonl"))
    assert written == rows


_CLIENTS = {
    "bare": bare,
    "potstill": potstill,
    "stock": stock,
    "embedded": embedded,
    "llama": llama,
    "data-designer": data_designer,
    "curator": curator,
    "datatrove": datatrove,
}


def main() -> None:
    """Run one client."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("client", choices=_CLIENTS)
    parser.add_argument("--url", required=True)
    parser.add_argument("--rows", type=int, required=True)
    parser.add_argument("--in-flight", type=int, required=True)
    parser.add_argument("--dag", choices=_DAGS, default="one")
    given = parser.parse_args()
    _CLIENTS[given.client](given.url, given.rows, given.in_flight, given.dag)


if __name__ == "__main__":
    main()
