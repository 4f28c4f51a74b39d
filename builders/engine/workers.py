"""Where a step's code runs: in a greenlet on the event loop, in a thread, or in processes.

None of them outlives the build or delays its end.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import multiprocessing
import os
import pickle
import random
import threading
import warnings
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import Connection
from multiprocessing.reduction import ForkingPickler
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
from pydantic.warnings import UnsupportedFieldAttributeWarning

from builders.engine.calls import Failure, Unreadable, Unusable
from builders.engine.json_texts import key_json
from builders.entropy import of_row
from builders.errors import PotstillError, RecipeError
from builders.recipe import Raw, short_hash
from builders.recipe_loading import import_file, loaded_files, modules_beside, place_of

# distilabel 1.5.3 declares fields in a way that pydantic 2.14 warns about; they work all the same.
# The filter is set in this module because a worker process imports it before it receives a step.
warnings.simplefilter("ignore", UnsupportedFieldAttributeWarning)

BROKEN = "potstill_broken"  # a column for the error that parsing an answer raised
Result = TypeVar("Result")


class Batch(NamedTuple):
    """What a step is given at once: the same number of rows from each predecessor.

    `seeds` are what its random numbers follow from; None for rows that would share them by the
    accident of having arrived together, so that nothing may be drawn.
    """

    inputs: Sequence[list[Raw]]
    seeds: tuple[Any, ...] | None


class Raised(NamedTuple):
    """A step's error on a row: the reason of the drop, the kind of error, and its message.

    `place` is the file and line of the recipe's own code, where the error came through it;
    `answer` is the evidence of a call without an answer to use, which is no error of the step.
    """

    cause: str
    kind: str
    why: str
    place: str = ""
    answer: Mapping[str, Any] | None = None

    @classmethod
    def by(cls, error: Exception) -> Raised:
        """From the exception that the step raised."""
        if isinstance(error, Failure):
            answer = error.evidence if isinstance(error, Unusable) else {}
            return cls(error.cause, error.cause, str(error), answer=answer)
        if isinstance(error, Unreadable):
            why = f"the answer cannot be parsed: {error.reason}"
            return cls(error.reason, error.reason, why, answer={})
        kind = type(error).__name__
        return cls("step error", kind, f"{kind}: {error}", place_of(error))

    @property
    def why_and_where(self) -> str:
        """The message after the place, for people: a place is no part of a row."""
        return f"{self.place}: {self.why}" if self.place else self.why


DREW = Raised("drew", "drew", "random numbers were drawn")


def made(step: Any, *inputs: list[Raw]) -> list[Raw]:
    """The rows that a step makes of its inputs."""
    return [row for batch in step.process_applying_mappings(*inputs) for row in batch]


def outcomes(step: Any, batches: Sequence[Batch]) -> list[list[Raw] | Raised]:
    """What a step makes of each batch separately: rows, or the error that it raised.

    A batch that drew random numbers without seeds of its own is DREW.
    """
    found: list[list[Raw] | Raised] = []
    for inputs, seeds in batches:
        if seeds:
            chance(*seeds)()
        before = None if seeds else _drawn()
        try:
            with of_row:
                rows: list[Raw] | Raised = made(step, *inputs)
        except PotstillError:
            raise
        except Exception as error:  # noqa: BLE001 - a recipe's step: its error is the row's reason
            rows = Raised.by(error)
        found.append(DREW if before and _drawn() != before else rows)
    return found


def keep_errors(task: Any) -> None:
    """Make a task keep the error in the row when it cannot parse an answer.

    distilabel itself logs the error and continues with None in every column.
    """
    original = task.format_output

    def format_output(*args: Any, **kwargs: Any) -> dict[str, Any]:
        try:
            columns: dict[str, Any] = original(*args, **kwargs)
        except Exception as error:  # noqa: BLE001 - a recipe's step: its error is the row's reason
            names = [name for name in task.outputs if name != "model_name"]
            raised = Raised.by(error)
            if isinstance(error, Unreadable):
                raised = raised._replace(answer={"answer": args[0]})
            columns = {**dict.fromkeys(names), BROKEN: raised}
        return columns

    object.__setattr__(task, "format_output", format_output)


def chance(*seeds: object) -> Callable[[], None]:
    """A function that reseeds the global random numbers, at each call with the next of a sequence.

    Steps draw from these, `builders.entropy` too; what one row gets must not depend on when it is
    processed among the others. `seeds` are JSON values.
    """
    numbers = itertools.count(int(short_hash(key_json(seeds)), 16))

    def begin() -> None:
        number = next(numbers)
        random.seed(number)
        np.random.seed(number % 2**32)

    return begin


def _drawn() -> tuple[Any, ...]:
    """The state of the global random numbers, which differs once one was drawn."""
    state: Any = np.random.get_state()
    _, words, *places = state
    return random.getstate(), words.tobytes(), *places


async def in_thread(function: Callable[..., Result], *args: Any) -> Result:
    """Run a function in its own daemon thread, for which the end of the build does not wait."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[Result] = loop.create_future()

    def settle(result: Any, error: BaseException | None) -> None:
        if future.done():  # the caller gave up
            return
        if error:
            future.set_exception(error)
        else:
            future.set_result(result)

    def work() -> None:
        result, error = None, None
        try:
            result = function(*args)
        except BaseException as raised:  # noqa: BLE001 - raised again where it is waited for
            error = raised
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits
            loop.call_soon_threadsafe(settle, result, error)

    threading.Thread(target=work, name="step", daemon=True).start()
    return await future


