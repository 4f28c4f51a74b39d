"""The limits of the Hub and its viewer, checked on a release folder before anything is sent."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from builders.drafting.declared_values import with_keys
from builders.drafting.licence import licence_of, parts
from builders.errors import InputError
from builders.hub_vocabulary import UNKNOWN, known_licence
from builders.release.snapshot import CARD, data_files, split_of
from builders.set_names import name_problem
from builders.sets import Set

# The Hub refuses a card it cannot validate in one request; hand-written ones are under 40 kB.
MOST_CARD_BYTES = 100_000
# The viewer gives up above 300 MB of a row group in memory; `datasets` writes at most 100 MB.
MOST_ROW_GROUP_BYTES = 100_000_000
# `datasets` pushes shards of 500 MB; a row group at the end of a shard may exceed that.
MOST_SHARD_BYTES = 1_000_000_000
# The Hub recommends fewer than 100 files per commit.
MOST_FILES = 100
# The viewer's limits: 1,000 columns, 500 characters of a name, 30 splits. It takes 4,000 configs,
# too many for a person to choose from.
MOST_COLUMNS, MOST_NAME, MOST_SPLITS, MOST_CONFIGS = 1_000, 500, 30, 30
_CONFIG = re.compile(r"[A-Za-z0-9_][\w.-]*", re.ASCII)


def check_limits(folder: Path, repository: str | None) -> None:
    """Refuse a release folder, or a repository's name, that the Hub or its viewer would not accept.

    Raises:
        InputError: The first limit that is exceeded, and what to do.
    """
    if repository is not None and (why := name_problem(repository)):
        raise InputError(
            f"{repository!r} cannot be a repository: {why}; give a name such as org/set"
        )
    for problem in _problems(folder):
        raise InputError(problem)


def _problems(folder: Path) -> Iterator[str]:
    card, files = folder / CARD, data_files(folder)
    if (size := card.stat().st_size) > MOST_CARD_BYTES:
        yield (
            f"the card has {size:,} bytes of at most {MOST_CARD_BYTES:,}; shorten the "
            "words, or the values of the first row"
        )
    if (number := sum(path.is_file() for path in folder.rglob("*"))) > MOST_FILES:
        yield (
            f"the release has {number} files, a commit on the Hub at most {MOST_FILES}; release "
            "fewer rows, or in larger shards"
        )
    if len(files) > MOST_CONFIGS:
        yield f"the set has {len(files)} configs of at most {MOST_CONFIGS}; make several sets of it"
    for config, paths in files.items():
        if not _CONFIG.fullmatch(config):
            yield f"{config!r} cannot be a config; use letters, digits, '_', '-' and '.'"
        if (splits := len(set(map(split_of, paths)))) > MOST_SPLITS:
            yield f"config {config!r} has {splits} splits of at most {MOST_SPLITS}; join some"
        for path in paths:
            yield from _file_problems(config, path)


def _file_problems(config: str, path: Path) -> Iterator[str]:
    import pyarrow.parquet as pq

    here = f"config {config!r}, {path.name}"
    if (size := path.stat().st_size) > MOST_SHARD_BYTES:
        yield (
            f"{here}: {size:,} bytes of at most {MOST_SHARD_BYTES:,} in a file; cut it into shards"
        )
    metadata: Any = pq.read_metadata(path)
    names = metadata.schema.to_arrow_schema().names
    if len(names) > MOST_COLUMNS:
        yield f"{here}: {len(names):,} columns of at most {MOST_COLUMNS:,}; leave some out"
    if long := next((name for name in names if len(name) > MOST_NAME), None):
        yield f"{here}: the column {long[:40]!r}... has more than {MOST_NAME} characters; rename it"
    for group in range(metadata.num_row_groups):
        size = metadata.row_group(group).total_byte_size
        if size > MOST_ROW_GROUP_BYTES:
            yield (
                f"{here}: row group {group} has {size:,} bytes of at most "
                f"{MOST_ROW_GROUP_BYTES:,}, which the Hub's viewer cannot show; write fewer rows "
                "in one, or shorter ones"
            )


def check_licences(
    lineage: Mapping[str, Any], repository: str | None, a_set: Set | None = None
) -> None:
    """Refuse a licence id that no Hub knows, and on any Hub an unknown licence of the source.

    A folder may be released without one, since it stays with the person who made it, and its card
    states that the licence is unknown: the way from a file of prompts to a training has no question
    in it. What others can load, from a Hub of any kind, needs an answer.

    Raises:
        InputError: With whose licence it is, and the nearest id or what to do.
    """
    for part in parts(lineage):
        try:
            known_licence(part.licence.id)
        except InputError as error:
            raise InputError(f"{part.owner}: {error}, and build again") from None
    if repository is not None and licence_of(lineage).id == UNKNOWN:
        advice = with_keys(a_set, "with --license ID, such as cc-by-4.0 or other")
        raise InputError(
            f"the licence of {lineage['seeds']['name']} is unknown, and a set on a Hub needs one; "
            f"build again {advice}, which repeats no call, or release it with --to-folder"
        )
