"""From a draft to a folder that equals a version on the Hub: snapshot, card, diff, verification.

The room can be called: `builders.release(draft, to)` is part of the public API, and the name of a
package's function is lost to a room of the same name as soon as the room is imported.
"""

from __future__ import annotations

import sys
import warnings
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from builders.drafting.draft import Draft


class _Room(ModuleType):
    def __call__(self, draft: Draft, to: str | Path) -> Path:
        """Release a draft as a folder that `load_dataset` reads; nothing changes where it is one.

        It warns where the texts are in other languages than the set declares.

        Raises:
            InputError: The card, a licence, a size or the version does not allow it, or the draft
                was opened without its recipe.
            FolderError: No room, no right, or another release is there; `to` is as it was.
        """
        from builders.drafting.draft import Draft
        from builders.errors import InputError, file_errors_in_one_line, shortened
        from builders.recipe import named, path
        from builders.release.folder import release

        if not isinstance(draft, Draft):
            raise InputError(f"draft: {shortened(draft)} is not a Draft; `build` gives one")
        with named("to"):
            folder = path(to)
        with file_errors_in_one_line():
            release(draft, draft.schemas, folder, notify=warnings.warn)
        return folder


sys.modules[__name__].__class__ = _Room
