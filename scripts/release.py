"""potstill release: the newest draft, or another one, as a new version on a Hub or as a folder."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

from builders.drafting.draft import Draft, load_draft
from builders.drafting.owner import new_command
from builders.drafting.since_build import since_build
from builders.errors import HubError, UsageError, number_of, shortened
from builders.set_names import set_name
from builders.sets import check_repository
from scripts.command_line import (
    HUB_DATA,
    Parser,
    add_alias,
    add_hub_data,
    add_json,
    add_name,
    add_work,
    count,
    path,
    print_err,
    print_out,
    text,
)
from scripts.from_release import add_from
from scripts.main import the_hub

if TYPE_CHECKING:
    from builders.hub.connection import Hub
    from builders.hub.publish import Published, ReleasePlan


EXAMPLES = """\
  potstill release my-set    # to the embedded Hub, on this machine
  potstill release my-set --to-hub org/my-set --dry-run
  potstill release my-set --to-folder my-set-v0.1.0
"""


def arguments(parser: Parser, words: Sequence[str]) -> None:
    """The verb's words and flags."""
    name = add_name(parser)
    parser.add_argument(
        "--to-hub",
        type=_repository,
        nargs="?",
        const=True,
        metavar="ORG/SET",
        help="Publish to this repository on huggingface.co, or on the Hub that HF_ENDPOINT names; "
        "it takes a token. Without a value the repository in the set's file is meant. Without this "
        "flag nothing leaves this machine: the release goes to its embedded Hub.",
    )
    folder = parser.add_argument(
        "--to-folder", type=path, metavar="DIR", help="Only make the folder of the release."
    )
    add_alias(parser, "--to", folder)
    parser.add_argument(
        "--pr",
        action="store_true",
        help="Publish as a pull request instead of on main, with a comment that previews it.",
    )
    parser.add_argument(
        "--branch",
        type=text,
        metavar="NAME",
        help="Publish to this branch, which is made from main if new: main stays as it is, and "
        "there is no tag.",
    )
    parser.add_argument(
        "--dry-run", action="store_true", help="Print what would change, and send nothing."
    )
    parser.add_argument(
        "--private",
        action="store_true",
        help="Make the repository private if it is new; one that is public is refused.",
    )
    parser.add_argument(
        "--draft",
        type=count(),
        metavar="NUMBER",
        help="Release the draft of this number, such as 0001 (default: the newest one).",
    )
    add_work(parser)
    add_json(parser)
    add_hub_data(parser)
    meaning = "Release the draft that `potstill build --from` made after this release"
    parser.set_defaults(set=add_from(parser, name, words, meaning))


def _repository(word: str) -> str:
    """The name of a repository on a Hub; the flag makes sure that it is no path."""
    if "@" in word or set_name(word, "main") is None:
        raise argparse.ArgumentTypeError(
            f"{shortened(word)} is not the name of a repository; expected org/set"
        )
    return word


def _declared_repository(draft: Draft) -> str:
    a_set = draft.set
    declared = None if a_set is None or a_set.ad_hoc else a_set.declaration.repository
    if a_set is None or declared is None:
        file = a_set.file.name if a_set and a_set.file else "the set"
        raise UsageError(f"{file} declares no repository; add one, or give it: --to-hub org/set")
    try:
        return _repository(declared)
    except argparse.ArgumentTypeError as error:
        raise UsageError(f"{a_set.name}: repository: {error}") from None


def run(given: argparse.Namespace) -> int:
    """Make the folder, or publish, and print how the set is loaded."""
    for_a_hub = {"--to-hub": given.to_hub, "--pr": given.pr, "--dry-run": given.dry_run}
    for_a_hub |= {"--private": given.private, "--branch": given.branch}
    wrong = [flag for flag, value in for_a_hub.items() if value]
    if given.to_folder and wrong:
        raise UsageError(f"{wrong[0]} is about a Hub; leave it out, or leave out --to-folder")
    if given.pr and given.branch:
        raise UsageError("--pr is about main; leave it out, or leave out --branch")
    draft = load_draft(given.set or given.name, given.work, given.draft)
    if given.to_hub is True:
        given.to_hub = _declared_repository(draft)
    (_to_folder if given.to_folder else _to_hub)(given, draft)
    if not draft.counts["kept"]:
        print_err(
            "warning: `default` has no rows, and load_dataset refuses such a split unless it "
            f"streams; `potstill show {given.name or draft.folder}` gives the reasons"
        )
    return 0


def _name_source(given: argparse.Namespace, draft: Draft) -> None:
    """Print first what the set's file does not tell of a draft.

    Of a set without a file, what it was made of, and how it gets a file.
    """
    for line in since_build(draft, newest=given.draft is None):
        print_err(line)
    if draft.facts["set"]["ad_hoc"]:
        print_err(
            f"this set has no file: its rows are of {draft.facts['lineage']['seeds']['name']}, by "
            f"the recipe {draft.facts['recipe']}; `{new_command(draft.facts['set'])}` writes one"
        )


def _to_folder(given: argparse.Namespace, draft: Draft) -> None:
    from builders.release.folder import release

    folder = given.to_folder
    _name_source(given, draft)
    print_err(f"making {folder} from {draft.folder}, and reading it back")
    changed = release(draft, draft.schemas, folder, notify=print_err)
    if given.json:
        facts = {"folder": str(folder.absolute()), "draft": str(draft.folder), "changed": changed}
        print_out(json.dumps(facts))
        return
    if changed:
        print_out(f"released {draft.folder} to {folder}; read back and compared")
    else:
        print_out(f"{folder} is this release already; nothing changed")
    print_out("\nfrom datasets import load_dataset")
    print_out(f'rows = load_dataset("{folder.absolute()}", split="train"{_streamed(draft)})')


