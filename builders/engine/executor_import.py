"""Imports the executor, and distilabel with it, when the first pipeline is run."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from builders.engine.executor import Execution


def in_parts(pipeline: Callable[..., Any], *, rebuilt: bool) -> Callable[..., Any]:
    """A recipe's pipeline, which raises RecipeError where it cannot be run part by part.

    `rebuilt` is as in `check_part`.
    """

    @wraps(pipeline)
    def checked(*teach: Any, **options: Any) -> Any:
        from builders.engine.graph import check_part

        line = pipeline(*teach, **options)
        check_part(line, rebuilt=rebuilt)
        return line

    return checked


def imported_executor() -> type[Execution]:
    """The executor; the import of 2,000 modules is made as fast and quiet as possible."""
    if "builders.engine.executor" in sys.modules:
        from builders.engine.executor import Execution

        return Execution
    import rich.traceback

    # distilabel installs tracebacks that print all variables, keys included, in a notebook too.
    install, rich.traceback.install = rich.traceback.install, lambda **_: sys.excepthook
    gc.disable()  # 2,000 modules free nothing yet; collecting takes a fifth of the time
    try:
        import builders.engine.workers  # noqa: F401 - silences a warning of distilabel's import
        from builders.engine.executor import Execution
    finally:
        gc.enable()
        rich.traceback.install = install
    gc.freeze()  # once: what a later build leaves behind must be collected
    return Execution
