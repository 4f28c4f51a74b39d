"""Routes that transfer large files: Git LFS in both directions, and uploads by Xet.

A signed URL is valid for one repository, one object and one user only.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

from builders.hub_server.commits import is_sha
from builders.hub_server.lfs import MOST_SINGLE, MOST_SIZE, PART, Incoming
from builders.hub_server.request import Body, Request
from builders.hub_server.responses import HttpError, Response, json_response
from builders.hub_server.store import Repo
from builders.hub_server.xet import XetError, XetStore

LIFETIME_S = 6 * 3600
XET_LIFETIME_S = 3600
MOST_OBJECTS = 1000


def batch(request: Request, repo: Repo) -> Response:
    """POST info/lfs/objects/batch: the URLs to upload or download objects."""
    body = request.json()
    operation = body.text("operation")
    objects = body.objects("objects")
    if operation not in ("upload", "download") or len(objects) > MOST_OBJECTS:
        raise HttpError(
            422, f"operation must be upload or download, of at most {MOST_OBJECTS} objects"
        )
    if operation == "upload":
        request.known_user()
    request.readable(repo)
    in_parts = "multipart" in body.texts("transfers")
    found = [_batch_item(request, repo, operation, item, in_parts) for item in objects]
    multi = any("chunk_size" in _header(item) for item in found)
    result = {
        "transfer": "multipart" if multi else "basic",
        "objects": found,
        "hash_algo": "sha256",
    }
    return json_response(result, headers={"Content-Type": "application/vnd.git-lfs+json"})


def _header(item: dict[str, Any]) -> dict[str, str]:
    header: dict[str, str] = item.get("actions", {}).get("upload", {}).get("header", {})
    return header


def _batch_item(
    request: Request, repo: Repo, operation: str, item: Body, in_parts: bool
) -> dict[str, Any]:
    sha, size = item.text("oid", most=256), item.whole("size") or 0
    result: dict[str, Any] = {"oid": sha, "size": size, "authenticated": True}
    if not is_sha(sha) or size > MOST_SIZE:
        return result | {
            "error": {"code": 422, "message": "oid must be a sha256 in lower-case hex"}
        }
    store, lfs = request.hub.store, request.hub.lfs
    if operation == "download":
        held = store.object_size(repo.id, sha)
        if held is None or lfs.size(sha) != held:
            return result | {
                "error": {"code": 404, "message": "This repository has no such object"}
            }
        token = request.hub.signer.sign("download", LIFETIME_S, repo=repo.id, sha=sha)
        href = f"{request.endpoint}/lfs/objects/{sha}?sig={token}"
        return result | {"actions": {"download": {"href": href, "expires_in": LIFETIME_S}}}
    user = request.known_user()
    if store.referable_size(repo, sha, user) == size == lfs.size(sha):
        return result
    claims = {"repo": repo.id, "user": user, "sha": sha, "size": size}
    header = {}
    if in_parts and size > MOST_SINGLE:
        header["chunk_size"] = str(PART)
        for number in range(1, -(-size // PART) + 1):
            token = request.hub.signer.sign("part", LIFETIME_S, number=number, **claims)
            header[str(number)] = f"{request.endpoint}/lfs/parts/{sha}/{number}?sig={token}"
        token = request.hub.signer.sign("complete", LIFETIME_S, **claims)
        href = f"{request.endpoint}/lfs/complete/{sha}?sig={token}"
    else:
        token = request.hub.signer.sign("upload", LIFETIME_S, **claims)
        href = f"{request.endpoint}/lfs/objects/{sha}?sig={token}"
    upload = {"href": href, "header": header, "expires_in": LIFETIME_S}
    checked = {"href": f"{request.url(repo)}.git/info/lfs/verify"}
    return result | {"actions": {"upload": upload, "verify": checked}}


def verify(request: Request, repo: Repo) -> Response:
    """POST info/lfs/verify: succeeds if the object was uploaded."""
    user = request.known_user()
    request.readable(repo)
    body = request.json()
    sha, size = body.text("oid", most=64), body.whole("size")
    if not is_sha(sha) or request.hub.store.referable_size(repo, sha, user) != size:
        raise HttpError(404, f"The object {sha} was not uploaded")
    return json_response({})


def _verified_claims(request: Request, purpose: str, sha: str) -> dict[str, Any]:
    claims = request.hub.signer.verify(purpose, request.first("sig"))
    if claims["sha"] != sha or request.hub.store.repo_by_id(claims["repo"]) is None:
        raise HttpError(403, "This URL belongs to another object or repository")
    return claims


def open_upload(request: Request) -> tuple[Incoming, dict[str, Any]]:
    """Start the upload that a PUT's signed URL allows; also returns the claims of the URL."""
    lfs = request.hub.lfs
    if request.parts[1] == "objects" and len(request.parts) == 3:
        claims = _verified_claims(request, "upload", request.parts[2])
        return lfs.incoming(claims["sha"], claims["size"]), claims
    if request.parts[1] == "parts" and len(request.parts) == 4:
        claims = _verified_claims(request, "part", request.parts[2])
        if str(claims["number"]) == request.parts[3]:
            return lfs.incoming_part(_upload_id(claims), claims["number"], claims["size"]), claims
    raise HttpError(404, "There is no such upload")


