"""A set as one HTML file: template, style and script from beside this module, and the set's data.

The page reaches no network, and its policy lets it run nothing but its own script. All that comes
from the set is compressed, and becomes text in the browser, never markup. The same set gives the
same bytes.
"""

from __future__ import annotations

import base64
import hashlib
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from builders.durable import durably_rename
from builders.errors import InputError, folder_error
from builders.page.entries import Entries, encoded, packed
from builders.release.set_rows import SetRows, as_object

_HERE = Path(__file__).parent


def write_page(found: SetRows, to: Path) -> int:
    """Write the page of a draft or a release; return its size in bytes.

    A page that is there is replaced.

    Raises:
        InputError: `to` is no .html file, or a file of the set is damaged.
        FolderError: The page cannot be written; a page that was there is as it was.
    """
    if to.suffix.lower() not in (".html", ".htm") or to.is_dir():
        raise InputError(f"{str(to)!r} is not the name of a page; expected one such as set.html")
    try:
        with tempfile.TemporaryDirectory(prefix=".making-", dir=to.absolute().parent) as scratch:
            made = Path(scratch) / to.name
            with made.open("w", encoding="utf-8", newline="\n") as file:
                file.writelines(_parts(found, Path(scratch)))
            size = made.stat().st_size
            durably_rename(made, to)
    except OSError as error:
        raise folder_error(error, to.absolute().parent) from None
    return size


def _parts(found: SetRows, scratch: Path) -> Iterator[str]:
    """The parts of the page, in turn: a set of any size is never held in memory."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_HERE), autoescape=True, undefined=jinja2.StrictUndefined
    )
    style, script = ((_HERE / f"page.{kind}").read_text("utf-8") for kind in ("css", "js"))
    entries = Entries(found, scratch)
    about = _about(found)
    policy = (
        f"default-src 'none'; style-src '{_sha256(style)}'; script-src '{_sha256(script)}'; "
        "base-uri 'none'; form-action 'none'; trusted-types 'none'; "
        "require-trusted-types-for 'script'"
    )
    return environment.get_template("page.html").generate(
        title=about["title"],
        version=about["version"],
        policy=policy,
        style=style,
        script=script,
        chunks=entries.chunks(),
        index=lambda: packed(encoded(entries.index())),  # complete after the last chunk
        facts=lambda: packed(encoded({**about, **entries.facts()})),
    )


def _sha256(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode("utf-8")).digest()).decode()


def _about(found: SetRows) -> dict[str, Any]:
    """What the set reports of itself, as far as it has the form of ours."""
    facts, name = found.facts, found.folder.resolve().name
    lineage, spent, made = (as_object(facts.get(one)) for one in ("lineage", "spent", "set"))
    recipe = lineage.get("recipe") or facts.get("recipe")
    version = f"v{facts['version']}" if facts.get("version") else ""
    return {
        "title": str(made.get("name") or recipe or name),
        "version": f"draft {name}" if "run" in facts else version,
        "recipe": recipe,
        "follows": lineage.get("follows"),
        "spent": {one: spent.get(one) for one in ("usd", "at_most_usd")},
        "measures": as_object(facts.get("measures")),
    }
