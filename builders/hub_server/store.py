"""The SQLite database of what git cannot hold: accounts, tokens, repositories and rights."""

from __future__ import annotations

import hashlib
import secrets
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from builders.hub_server.responses import now

_SCHEMA = """
create table if not exists account(
  name text primary key collate nocase, kind text not null,
  owner text collate nocase, created text not null);
create table if not exists token(hash text primary key, account text not null collate nocase);
create table if not exists repo(
  id text primary key, type text not null, name text not null collate nocase,
  private int not null, gated text not null, created text not null, unique(type, name));
create table if not exists moved(
  type text not null, name text not null collate nocase,
  repo text not null references repo on delete cascade, primary key(type, name));
create table if not exists object(
  repo text not null references repo on delete cascade, sha text not null,
  account text not null collate nocase, size int not null, committed int not null,
  pushed text not null, primary key(repo, sha, account));
create index if not exists object_sha on object(sha);
create table if not exists access(
  id text not null, repo text not null references repo on delete cascade,
  account text not null collate nocase, status text not null, asked text not null,
  primary key(repo, account));
create table if not exists discussion(
  repo text not null references repo on delete cascade, num int not null, title text not null,
  status text not null, pull int not null, author text not null, created text not null,
  base text, head text, merged text, primary key(repo, num));
create table if not exists event(
  id text primary key, repo text not null references repo on delete cascade, num int not null,
  type text not null, created text not null, author text not null, data text not null);
create index if not exists event_of on event(repo, num);
create table if not exists space(
  repo text not null references repo on delete cascade, part text not null, key text not null,
  value text not null, primary key(repo, part, key));
create table if not exists webhook(
  id text primary key, account text not null collate nocase, url text not null,
  watched text not null, domains text not null, secret text, disabled int not null);
"""


@dataclass(frozen=True, kw_only=True)
class Repo:
    """One repository's row.

    Attributes:
        id: A random id, which survives a rename and names the git repository's folder.
        type: `models`, `datasets` or `spaces`.
        name: `namespace/name`.
        private: Whether only those who may write can see it.
        gated: `auto` or `manual` if its files are gated; empty if not.
        created: When it was created, in the Hub's format.
    """

    id: str
    type: str
    name: str
    private: bool
    gated: str
    created: str

    @property
    def kind(self) -> str:
        """The type in the singular, as it is in JSON bodies and messages."""
        return self.type.removesuffix("s")


