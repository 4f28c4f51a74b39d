"""A rename that survives a power cut: the content is on the disk before it, the name after it."""

from __future__ import annotations

import errno
import os
from pathlib import Path


def durably_rename(new: Path, path: Path) -> None:
    """Rename a file, or a folder with all that is in it, to `path`; a file there is replaced.

    Raises:
        OSError: The disk fails, or a folder there is not empty; `path` is as it was.
    """
    for folder, _, names in os.walk(new, topdown=False):
        for name in names:
            sync(Path(folder, name))
        sync(Path(folder))
    if not new.is_dir():
        sync(new)
    new.rename(path)
    sync(path.parent)


def sync(path: Path) -> None:
    """Wait until a file's content, or a folder's names, are on the disk."""
    file = os.open(path, os.O_RDONLY)
    try:
        os.fsync(file)
    except OSError as error:
        if error.errno != errno.EINVAL:  # a file system without such a call, as some of networks
            raise
    finally:
        os.close(file)
