"""Routes by which large bytes come in and go out: LFS batches, and Xet's upload half.

An address is signed for one repository, object and user; it opens nothing else.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

from builders.hub_server.commits import is_sha
from builders.hub_server.lfs import MOST_SINGLE, MOST_SIZE, PART, Incoming
from builders.hub_server.request import Body, Request
from builders.hub_server.responses import Refused, Response, as_json
from builders.hub_server.store import Repo
from builders.hub_server.xet import XetError, XetStore

LIFETIME_S = 6 * 3600
XET_LIFETIME_S = 3600
MOST_OBJECTS = 1000


def batch(call: Request, repo: Repo) -> Response:
    """POST info/lfs/objects/batch, for uploads and downloads."""
    body = call.json()
    operation = body.text("operation")
    objects = body.objects("objects")
    if operation not in ("upload", "download") or len(objects) > MOST_OBJECTS:
        raise Refused(422, f"An operation must be upload or download, of {MOST_OBJECTS} objects")
    if operation == "upload":
        call.known_user()
    call.content(repo)
    in_parts = "multipart" in body.texts("transfers")
    found = [_offered(call, repo, operation, item, in_parts) for item in objects]
    multi = any("chunk_size" in _header(item) for item in found)
    answer = {
        "transfer": "multipart" if multi else "basic",
        "objects": found,
        "hash_algo": "sha256",
    }
    return as_json(answer, headers={"Content-Type": "application/vnd.git-lfs+json"})


def _header(item: dict[str, Any]) -> dict[str, str]:
    header: dict[str, str] = item.get("actions", {}).get("upload", {}).get("header", {})
    return header


def _offered(
    call: Request, repo: Repo, operation: str, item: Body, in_parts: bool
) -> dict[str, Any]:
    sha, size = item.text("oid", most=256), item.whole("size") or 0
    told: dict[str, Any] = {"oid": sha, "size": size, "authenticated": True}
    if not is_sha(sha) or size > MOST_SIZE:
        return told | {"error": {"code": 422, "message": "oid must be a sha256 in lower-case hex"}}
    store, lfs = call.hub.store, call.hub.lfs
    if operation == "download":
        held = store.holds(repo.id, sha)
        if held is None or lfs.size(sha) != held:
            return told | {"error": {"code": 404, "message": "This repository has no such object"}}
        word = call.hub.seal.sign("download", LIFETIME_S, repo=repo.id, sha=sha)
        href = f"{call.endpoint}/lfs/objects/{sha}?sig={word}"
        return told | {"actions": {"download": {"href": href, "expires_in": LIFETIME_S}}}
    user = call.known_user()
    if store.may_refer(repo, sha, user) == size == lfs.size(sha):
        return told
    facts = {"repo": repo.id, "user": user, "sha": sha, "size": size}
    header = {}
    if in_parts and size > MOST_SINGLE:
        header["chunk_size"] = str(PART)
        for number in range(1, -(-size // PART) + 1):
            word = call.hub.seal.sign("part", LIFETIME_S, number=number, **facts)
            header[str(number)] = f"{call.endpoint}/lfs/parts/{sha}/{number}?sig={word}"
        word = call.hub.seal.sign("complete", LIFETIME_S, **facts)
        href = f"{call.endpoint}/lfs/complete/{sha}?sig={word}"
    else:
        word = call.hub.seal.sign("upload", LIFETIME_S, **facts)
        href = f"{call.endpoint}/lfs/objects/{sha}?sig={word}"
    upload = {"href": href, "header": header, "expires_in": LIFETIME_S}
    checked = {"href": f"{call.url(repo)}.git/info/lfs/verify"}
    return told | {"actions": {"upload": upload, "verify": checked}}


def verify(call: Request, repo: Repo) -> Response:
    """POST verify: whether the object has arrived."""
    user = call.known_user()
    call.content(repo)
    body = call.json()
    sha, size = body.text("oid", most=64), body.whole("size")
    if not is_sha(sha) or call.hub.store.may_refer(repo, sha, user) != size:
        raise Refused(404, f"The object {sha} has not arrived")
    return as_json({})


def _opened(call: Request, purpose: str, sha: str) -> dict[str, Any]:
    facts = call.hub.seal.open(purpose, call.first("sig"))
    if facts["sha"] != sha or call.hub.store.repo_by_id(facts["repo"]) is None:
        raise Refused(403, "This address belongs to another object or repository")
    return facts


def receive(call: Request) -> tuple[Incoming, dict[str, Any]]:
    """PUT of an object or a part: a place for the bytes that follow, and what was signed."""
    lfs = call.hub.lfs
    if call.parts[1] == "objects" and len(call.parts) == 3:
        facts = _opened(call, "upload", call.parts[2])
        return lfs.incoming(facts["sha"], facts["size"]), facts
    if call.parts[1] == "parts" and len(call.parts) == 4:
        facts = _opened(call, "part", call.parts[2])
        if str(facts["number"]) == call.parts[3]:
            return lfs.incoming_part(_upload(facts), facts["number"], facts["size"]), facts
    raise Refused(404, "There is no such upload")


def received(call: Request, incoming: Incoming, facts: dict[str, Any]) -> Response:
    """The bytes are here: name them and note who brought them."""
    sha = incoming.keep()
    if "number" not in facts:
        _note(call, facts)
    return Response(headers={"ETag": f'"{sha}"'})


def complete(call: Request, sha: str) -> Response:
    """POST completion of an upload in parts."""
    facts = _opened(call, "complete", sha)
    if call.hub.lfs.size(sha) != facts["size"]:
        call.hub.lfs.assemble(_upload(facts), sha, facts["size"])
    elif (
        call.hub.store.row(
            "select 1 from object where repo = ? and sha = ? and account = ?",
            *(facts["repo"], sha, facts["user"]),
        )
        is None
    ):
        # Somebody else's object is here already; these bytes have to be shown all the same.
        call.hub.lfs.assemble(_upload(facts), sha, facts["size"])
    _note(call, facts)
    return as_json({"success": True})


def _note(call: Request, facts: dict[str, Any]) -> None:
    if call.hub.store.repo_by_id(facts["repo"]) is None:
        raise Refused(404, "The repository was deleted meanwhile", "RepoNotFound")
    call.hub.store.hold(facts["repo"], facts["sha"], facts["user"], facts["size"])
    # A deletion of the last other holder may have come first.
    if call.hub.lfs.size(facts["sha"]) != facts["size"]:
        raise Refused(409, "The object was deleted meanwhile; upload it again")


def _upload(facts: dict[str, Any]) -> str:
    """One name for all parts of one user's upload of an object to a repository."""
    said = f"{facts['repo']} {facts['user']} {facts['sha']} {facts['size']}"
    return hashlib.sha256(said.encode()).hexdigest()[:32]


