"""The folder of LFS objects by their sha256, and the signed URLs that give access to them.

An object is written to a temporary file, checked, then renamed, so that every file in objects/ is
complete. URLs for upload and download are signed, since clients send no token with them.
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
"""Objects of more bytes are uploaded in parts of `PART` bytes."""
MOST_SIZE = 1 << 40


class Incoming:
    """An upload into a temporary file, which `keep` moves into place if it is as expected."""

    def __init__(self, temporary: Path, target: Path, sha: str | None, size: int | None) -> None:
        self._temporary = temporary
        self._target = target
        self._expected_sha = sha
        self._expected_size = size
        self._hash = hashlib.sha256()
        self._file = temporary.open("xb")
        self.size = 0

    def write(self, chunk: bytes) -> None:
        """Append a chunk; raises once there are more bytes than expected."""
        self.size += len(chunk)
        if self._expected_size is not None and self.size > self._expected_size:
            raise HttpError(
                400, f"The body is longer than the expected {self._expected_size} bytes"
            )
        self._hash.update(chunk)
        self._file.write(chunk)

    def keep(self) -> str:
        """Move the file into place and return its sha256; raises if it is not what was expected."""
        sha = self._hash.hexdigest()
        if self._expected_size is not None and self.size != self._expected_size:
            raise HttpError(
                400, f"The body has {self.size} bytes, not the expected {self._expected_size}"
            )
        if self._expected_sha is not None and sha != self._expected_sha:
            raise HttpError(
                400, f"The body's sha256 is {sha}, not the expected {self._expected_sha}"
            )
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        self._target.parent.mkdir(parents=True, exist_ok=True)
        self._temporary.replace(self._target)
        return sha

    def discard(self) -> None:
        """Delete the temporary file, unless it was kept."""
        self._file.close()
        self._temporary.unlink(missing_ok=True)


class Lfs:
    """The folder of objects, with its folders of unfinished uploads and parts."""

    def __init__(self, folder: Path) -> None:
        self._objects = folder / "objects"
        self._temporary = folder / "incoming"
        self._parts = folder / "parts"
        # A killed server may have left unfinished files, which no upload continues.
        for unfinished in (self._temporary, self._parts):
            shutil.rmtree(unfinished, ignore_errors=True)
            unfinished.mkdir(parents=True)
        self._objects.mkdir(exist_ok=True)

    def path(self, sha: str) -> Path:
        """The path of an object, which need not exist."""
        return self._objects / sha[:2] / sha[2:4] / sha

    def size(self, sha: str) -> int | None:
        """An object's size in bytes; None if it is missing."""
        try:
            return self.path(sha).stat().st_size
        except FileNotFoundError:
            return None

    def remove(self, sha: str) -> None:
        """Delete an object if it exists."""
        self.path(sha).unlink(missing_ok=True)

    def shas(self) -> list[str]:
        """The sha256 of every object."""
        return [path.name for path in self._objects.glob("??/??/*")]

    def incoming(self, sha: str, size: int | None) -> Incoming:
        """Start the upload of an object; `size` is None if it is not known in advance."""
        return Incoming(self._temporary / secrets.token_hex(12), self.path(sha), sha, size)

    def incoming_part(self, upload: str, number: int, size: int) -> Incoming:
        """Start one part of an upload of `size` bytes in all; a part sent again is replaced."""
        target = self._parts / upload / f"{number:06d}"
        expected = min(PART, size - (number - 1) * PART)
        return Incoming(self._temporary / secrets.token_hex(12), target, None, expected)

    def assemble(self, upload: str, sha: str, size: int) -> None:
        """Store an object from the parts of an upload, and delete the parts.

        Raises:
            HttpError: A part is missing, or the object does not have this sha256 and size.
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
        """Store an object from its chunks and return its size in bytes.

        Raises:
            HttpError: The chunks do not have this sha256, or not the given size.
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
    """Signs short-lived tokens, which authorise URLs and Xet uploads, and verifies them."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def sign(self, purpose: str, lifetime_s: float, **claims: Any) -> str:
        """A token with these claims, valid for one purpose and `lifetime_s` seconds."""
        body = json.dumps({**claims, "for": purpose, "until": int(time.time() + lifetime_s)})
        text = base64.urlsafe_b64encode(body.encode()).decode().rstrip("=")
        return f"{text}.{self._mac(text)}"

    def verify(self, purpose: str, token: str) -> dict[str, Any]:
        """The claims of a token.

        Raises:
            HttpError: 403, this server did not sign it, it has another purpose, or it expired.
        """
        text, _, mac = token.partition(".")
        if hmac.compare_digest(self._mac(text).encode(), mac.encode("utf-8", "replace")):
            claims: dict[str, Any] = json.loads(base64.urlsafe_b64decode(text + "=" * 3))
            if claims["for"] == purpose and claims["until"] >= time.time():
                return claims
        raise HttpError(403, "This URL is not signed or has expired; request a new one")

    def _mac(self, text: str) -> str:
        return hmac.new(self._key, text.encode("utf-8", "replace"), hashlib.sha256).hexdigest()
