"""A list of values on disk, for what a build makes by the million: memory holds only its index."""

from __future__ import annotations

import os
import pickle
import tempfile
import weakref
from array import array
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Generic, TypeVar

from builders.errors import RecipeError, folder_error

Value = TypeVar("Value")
_BUFFER = 1_000_000  # bytes


class Spool(Generic[Value]):
    """Values in a file that has no name, so that even a killed process leaves nothing behind.

    What comes out is a copy: a changed value is stored by `spool[place] = value`.

    Raises:
        FolderError: No room or no permission to write in `folder`.
        RecipeError: A value holds what cannot be stored, such as a generator or a lock.
    """

    def __init__(self, folder: Path, values: Iterable[Value] = ()) -> None:
        self.folder = folder
        self._starts, self._sizes = array("Q"), array("Q")
        self._end = 0
        self._unwritten = bytearray()
        try:
            file = tempfile.TemporaryFile(dir=folder, buffering=0)  # noqa: SIM115 - closed below
        except OSError as error:
            raise folder_error(error, folder) from None
        self._file = file.fileno()
        self.close = weakref.finalize(self, file.close)
        for value in values:
            self.append(value)

    def __len__(self) -> int:
        return len(self._starts)

    def append(self, value: Value) -> None:
        """Add a value at the end."""
        self._starts.append(self._end)
        self._sizes.append(self._write(value))

    def __setitem__(self, place: int, value: Value) -> None:
        self._starts[place] = self._end
        self._sizes[place] = self._write(value)

    def __getitem__(self, place: int) -> Value:
        self._flush()
        return self._read(place)

    def __iter__(self) -> Iterator[Value]:
        for place in range(len(self)):
            self._flush()
            yield self._read(place)

    def reorder(self, places: Iterable[int]) -> None:
        """Put the values in another order: first the one at the first of `places`, and so on."""
        order = array("Q", places)
        self._starts = array("Q", map(self._starts.__getitem__, order))
        self._sizes = array("Q", map(self._sizes.__getitem__, order))

    def _write(self, value: Value) -> int:
        try:
            data = pickle.dumps(value, pickle.HIGHEST_PROTOCOL)
        except Exception as error:  # noqa: BLE001 - pickle raises many types
            raise RecipeError(
                f"a row holds what cannot be stored ({error}); give plain values in its columns"
            ) from None
        self._unwritten += data
        self._end += len(data)
        if len(self._unwritten) > _BUFFER:
            self._flush()
        return len(data)

    def _flush(self) -> None:
        try:
            while self._unwritten:
                del self._unwritten[: os.write(self._file, self._unwritten)]
        except OSError as error:
            raise folder_error(error, self.folder) from None

    def _read(self, place: int) -> Value:
        data = os.pread(self._file, self._sizes[place], self._starts[place])
        value: Value = pickle.loads(data)  # noqa: S301 - written by this process
        return value