def download(call: Request, sha: str) -> Response:
    """GET an object by a signed address."""
    from builders.hub_server.download import ranged

    facts = _opened(call, "download", sha)
    size = call.hub.store.holds(facts["repo"], sha)
    if size is None:
        raise Refused(404, "This repository has no such object")
    return ranged(call, {"ETag": f'"{sha}"'}, size, path=call.hub.lfs.path(sha))


def xet_token(call: Request, repo: Repo, right: str) -> Response:
    """GET a token for the upload half of Xet; nobody is asked to read by it."""
    if right != "write":
        raise Refused(404, "Downloads go by plain HTTP here", "EntryNotFound")
    user = call.known_user()
    call.content(repo)
    # The clients remember what they sent by address: one for each data folder and user.
    space = hashlib.sha256(f"{call.hub.mark} {user.lower()}".encode()).hexdigest()[:24]
    word = call.hub.seal.sign("xet", XET_LIFETIME_S, repo=repo.id, user=user, space=space)
    until = call.hub.seal.open("xet", word)["until"]
    url = f"{call.endpoint}/xet/{space}"
    headers = {
        "X-Xet-Cas-Url": url,
        "X-Xet-Access-Token": word,
        "X-Xet-Token-Expiration": str(until),
    }
    return as_json({"accessToken": word, "exp": until, "casUrl": url}, headers=headers)


def xet(call: Request) -> Response:
    """The content-addressed store's own routes, below /xet/<space>."""
    space, route = call.parts[1], list(call.parts[2:])
    scheme, _, word = call.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer":
        raise Refused(401, "A Xet token is needed")
    facts = call.hub.seal.open("xet", word.strip())
    if facts["space"] != space:
        raise Refused(403, "This token belongs to another store")
    store = call.hub.xet.get(space)  # requests to these routes come one at a time
    if store is None:
        store = call.hub.xet[space] = XetStore(call.hub.data / "xet" / space)
    try:
        if call.method == "POST" and len(route) == 4 and route[:3] == ["v1", "xorbs", "default"]:
            return as_json({"was_inserted": store.put_xorb(route[3], call.body)})
        if call.method == "POST" and route == ["v1", "shards"]:

            def sink(sha: str, chunks: Iterator[bytes]) -> None:
                call.hub.lfs.put(sha, chunks)

            for _, sha, size in store.put_shard(call.body, sink):
                _note(call, {**facts, "sha": sha, "size": size})
            return as_json({"result": 1})
    except XetError as error:
        raise Refused(400, f"Xet: {error}") from None
    raise Refused(404, "There is no such route; chunks are not deduplicated")
