"""potstill release: the last draft as a new version on a Hub, or as a folder."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from builders.drafting.draft import Draft, load_draft
from builders.errors import InputError
from scripts.main import about_a_hub, about_a_set, the_hub

if TYPE_CHECKING:
    from builders.hub.publish import Published


def arguments(parser: argparse.ArgumentParser, _: Sequence[str]) -> None:
    """The verb's flags."""
    about_a_set(parser)
    parser.add_argument("--to", type=Path, metavar="DIR", help="only make the folder, here")
    parser.add_argument(
        "--to-hub", metavar="ORG/SET", help="the repository; with a token, on huggingface.co"
    )
    parser.add_argument("--pr", action="store_true", help="as one pull request")
    parser.add_argument(
        "--dry-run", action="store_true", help="say what would change; send nothing"
    )
    parser.add_argument("--private", action="store_true", help="of a new repository")
    parser.add_argument("--json", action="store_true", help="one JSON object for programs")
    about_a_hub(parser)


def run(given: argparse.Namespace) -> int:
    """Make the folder, or publish, and say how the set is loaded."""
    draft = load_draft(given.name, given.work)
    if given.to:
        if given.to_hub or given.pr or given.dry_run:
            raise InputError("--to makes a folder only; leave out --to, or the words about a Hub")
        return _to_folder(given, draft)
    return _to_hub(given, draft)


def _to_folder(given: argparse.Namespace, draft: Draft) -> int:
    from builders.release.folder import release

    if release(draft, draft.schemas, given.to):
        print(f"released {draft.folder} to {given.to}; read back and compared")
    else:
        print(f"{given.to} is this release already; nothing changed")
    print("\nfrom datasets import load_dataset")
    print(f'rows = load_dataset("{given.to.absolute()}", split="train")')
    return 0


def _to_hub(given: argparse.Namespace, draft: Draft) -> int:
    from builders.hub.connection import is_on_this_machine
    from builders.hub.publish import ReleasePlan, publish, remove_leftovers
    from builders.release.card import cards_of, read_words

    remove_leftovers(draft.folder.parent)
    name = str(draft.facts["recipe"])
    with the_hub(given.hub_data, outside=bool(given.to_hub)) as hub:
        what = ReleasePlan(
            draft=draft,
            schemas=draft.schemas,
            words=read_words(name, cards_of(draft.recipe)),
            repository=given.to_hub or f"{hub.user()}/{name}",
        )
        done = publish(
            hub,
            what,
            pull_request=given.pr,
            dry_run=given.dry_run,
            private=given.private or None,
            notify=lambda line: print(line, file=sys.stderr),
        )
    here = is_on_this_machine(hub.endpoint)
    if given.json:
        facts = {"repository": what.repository, "endpoint": hub.endpoint, **vars(done)}
        print(json.dumps(facts))
        return 0
    print(_said(what.repository, done, given.dry_run))
    if not given.dry_run:
        revision = f"refs/pr/{done.pull_request}" if done.pull_request else done.tag
        print()
        if here:
            print(f'import os; os.environ["HF_ENDPOINT"] = "{hub.endpoint}"')
        print("from datasets import load_dataset")
        loaded = f'"{what.repository}", revision="{revision}", split="train"'
        print(f"rows = load_dataset({loaded})")
        if here and "HF_ENDPOINT" not in os.environ:
            print(f"\n`potstill hub --data {given.hub_data}` serves it at that address")
    return 0


def _said(repository: str, done: Published, dry_run: bool) -> str:
    if not done.changed:
        if done.pull_request is not None:
            return f"pull request {done.pull_request} of {repository} has it all; nothing changed"
        if done.tagged:
            return f"main of {repository} had {done.tag}; read back and compared, and given its tag"
        return f"{repository} has {done.tag} already; nothing changed"
    does = "would send" if dry_run else "sent"
    lines = [
        f"{done.tag} of {repository}: {done.changes}",
        f"{does} {len(done.sent)} of {done.files} files, {done.sent_bytes:,} bytes; "
        f"{'would remove' if dry_run else 'removed'} {len(done.removed)}",
    ]
    if dry_run:
        lines += [f"  + {name}" for name in done.sent] + [f"  - {name}" for name in done.removed]
    elif done.pull_request:
        lines.append(f"pull request {done.pull_request}, commit {str(done.commit)[:12]}")
    else:
        lines.append(f"commit {str(done.commit)[:12]}, read back and compared, tag {done.tag}")
    return "\n".join(lines)
