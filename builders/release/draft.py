"""A draft: rows nobody has released yet, kept and dropped, in a folder that is whole or absent."""

from __future__ import annotations

import contextlib
import errno
import filecmp
import itertools
import json
import os
import shutil
import tempfile
import textwrap
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from builders.errors import FolderError, InputError
from builders.release.licence import rolled_up
from builders.schema import DROPPED, RAW, Row, Schema

FACTS = "draft.json"
RUN = "run.json"
_ROW_GROUP = 1000


@dataclass(frozen=True, kw_only=True)
class Draft:
    """A finished build: its folder, what draft.json says, and what its last run took.

    `facts` holds recipe, counts (`made` = `kept` + the sum of `dropped` by reason), lineage and
    what was spent.
    """

    folder: Path
    facts: Mapping[str, Any]
    run: Mapping[str, Any]

    @property
    def counts(self) -> Mapping[str, Any]:
        """`made`, `kept`, and `dropped` by reason."""
        counts: Mapping[str, Any] = self.facts["counts"]
        return counts

    @property
    def licence(self) -> str:
        """The strictest of the seeds' and the teachers' licences."""
        lineage = self.facts["lineage"]
        teachers = (who["licence"] for who in lineage["teachers"].values())
        return rolled_up([lineage["seeds"]["licence"], *teachers])

    def rows(self, config: str) -> list[Row]:
        """All rows of `default`, `raw` or `dropped`."""
        import pyarrow.parquet as pq

        table: list[Row] = pq.read_table(self.folder / f"{config}.parquet").to_pylist()
        return table


def counts(kept: int, dropped: Sequence[Row]) -> dict[str, Any]:
    """Made, kept and dropped by reason, most frequent first; they add up."""
    reasons = Counter(row["reason"] for row in dropped)
    ordered = dict(sorted(reasons.items(), key=lambda pair: (-pair[1], pair[0])))
    return {"made": kept + len(dropped), "kept": kept, "dropped": ordered}


def write_draft(
    home: Path,
    schema: Schema,
    rows: Mapping[str, Iterable[Row]],
    facts: Mapping[str, Any],
    run: Mapping[str, Any],
) -> Draft:
    """Write a draft as the next number under home/drafts, by one rename.

    A draft equal to the last one to the byte is that one; there is no second. `facts` follow from recipe, seeds and answers alone; `run` says what making it took this time.

    Raises:
        FolderError: No room or no right to write; nothing is left behind.
    """
    drafts = home / "drafts"
    schemas = {"default": schema, "raw": RAW, "dropped": DROPPED}
    with whole_folder(drafts) as made:
        for config, shape in schemas.items():
            write_parquet(made / f"{config}.parquet", shape, rows[config])
        (made / FACTS).write_text(canonical_json(facts), encoding="utf-8")
        (made / RUN).write_text(canonical_json(run), encoding="utf-8")
        earlier = _numbered(drafts)
        folder = drafts / "{:04d}".format(int(earlier[-1].name) + 1 if earlier else 1)
        if earlier and _same(made, earlier[-1]):
            folder = earlier[-1]
        else:
            made.rename(folder)
    return Draft(folder=folder, facts=facts, run=run)


def _same(one: Path, other: Path) -> bool:
    names = {path.name for folder in (one, other) for path in folder.iterdir()} - {RUN}
    _, differing, missing = filecmp.cmpfiles(one, other, names, shallow=False)
    return not differing and not missing


def last_draft(home: Path) -> Draft:
    """The newest draft under a recipe's folder.

    Raises:
        InputError: There is none.
    """
    folders = _numbered(home / "drafts")
    if not folders:
        raise InputError(
            f"there is no draft of {home.name!r} in {home.parent.name}/; run "
            f"`potstill build {home.name}` first, or name its folder with --work"
        )
    folder = folders[-1]
    facts, run = (json.loads((folder / name).read_text(encoding="utf-8")) for name in (FACTS, RUN))
    return Draft(folder=folder, facts=facts, run=run)


def _numbered(drafts: Path) -> list[Path]:
    if not drafts.is_dir():
        return []
    found = [path for path in drafts.iterdir() if path.name.isdigit()]
    return sorted(found, key=lambda path: int(path.name))


@contextlib.contextmanager
def whole_folder(parent: Path) -> Iterator[Path]:
    """A new hidden folder beside where its content will stand; gone at the end unless renamed.

    Raises:
        FolderError: For every way in which the disk says no.
    """
    made = None
    try:
        parent.mkdir(parents=True, exist_ok=True)
        made = Path(tempfile.mkdtemp(prefix=".making-", dir=parent))
        made.chmod(0o755)
        yield made
    except OSError as error:
        raise folder_error(error, parent) from None
    finally:
        if made and made.exists():
            shutil.rmtree(made, ignore_errors=True)