class Processes:
    """Worker processes for a step; each loads it, and all end with the build."""

    def __init__(self, step: Any, seed: object) -> None:
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(["builders.engine.workers", "distilabel.steps.base"])
        self._name = step.name
        try:
            pickled = bytes(ForkingPickler.dumps(step.model_copy(update={"pipeline": None})))
        except Exception as error:  # noqa: BLE001 - pickle raises many types
            raise self._unsendable(error) from None
        # A recipe given as a file is in no package: a process imports it from there.
        files = {name: file for name, file in loaded_files.items() if name.encode() in pickled}
        theirs, self._ours = context.Pipe(duplex=False)
        self._pool = ProcessPoolExecutor(
            step.resources.cpus,
            context,
            initializer=_begin,
            initargs=(theirs, modules_beside.folder, files, pickled, seed),
        )

    def _unsendable(self, error: Exception) -> RecipeError:
        return RecipeError(
            f"step {self._name!r} or its rows cannot be sent to a process ({error}); define "
            "its class at the top of a module, or take its cpus away"
        )

    async def outcomes(self, batches: Sequence[Batch]) -> list[list[Raw] | Raised]:
        """What the step makes of each batch separately.

        Raises:
            RecipeError: The step cannot be sent or loaded, or a process died.
        """
        loop = asyncio.get_running_loop()
        try:
            found = await loop.run_in_executor(self._pool, _apart, batches)
        except BrokenProcessPool:
            raise RecipeError(
                f"a process of step {self._name!r} died, possibly without enough memory; give the "
                "step fewer cpus or smaller batches and build again"
            ) from None
        except Exception as error:  # noqa: BLE001 - pickle raises many types
            raise self._unsendable(error) from None
        if isinstance(found, Raised):
            raise RecipeError(
                f"step {self._name!r} cannot be loaded ({found.why}); fix it and build again"
            )
        return found

    def close(self) -> None:
        """End the processes now, including those that are working."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._ours.close()


_step: Any = None  # in a worker process: the step, or the error that loading it raised


def _begin(
    build: Connection, folder: Path | None, files: Mapping[str, Path], pickled: bytes, seed: object
) -> None:
    """In a worker: load the step, and exit when the build closes its end of the pipe or dies."""
    global _step

    def watch() -> None:
        with contextlib.suppress(EOFError, OSError):
            build.recv_bytes()
        os._exit(1)

    threading.Thread(target=watch, name="build", daemon=True).start()
    try:
        if folder:
            modules_beside.begin(folder)
        for name, file in files.items():
            import_file(name, file)
        step = pickle.loads(pickled)  # noqa: S301 - the step of this build
        chance(seed, step.name)()
        step.load()
        _step = step
    except Exception as error:  # noqa: BLE001 - reported by the build
        _step = Raised.by(error)


def _apart(batches: Sequence[Batch]) -> list[list[Raw] | Raised] | Raised:
    return _step if isinstance(_step, Raised) else outcomes(_step, batches)
