"""Large objects by their sha256: written to a temporary file, checked, then named.

A file under objects/ is whole or it is not there. Addresses for upload and download are signed,
since the clients send no token there.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
import secrets
import shutil
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from builders.hub_server.responses import HttpError

PART = 8 * 1024 * 1024
MOST_SINGLE = 2 * PART
"""Larger objects are uploaded in parts."""
MOST_SIZE = 1 << 40


class Incoming:
    """Bytes on their way in; `keep` names them if they are what was announced."""

    def __init__(self, temporary: Path, target: Path, sha: str | None, size: int | None) -> None:
        self._temporary = temporary
        self._target = target
        self._expected_sha = sha
        self._expected_size = size
        self._hash = hashlib.sha256()
        self._file = temporary.open("xb")
        self.size = 0

    def write(self, chunk: bytes) -> None:
        """Take a chunk; refuses what goes over the announced size."""
        self.size += len(chunk)
        if self._expected_size is not None and self.size > self._expected_size:
            raise HttpError(
                400, f"The body is longer than the announced {self._expected_size} bytes"
            )
        self._hash.update(chunk)
        self._file.write(chunk)

    def keep(self) -> str:
        """Name the bytes and give their sha256; refuses if they are not those announced."""
        sha = self._hash.hexdigest()
        if self._expected_size is not None and self.size != self._expected_size:
            raise HttpError(
                400, f"The body has {self.size} bytes, not the announced {self._expected_size}"
            )
        if self._expected_sha is not None and sha != self._expected_sha:
            raise HttpError(
                400, f"The body's sha256 is {sha}, not the announced {self._expected_sha}"
            )
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        self._target.parent.mkdir(parents=True, exist_ok=True)
        self._temporary.replace(self._target)
        return sha

    def discard(self) -> None:
        """Forget what came, unless it was kept."""
        self._file.close()
        self._temporary.unlink(missing_ok=True)


class Lfs:
    """The folder of objects."""

    def __init__(self, folder: Path) -> None:
        self._objects = folder / "objects"
        self._temporary = folder / "incoming"
        self._parts = folder / "parts"
        # What a killed server left half written is nobody's.
        for unfinished in (self._temporary, self._parts):
            shutil.rmtree(unfinished, ignore_errors=True)
            unfinished.mkdir(parents=True)
        self._objects.mkdir(exist_ok=True)

    def path(self, sha: str) -> Path:
        """Where an object lies, if it does."""
        return self._objects / sha[:2] / sha[2:4] / sha

    def size(self, sha: str) -> int | None:
        """An object's size, None if it is not here."""
        try:
            return self.path(sha).stat().st_size
        except FileNotFoundError:
            return None

    def remove(self, sha: str) -> None:
        """Delete an object's bytes."""
        self.path(sha).unlink(missing_ok=True)

    def shas(self) -> list[str]:
        """All objects that lie here."""
        return [path.name for path in self._objects.glob("??/??/*")]

    def incoming(self, sha: str, size: int | None) -> Incoming:
        """A place for an object's bytes."""
        return Incoming(self._temporary / secrets.token_hex(12), self.path(sha), sha, size)

    def incoming_part(self, upload: str, number: int, size: int) -> Incoming:
        """A place for a part of an upload of `size` bytes; a part sent again replaces the first."""
        target = self._parts / upload / f"{number:06d}"
        expected = min(PART, size - (number - 1) * PART)
        return Incoming(self._temporary / secrets.token_hex(12), target, None, expected)

    def assemble(self, upload: str, sha: str, size: int) -> None:
        """One object from the parts of an upload, which are forgotten then.

        Raises:
            Refused: A part is missing, or the whole is not what was announced.
        """
        folder = self._parts / upload
        wanted = [folder / f"{number:06d}" for number in range(1, -(-size // PART) + 1)]
        if missing := [path for path in wanted if not path.exists()]:
            raise HttpError(400, f"Part {int(missing[0].name)} of the upload is missing")

        def chunks() -> Iterable[bytes]:
            for path in wanted:
                with path.open("rb") as part:
                    while chunk := part.read(1 << 20):
                        yield chunk

        self.put(sha, chunks(), size)
        shutil.rmtree(folder, ignore_errors=True)

    def put(self, sha: str, chunks: Iterable[bytes], size: int | None = None) -> int:
        """Store an object from its chunks; its size.

        Raises:
            Refused: The chunks are not what the sha256 says.
        """
        incoming = self.incoming(sha, size)
        try:
            for chunk in chunks:
                incoming.write(chunk)
            incoming.keep()
        finally:
            incoming.discard()
        return incoming.size


class Signer:
    """Short-lived words that only this server can have written: signed addresses and tokens."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def sign(self, purpose: str, lifetime_s: float, **claims: Any) -> str:
        """The facts, sealed for one purpose and some time."""
        body = json.dumps({**claims, "for": purpose, "until": int(time.time() + lifetime_s)})
        text = base64.urlsafe_b64encode(body.encode()).decode().rstrip("=")
        return f"{text}.{self._mac(text)}"

    def verify(self, purpose: str, token: str) -> dict[str, Any]:
        """The facts of a sealed word.

        Raises:
            Refused: Not signed by this server, for something else, or too old.
        """
        text, _, mac = token.partition(".")
        if hmac.compare_digest(self._mac(text).encode(), mac.encode("utf-8", "replace")):
            claims: dict[str, Any] = json.loads(base64.urlsafe_b64decode(text + "=" * 3))
            if claims["for"] == purpose and claims["until"] >= time.time():
                return claims
        raise HttpError(403, "This address is not signed, or is too old; ask for a new one")

    def _mac(self, text: str) -> str:
        return hmac.new(self._key, text.encode("utf-8", "replace"), hashlib.sha256).hexdigest()