def folder_error(error: OSError, folder: Path) -> FolderError:
    """What a failed write means to the person who named the folder."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return FolderError(
            f"no room left in {folder}; nothing was changed; make room or name another folder"
        )
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return FolderError(
            f"no right to write in {folder}; nothing was changed; get it or name another folder"
        )
    return FolderError(f"cannot write in {folder} ({error.strerror or error}); name another folder")


def write_parquet(path: Path, schema: Schema, rows: Iterable[Row]) -> None:
    """Rows as one file with the declared schema and nothing else in its metadata.

    Row groups of 1,000 rows and a page index, as the Hub's viewer likes them. The same rows give
    the same bytes; only a row group is held in memory.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    options = {"compression": "zstd", "write_page_index": True, "store_schema": False}
    stream = iter(rows)
    with pq.ParquetWriter(path, schema.arrow, **options) as writer:
        while group := list(itertools.islice(stream, _ROW_GROUP)):
            writer.write_table(pa.Table.from_pylist(group, schema=schema.arrow))

    with path.open("rb") as file:
        os.fsync(file.fileno())


def canonical_json(value: object) -> str:
    """JSON as potstill writes it everywhere: readable, UTF-8, the same text for the same value."""
    return json.dumps(value, ensure_ascii=False, indent=2, allow_nan=False) + "\n"


def report(draft: Draft) -> str:
    """The draft's facts, what its run took and where it lies, as one JSON object on one line."""
    facts = {**draft.facts, "run": draft.run, "draft": str(draft.folder)}
    return json.dumps(facts, ensure_ascii=False)


def table(draft: Draft) -> str:
    """Made, kept and dropped by reason with shares, then tokens, time and place; 80 columns."""
    counts, run, spent = draft.counts, draft.run, draft.facts["spent"]
    made = max(counts["made"], 1)
    lines = [f"{'made':<28}{counts['made']:>8}", _share("kept", counts["kept"], made)]
    lines += [_share(f"dropped: {name}", rows, made) for name, rows in counts["dropped"].items()]
    for role, used in spent["roles"].items():
        tokens = used["input_tokens"] + used["output_tokens"]
        lines.append(f"{'tokens of the ' + role:<28}{tokens:>8,}  in {used['calls']:,} calls")
    usd, row_usd = (_usd(spent[name]) for name in ("usd", "usd_a_kept_row"))
    lines += [
        f"{'cost in USD':<28}{usd:>8}  a kept row {row_usd}",
        f"{'time':<28}{run['seconds']:>8,.0f}  seconds: {run['calls']:,} calls, "
        f"{run['reused']:,} from the ledger, {run['failures']} failed",
        f"{'draft':<28}{draft.folder}",
    ]
    return "\n".join(lines)


def _usd(amount: float | None) -> str:
    return "unknown" if amount is None else f"{amount:.6g}"


def _share(name: str, rows: int, made: int) -> str:
    return f"{name:<28}{rows:>8}{rows / made:>9.1%}"


def samples(draft: Draft, most: int) -> str:
    """The first kept and the first dropped rows of each reason, in turn, in 80 columns."""
    lines = []
    for row in draft.rows("default")[:most]:
        lines.append(f"\nkept {row['id']}")
        lines += [_shown(name, value) for name, value in row.items() if name != "id"]
    by_reason: dict[str, list[Row]] = {}
    for row in draft.rows("dropped"):
        by_reason.setdefault(row["reason"], []).append(row)
    turns = [row for group in itertools.zip_longest(*by_reason.values()) for row in group if row]
    for row in turns[:most]:
        lines.append(f"\ndropped {row['id']}: {row['reason']}")
        lines += [_shown(name, value) for name, value in json.loads(row["evidence"]).items()]
    return "\n".join(lines)


def _shown(name: str, value: object) -> str:
    """One column of a row, indented, cut to three lines; a terminal's control codes do not pass."""
    if isinstance(value, list):
        value = " / ".join(
            str(turn["content"]) if isinstance(turn, dict) else str(turn) for turn in value
        )
    text = " ".join("".join(c if c.isprintable() else " " for c in str(value)).split())
    return textwrap.fill(
        f"{name}: {text}",
        width=79,
        initial_indent="  ",
        subsequent_indent="    ",
        max_lines=3,
        placeholder=" ...",
    )
