"""Routes that read files: resolve, with ranges, and git clone and fetch by upload-pack."""

from __future__ import annotations

import gzip
import mimetypes
import os
import subprocess
import tempfile
import zlib
from collections.abc import Generator
from pathlib import Path
from typing import IO
from urllib.parse import quote

from builders.hub_server import git
from builders.hub_server.request import Request, checked_path
from builders.hub_server.responses import HttpError, Response, entry_not_found
from builders.hub_server.store import Repo

MOST_FETCH = 16 * 1024 * 1024
"""The most bytes of a git client's list of the objects to fetch and of those it has."""

GIT = ("git", "-c", "safe.directory=*", "upload-pack", "--strict", "--stateless-rpc")


def resolve(request: Request, repo: Repo, revision: str, path: str) -> Response:
    """GET or HEAD resolve: a file at a revision."""
    request.readable(repo)
    git_repo = request.hub.git.open(repo.id)
    commit = git.find(git_repo, revision)
    commit_id = str(commit.id)
    try:
        found = git.entry(commit, checked_path(path))
    except HttpError:
        found = None
    if found is None or found.type_str != "blob":
        raise entry_not_found(commit_id)
    size, lfs = git.blob_info(git_repo, found.id)
    name = path.rpartition("/")[2]
    guessed = mimetypes.guess_type(name)[0] or "text/plain"
    # No file of a repository may be shown as a web page of this server's origin.
    is_media = guessed.startswith(("image/p", "image/j", "image/w", "audio/", "video/"))
    is_text = guessed.startswith("text/") or guessed == "application/json"
    headers = {
        "X-Repo-Commit": commit_id,
        "Content-Disposition": f"inline; filename*=UTF-8''{quote(name, safe='')}",
        "Content-Type": guessed
        if is_media
        else ("text/plain; charset=utf-8" if is_text else "application/octet-stream"),
        "X-Content-Type-Options": "nosniff",
    }
    if lfs is not None:
        sha, object_size = lfs
        # A pointer to an object that this repository never had is an ordinary text file.
        if request.hub.store.object_size(repo.id, sha) == object_size:
            headers |= {"ETag": f'"{sha}"', "X-Linked-ETag": f'"{sha}"'}
            headers["X-Linked-Size"] = str(object_size)
            return range_response(request, headers, object_size, path=request.hub.lfs.path(sha))
    headers["ETag"] = f'"{found.id}"'
    if request.method == "HEAD":
        return range_response(request, headers, size)
    return range_response(request, headers, size, content=found.data)


def range_response(
    request: Request,
    headers: dict[str, str],
    size: int,
    *,
    content: bytes = b"",
    path: Path | None = None,
) -> Response:
    """The content, or the range of it that is requested; 304 if the client has it cached.

    The content is in memory (`content`) or in a file (`path`), and has `size` bytes.
    """
    headers = {**headers, "Accept-Ranges": "bytes"}
    cached = request.headers.get("if-none-match")
    if cached is not None and (cached.strip() == "*" or headers["ETag"] in cached):
        return Response(status=304, headers=headers)
    first, last = _byte_range(request.headers.get("range", ""), size)
    if request.headers.get("if-range", headers["ETag"]) != headers["ETag"]:
        first, last = None, None
    if first is None:
        start, length, status = 0, size, 200
    elif last is None or first > last:
        raise HttpError(
            416,
            "The range is outside the file",
            "",
            {
                **{key: headers[key] for key in headers if key.startswith("X-")},
                "Content-Range": f"bytes */{size}",
            },
        )
    else:
        start, length, status = first, last - first + 1, 206
        headers["Content-Range"] = f"bytes {first}-{last}/{size}"
    headers["Content-Length"] = str(length)
    if path is not None:
        return Response(status=status, headers=headers, file=(path, start, length))
    return Response(status=status, headers=headers, body=content[start : start + length])


def _byte_range(header: str, size: int) -> tuple[int | None, int | None]:
    """The first and last byte of a Range header.

    (None, None) means the whole file, (0, None) a range outside the file.
    """
    unit, _, spec = header.partition("=")
    left, dash, right = spec.strip().partition("-")
    digits = all(text == "" or (text.isascii() and text.isdigit()) for text in (left, right))
    if unit.strip() != "bytes" or not dash or not digits or "," in spec or len(spec) > 40:
        return None, None
    if left:
        first = int(left)
        last = min(int(right), size - 1) if right else size - 1
        if right and int(right) < first:
            return None, None
        return (first, last) if first < size else (0, None)
    if not right:
        return None, None
    return (max(0, size - int(right)), size - 1) if int(right) and size else (0, None)


def advertise(request: Request, repo: Repo) -> Response:
    """GET info/refs: the references, in git's smart protocol."""
    request.readable(repo)
    if request.first("service") != "git-upload-pack":
        raise HttpError(403, "Only fetching works by git; push through the Hub's API")
    refs = subprocess.run(
        [*GIT, "--http-backend-info-refs", str(request.hub.git.path(repo.id))],
        env=_environment(request),
        capture_output=True,
        check=True,
        timeout=60,
    ).stdout
    first = b"" if b"version=2" in _protocol(request) else b"001e# service=git-upload-pack\n0000"
    return Response(
        headers={
            "Content-Type": "application/x-git-upload-pack-advertisement",
            "Cache-Control": "no-cache",
        },
        body=first + refs,
    )


def upload_pack(request: Request, repo: Repo) -> Response:
    """POST git-upload-pack: the objects that a clone or a fetch needs."""
    request.readable(repo)
    body = request.body
    if request.headers.get("content-encoding") in ("gzip", "x-gzip"):
        body = _decompressed(body)
    # Not a pipe: git would block on writing its output while the server still writes its input.
    request_file = tempfile.TemporaryFile()  # noqa: SIM115
    request_file.write(body)
    request_file.seek(0)
    command = [*GIT, str(request.hub.git.path(repo.id))]
    return Response(
        headers={
            "Content-Type": "application/x-git-upload-pack-result",
            "Cache-Control": "no-cache",
        },
        stream=_pack(command, _environment(request), request_file),
    )


def _decompressed(body: bytes) -> bytes:
    decompressor = zlib.decompressobj(16 + zlib.MAX_WBITS)
    try:
        decompressed = decompressor.decompress(body, MOST_FETCH)
    except (zlib.error, gzip.BadGzipFile):
        raise HttpError(400, "The body is not gzip") from None
    if decompressor.unconsumed_tail:
        raise HttpError(413, f"The body of a fetch may have at most {MOST_FETCH} bytes")
    return decompressed


def _pack(command: list[str], env: dict[str, str], request_file: IO[bytes]) -> Generator[bytes]:
    with request_file:
        process = subprocess.Popen(
            command, env=env, stdin=request_file, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        assert process.stdout is not None
        try:
            while chunk := process.stdout.read1(1 << 16):  # type: ignore[attr-defined]
                yield chunk
        finally:
            process.stdout.close()
            process.kill()
            process.wait()


def _protocol(request: Request) -> bytes:
    return request.headers.get("git-protocol", "").encode("ascii", "ignore")


def _environment(request: Request) -> dict[str, str]:
    """The environment of git: where its programs are, and nothing else of this process's own."""
    protocol = _protocol(request).decode()
    kept = {key: os.environ[key] for key in ("PATH", "LD_LIBRARY_PATH") if key in os.environ}
    settings = {"GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": os.devnull, "LC_ALL": "C"}
    if protocol in ("version=1", "version=2"):
        settings["GIT_PROTOCOL"] = protocol
    return {**kept, **settings}