def _to_hub(given: argparse.Namespace, draft: Draft) -> None:
    from builders.hub.connection import is_on_this_machine, no_token
    from builders.hub.fetch import visibility
    from builders.hub.publish import ReleasePlan, publish, remove_leftovers
    from builders.release.words import words_of

    remove_leftovers(draft.folder.parent)
    name = str(draft.facts["set"]["name"])
    with the_hub(given.hub_data, outside=bool(given.to_hub)) as hub:
        if not (hub.token or given.dry_run):
            raise HubError(no_token(hub.endpoint))
        _name_source(given, draft)
        what = ReleasePlan(
            draft=draft,
            schemas=draft.schemas,
            words=words_of(draft),
            repository=given.to_hub or f"{hub.user()}/{name}",
            branch=given.branch,
        )
        check_repository(draft.set, what.repository)
        seen = visibility(hub, what.repository)
        destination = _destination(given, hub, what.repository, seen)
        (print_err if given.json else print_out)(destination)
        done = publish(
            hub,
            what,
            pull_request=given.pr,
            dry_run=given.dry_run,
            private=given.private or None,
            notify=print_err,
        )
        if seen is None and not given.dry_run:
            seen = visibility(hub, what.repository)
            print_err(f"{what.repository} is new and {seen}")
    here = is_on_this_machine(hub.endpoint)
    url = None  # of a page that a browser, which sends no token, can read
    if done.pull_request and not (here and seen == "private"):
        url = f"{hub.endpoint}/datasets/{what.repository}/discussions/{done.pull_request}"
    if given.json:
        facts = {"repository": what.repository, "endpoint": hub.endpoint, "visibility": seen}
        print_out(json.dumps({**facts, **vars(done), "pull_request_url": url}))
        return
    print_out(_outcome(what, done, given.dry_run))
    if not given.dry_run:
        if url:
            print_out(url)
        if done.pull_request:
            print_out(_next_step(what, done.pull_request, here))
        of_pull = f"refs/pr/{done.pull_request}" if done.pull_request else None
        revision = of_pull or given.branch or done.tag
        print_out("")
        if here:
            print_out(f'import os; os.environ["HF_ENDPOINT"] = "{hub.endpoint}"')
        print_out("from datasets import load_dataset")
        loaded = f'"{what.repository}", revision="{revision}", split="train"{_streamed(draft)}'
        print_out(f"rows = load_dataset({loaded})")
        if hub.embedded:
            data = given.hub_data or HUB_DATA
            print_out(f"\n`potstill hub --hub-data {data}` serves it at that address")


def _destination(given: argparse.Namespace, hub: Hub, repository: str, seen: str | None) -> str:
    """Where the release goes and who can read it there: printed before anything is sent."""
    from builders.hub.connection import is_on_this_machine

    if seen is None:
        seen = "new, public"
        if given.private:
            seen = "new, private"
        elif not is_on_this_machine(hub.endpoint):
            seen += f" unless {repository.partition('/')[0]} makes new repositories private"
    does = "would release" if given.dry_run else "releasing"
    how = " as a pull request" if given.pr else ""
    if given.branch:
        how = f" on the branch {given.branch}"
    return f"{does} to {hub.title}: {repository} ({seen}){how}"


def _next_step(what: ReleasePlan, number: int, here: bool) -> str:
    """How a pull request becomes a version; the embedded Hub has no button to merge."""
    at = f'"{what.repository}", {number}, repo_type="dataset"'
    merge = f"HfApi().merge_pull_request({at})" if here else "merge it on its page"
    return f"next: {merge}; then this same command again sets the tag {what.tag}"


def _streamed(draft: Draft) -> str:
    """The argument without which `datasets` refuses a split of 0 rows."""
    return "" if draft.counts["kept"] else ", streaming=True"


def _outcome(what: ReleasePlan, done: Published, dry_run: bool) -> str:
    repository = what.repository
    if not done.changed:
        if what.branch and dry_run:
            return f"{what.branch} of {repository} needs nothing sent to have {done.tag}"
        if what.branch:
            return f"{what.branch} of {repository} has {done.tag}; read back and compared"
        if done.pull_request is not None:
            return f"pull request {done.pull_request} of {repository} has it all; nothing changed"
        if done.tagged:
            return f"main of {repository} has {done.tag}; read back, compared, and now tagged"
        return f"{repository} has {done.tag} already; nothing changed"
    does = "would send" if dry_run else "sent"
    lines = [
        f"{done.tag} of {repository}: {done.changes}",
        f"{does} {len(done.sent)} of {number_of(done.files, 'files')}, "
        f"{number_of(done.sent_bytes, 'bytes')}; "
        f"{'would remove' if dry_run else 'removed'} {len(done.removed)}",
    ]
    if dry_run:
        lines += [f"  + {name}" for name in done.sent] + [f"  - {name}" for name in done.removed]
    elif done.pull_request:
        at = f"commit {str(done.commit)[:12]}"
        lines.append(f"pull request {done.pull_request}, {at}, with a comment that previews it")
        if done.replaced:
            closed = ", ".join(map(str, done.replaced))
            lines.append(f"closed {closed}, of an earlier main, which would conflict")
    elif what.branch:
        lines.append(
            f"commit {str(done.commit)[:12]} of the branch {what.branch}, read back and compared; "
            "no tag, and main is as it was"
        )
    else:
        lines.append(f"commit {str(done.commit)[:12]}, read back and compared, tag {done.tag}")
    return "\n".join(lines)
