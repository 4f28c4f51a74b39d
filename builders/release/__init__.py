"""From a draft to a folder that equals a version on the Hub: snapshot, card, diff, verification.

The room can be called: `builders.release(draft, to)` is part of the public API, and the name of a
package's function is lost to a room of the same name as soon as the room is imported.
"""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from builders.drafting.draft import Draft


class _Room(ModuleType):
    def __call__(self, draft: Draft, to: str | Path) -> Path:
        """Release a draft as a folder that `load_dataset` reads; nothing changes where it is one.

        Raises:
            InputError: The card, a licence, a size or the version does not allow it, or the draft
                was opened without its recipe.
            FolderError: No room, no right, or another release is there; `to` is as it was.
        """
        from builders.release.folder import release

        release(draft, draft.schemas, Path(to))
        return Path(to)


sys.modules[__name__].__class__ = _Room