class Store:
    """The database: one connection, which runs one statement or transaction at a time."""

    def __init__(self, path: Path) -> None:
        self._lock = threading.RLock()
        self._connection = sqlite3.connect(
            path, timeout=30, isolation_level=None, check_same_thread=False, cached_statements=256
        )
        self._connection.row_factory = sqlite3.Row
        self._connection.execute("pragma journal_mode=wal")
        self._connection.execute("pragma synchronous=normal")
        self._connection.execute("pragma foreign_keys=on")
        self._connection.executescript(_SCHEMA)

    def close(self) -> None:
        """Close the connection."""
        with self._lock:
            self._connection.close()

    def rows(self, query: str, *values: Any) -> list[sqlite3.Row]:
        """All rows of a query."""
        with self._lock:
            return self._connection.execute(query, values).fetchall()

    def row(self, query: str, *values: Any) -> sqlite3.Row | None:
        """The first row of a query; None if there is none."""
        with self._lock:
            found: sqlite3.Row | None = self._connection.execute(query, values).fetchone()
            return found

    def run(self, query: str, *values: Any) -> int:
        """Run a statement and return how many rows it changed."""
        with self._lock:
            return self._connection.execute(query, values).rowcount

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Commit all statements of the block, or none if it raises; blocks may be nested."""
        with self._lock:
            if self._connection.in_transaction:
                yield
                return
            self._connection.execute("begin immediate")
            try:
                yield
            except BaseException:
                self._connection.execute("rollback")
                raise
            self._connection.execute("commit")

    def account(self, name: str) -> sqlite3.Row | None:
        """The row of a user or an organisation; None if there is none of that name."""
        return self.row("select * from account where name = ?", name)

    def add_user(self, name: str) -> str | None:
        """A new token for a user, created if necessary; None if the name is an organisation's."""
        token = "hf_" + secrets.token_urlsafe(30).replace("-", "A").replace("_", "B")
        with self.transaction():
            known = self.account(name)
            if known is not None and known["kind"] != "user":
                return None
            if known is None:
                self.run("insert into account values (?, 'user', null, ?)", name, now())
            self.run("insert into token values (?, ?)", _hash(token), name)
        return token

    def user_of(self, token: str) -> str | None:
        """The name of the user with this token; None if it is not valid."""
        found = self.row(
            "select a.name from token t join account a on a.name = t.account where t.hash = ?",
            _hash(token),
        )
        return found["name"] if found else None

    def organisations(self, user: str) -> list[str]:
        """The organisations a user owns."""
        found = self.rows("select name from account where owner = ? order by name", user)
        return [row["name"] for row in found]

    def repo(self, type_: str, name: str) -> Repo | None:
        """The repository of this name, in any case; None if there is none."""
        return _repo(self.row("select * from repo where type = ? and name = ?", type_, name))

    def repo_by_id(self, id_: str) -> Repo | None:
        """The repository with this id; None if it was deleted."""
        return _repo(self.row("select * from repo where id = ?", id_))

    def repo_moved_from(self, type_: str, name: str) -> Repo | None:
        """The repository that had this name before it was renamed; None if there is none."""
        return _repo(
            self.row(
                "select r.* from moved m join repo r on r.id = m.repo "
                "where m.type = ? and m.name = ?",
                type_,
                name,
            )
        )

    def repos(self, type_: str) -> list[Repo]:
        """All repositories of a type, sorted by name."""
        found = self.rows("select * from repo where type = ? order by name", type_)
        return [repo for row in found if (repo := _repo(row))]

    def can_write(self, user: str | None, namespace: str) -> bool:
        """Whether the user may write in the namespace: their own, or an organisation they own."""
        if user is None:
            return False
        owner = self.account(namespace)
        return owner is not None and user.lower() in (
            owner["name"].lower(),
            (owner["owner"] or "").lower(),
        )

    def can_see(self, user: str | None, repo: Repo) -> bool:
        """Whether the user may know that the repository exists."""
        return not repo.private or self.can_write(user, repo.name.split("/")[0])

    def can_read(self, user: str | None, repo: Repo) -> bool:
        """Whether the user may read its files; a gated one needs an accepted access request."""
        if not self.can_see(user, repo):
            return False
        if not repo.gated or self.can_write(user, repo.name.split("/")[0]):
            return True
        access = user and self.row(
            "select status from access where repo = ? and account = ?", repo.id, user
        )
        return bool(access and access["status"] == "accepted")

    def record_upload(self, repo: str, sha: str, account: str, size: int) -> None:
        """Record that this user uploaded the bytes of an object for this repository."""
        self.run(
            "insert into object values (?, ?, ?, ?, 0, ?) on conflict do nothing",
            *(repo, sha, account, size, now()),
        )

    def object_size(self, repo: str, sha: str) -> int | None:
        """The size in bytes of an object in the repository's history; None if it is in none."""
        found = self.row(
            "select size from object where repo = ? and sha = ? and committed = 1", repo, sha
        )
        return found["size"] if found else None

    def referable_size(self, repo: Repo, sha: str, user: str) -> int | None:
        """The size in bytes of an object that the user may refer to in a commit; None if not.

        The user must have uploaded it for this repository, or be able to read it in another: to
        know a hash gives no right to the bytes.
        """
        found = self.rows("select repo, account, committed, size from object where sha = ?", sha)
        for row in found:
            if row["repo"] == repo.id and row["account"].lower() == user.lower():
                return int(row["size"])
        for row in found:
            other = row["committed"] and self.repo_by_id(row["repo"])
            if other and self.can_read(user, other):
                return int(row["size"])
        return None

    def record_reference(self, repo: str, sha: str, account: str, size: int) -> None:
        """Record that the repository's history refers to an object."""
        self.run(
            "insert into object values (?, ?, ?, ?, 1, ?) on conflict do update set committed = 1",
            *(repo, sha, account, size, now()),
        )


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "replace")).hexdigest()


def _repo(row: sqlite3.Row | None) -> Repo | None:
    if row is None:
        return None
    return Repo(
        id=row["id"],
        type=row["type"],
        name=row["name"],
        private=bool(row["private"]),
        gated=row["gated"],
        created=row["created"],
    )