def finish_upload(request: Request, incoming: Incoming, claims: dict[str, Any]) -> Response:
    """Store an uploaded object or part, and record who uploaded an object."""
    sha = incoming.keep()
    if "number" not in claims:
        _record_upload(request, claims)
    return Response(headers={"ETag": f'"{sha}"'})


def complete(request: Request, sha: str) -> Response:
    """POST lfs/complete: assemble an object that was uploaded in parts."""
    claims = _verified_claims(request, "complete", sha)
    if request.hub.lfs.size(sha) != claims["size"]:
        request.hub.lfs.assemble(_upload_id(claims), sha, claims["size"])
    elif (
        request.hub.store.row(
            "select 1 from object where repo = ? and sha = ? and account = ?",
            *(claims["repo"], sha, claims["user"]),
        )
        is None
    ):
        # The object exists, but this user must still prove to have its bytes.
        request.hub.lfs.assemble(_upload_id(claims), sha, claims["size"])
    _record_upload(request, claims)
    return json_response({"success": True})


def _record_upload(request: Request, claims: dict[str, Any]) -> None:
    if request.hub.store.repo_by_id(claims["repo"]) is None:
        raise HttpError(404, "The repository was deleted meanwhile", "RepoNotFound")
    request.hub.store.record_upload(claims["repo"], claims["sha"], claims["user"], claims["size"])
    # Another repository's deletion may have removed the bytes just before they were recorded.
    if request.hub.lfs.size(claims["sha"]) != claims["size"]:
        raise HttpError(409, "The object was deleted meanwhile; upload it again")


def _upload_id(claims: dict[str, Any]) -> str:
    """The id of an upload in parts: one per repository, user and object."""
    identity = f"{claims['repo']} {claims['user']} {claims['sha']} {claims['size']}"
    return hashlib.sha256(identity.encode()).hexdigest()[:32]


def download(request: Request, sha: str) -> Response:
    """GET lfs/objects: an object by a signed URL."""
    from builders.hub_server.download import range_response

    claims = _verified_claims(request, "download", sha)
    size = request.hub.store.object_size(claims["repo"], sha)
    if size is None:
        raise HttpError(404, "This repository has no such object")
    return range_response(request, {"ETag": f'"{sha}"'}, size, path=request.hub.lfs.path(sha))


def xet_token(request: Request, repo: Repo, right: str) -> Response:
    """GET xet-write-token; there are no tokens for reading, since downloads use plain HTTP."""
    if right != "write":
        raise HttpError(404, "Downloads use plain HTTP here", "EntryNotFound")
    user = request.known_user()
    request.readable(repo)
    # Clients cache by this URL which chunks they have sent: one URL per data folder and user.
    space = hashlib.sha256(f"{request.hub.instance_id} {user.lower()}".encode()).hexdigest()[:24]
    token = request.hub.signer.sign("xet", XET_LIFETIME_S, repo=repo.id, user=user, space=space)
    until = request.hub.signer.verify("xet", token)["until"]
    url = f"{request.endpoint}/xet/{space}"
    headers = {
        "X-Xet-Cas-Url": url,
        "X-Xet-Access-Token": token,
        "X-Xet-Token-Expiration": str(until),
    }
    return json_response({"accessToken": token, "exp": until, "casUrl": url}, headers=headers)


def xet(request: Request) -> Response:
    """The routes of the content-addressed store, below /xet/<space>."""
    space, route = request.parts[1], list(request.parts[2:])
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer":
        raise HttpError(401, "A Xet token is required")
    claims = request.hub.signer.verify("xet", token.strip())
    if claims["space"] != space:
        raise HttpError(403, "This token belongs to another store")
    store = request.hub.xet.get(
        space
    )  # no lock: the application runs one request to these routes at a time
    if store is None:
        store = request.hub.xet[space] = XetStore(request.hub.data / "xet" / space)
    try:
        if request.method == "POST" and len(route) == 4 and route[:3] == ["v1", "xorbs", "default"]:
            return json_response({"was_inserted": store.put_xorb(route[3], request.body)})
        if request.method == "POST" and route == ["v1", "shards"]:

            def store_file(sha: str, chunks: Iterator[bytes]) -> None:
                request.hub.lfs.put(sha, chunks)

            for _, sha, size in store.put_shard(request.body, store_file):
                _record_upload(request, {**claims, "sha": sha, "size": size})
            return json_response({"result": 1})
    except XetError as error:
        raise HttpError(400, f"Xet: {error}") from None
    raise HttpError(404, "There is no such route; chunks are not deduplicated")
