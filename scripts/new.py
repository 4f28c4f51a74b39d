"""potstill new: the file of a set of one's own."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from builders.drafting.build_spec import Choices
from builders.drafting.choices import build_spec, declared_for
from builders.drafting.set_record import FILES
from builders.engine.addresses import is_address, shown_address
from builders.engine.pool import check_pool
from builders.errors import FolderError, InputError, UsageError
from builders.gates.secrets import secret
from builders.hub_vocabulary import known_licence
from builders.recipe import at_home
from builders.recipe_loading import load_recipe, recipe_names
from builders.secret_names import secret_of_address
from builders.set_file import Declaration, read_set_text
from builders.set_names import set_name
from builders.set_text import neutral_sections, set_text
from builders.sets import Set, ad_hoc, check_name
from scripts.command_line import (
    Parser,
    add_alias,
    add_hub_data,
    checked,
    count,
    print_err,
    print_out,
    text,
)

EXAMPLES = """\
  potstill new mathprefs --recipe ultrafeedback --prompts prompts.jsonl
  potstill new mathprefs --recipe ultrafeedback --teacher https://host/v1#MODEL
  potstill new mine --from org/set@v1.0.0
"""


def arguments(parser: Parser, _: Sequence[str]) -> None:
    """The verb's words and flags."""
    parser.add_argument(
        "name",
        type=text,
        metavar="NAME",
        help="The name of the set; its file is NAME.md, here or in the folder that the name begins "
        "with.",
    )
    start = parser.add_mutually_exclusive_group(required=True)
    start.add_argument(
        "--recipe",
        type=text,
        metavar="RECIPE",
        help="The recipe: one that `potstill list` shows, or a .py file or a module with one.",
    )
    start.add_argument(
        "--from",
        dest="start",
        type=text,
        metavar="RELEASE",
        help="Start from what a release declares: org/set@v1.0.0, or its folder.",
    )
    for flag in ("prompts", "seeds"):
        parser.add_argument(
            f"--{flag}",
            type=text,
            metavar="WHERE",
            help=f"Where the {flag} come from: a file, a folder, or a Hub dataset, org/name.",
        )
    parser.add_argument(
        "--column", type=text, metavar="COLUMN", help="Read prompts from this column."
    )
    license_flag = parser.add_argument(
        "--license",
        type=checked(known_licence),
        metavar="ID",
        help="Which license the source has, by its id on the Hub, such as cc-by-4.0.",
    )
    add_alias(parser, "--licence", license_flag)
    parser.add_argument(
        "--teacher",
        type=text,
        action="append",
        default=[],
        metavar="[ROLE=]WHO[#MODEL]",
        help="Who answers, as for `potstill build`.",
    )
    parser.add_argument(
        "--rows", type=count(), metavar="N", help="How many rows to ask for at most."
    )
    add_hub_data(parser)


def run(given: argparse.Namespace) -> int:
    """Write the file, and print what to do next."""
    path = _file(given.name)
    for word in filter(secret_of_address, given.teacher):
        raise InputError(
            f"--teacher {shown_address(word)} holds a secret ({secret_of_address(word)}), and all "
            "of a set's file may be released; leave it out: the key of an endpoint is read from "
            "the environment, see --key-env"
        )
    with _start(given) as start:
        flag = start.recipe.seeds.flag
        other = "prompts" if flag == "seeds" else "seeds"
        if getattr(given, other):
            raise UsageError(
                f"{start.recipe.name} starts from {flag}; give --{flag}, not --{other}"
            )
        place = getattr(given, flag)
        start, outside = _inside(start, flag) if given.start else (start, {})
        if place:
            outside.pop(flag, None)
        chosen = Choices(
            source={"place": place, "column": given.column},
            licence=given.license,
            teachers=given.teacher,
            rows=given.rows,
        )
        here = replace(start, released=None)  # nothing runs yet, so that all of it may be named
        check_pool(build_spec(here, chosen).teachers, start.recipe)
        declared = declared_for(start, chosen, path.parent)
        source = getattr(declared, flag)
        words = start.words.sections if start.words else {}
        if not given.start:
            origin = Path(source.place).name if source and source.place else f"its own {flag}"
            columns = [column.name for column in start.recipe.schema.columns]
            words = neutral_sections(start.recipe.name, origin, columns)
        title = path.stem.replace("-", " ").replace("_", " ").capitalize()
        declared = declared.model_copy(update={"pretty_name": title})
        content = set_text(path.stem, start.recipe, declared, words, outside.get(flag, ""))
    read_set_text(content, path.name)
    if kind := secret(content):
        raise InputError(
            f"{path.name} would hold a secret ({kind}), and all of it may be released; leave it "
            "out: the key of an endpoint is read from the environment, see --key-env"
        )
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(content)
    except FileExistsError:
        raise FolderError(
            f"{path} is there already, and nothing was changed; name another"
        ) from None
    shown = path.stem if path.parent == Path() else str(path)
    print_out(f"wrote {path}: edit it, then\n")
    if given.start and (code := [*_code(declared, flag)]):
        print_err(f"{given.start} names {', '.join(code)}; look at them before you build")
    for key, local in outside.items():
        print_err(
            f"{given.start} names {local} as {key}, which is outside the folder of a set and left "
            f"out; look at it, and give yours in {path}"
        )
    for verb in ("preview", "build", "show", "release"):
        print_out(f"  potstill {verb} {shown}")
    if place and Path(place).suffix and not (Path(place).exists() or set_name(place)):
        print_err(f"there is no file {place} yet; make it, or correct {flag} in {path}")
    return 0


def _inside(start: Set, flag: str) -> tuple[Set, dict[str, str]]:
    """A set of strangers without the files outside a set's folder that it reads, and these by key.

    What is in them would be sent to the teachers that it names.
    """
    declared, outside = start.declaration, dict[str, str]()
    source = getattr(declared, flag)
    if source and _is_outside(source.place or ""):
        outside[flag] = source.place
        declared = declared.model_copy(update={flag: source.model_copy(update={"place": None})})
    for name, value in declared.options.items():
        if isinstance(value, str) and _is_outside(value):
            outside[name] = value
    options = {name: value for name, value in declared.options.items() if name not in outside}
    return replace(start, declaration=declared.model_copy(update={"options": options})), outside


def _is_outside(place: str) -> bool:
    return place.startswith(("/", "~")) or ".." in Path(place).parts


def _code(declared: Declaration, flag: str) -> Iterator[str]:
    """What a set of strangers names that is read, run or asked."""
    source = getattr(declared, flag)
    if source and source.place:
        yield source.place
    if declared.recipe not in recipe_names():
        yield f"the recipe {declared.recipe}"
    places = (one.place for some in declared.teachers.values() for one in some)
    for place in dict.fromkeys(places):
        if is_address(place):
            yield shown_address(place)
        elif place.startswith(FILES):
            yield place


def _file(name: str) -> Path:
    """The file of a set of this name, which may begin with a folder."""
    path = at_home(name)
    if name.endswith("/") or not path.name:
        raise UsageError(f"{name!r} is a folder; give the name of a set, such as my-set")
    if path.exists() and not path.is_dir() and path.suffix != ".md":
        raise InputError(f"{path} is a file or a device; name the set differently")
    path = path if path.suffix == ".md" else path.with_name(f"{path.name}.md")
    check_name(path.stem)
    return path


@contextmanager
def _start(given: argparse.Namespace) -> Iterator[Set]:
    """The set to start from: of a recipe alone, or as a release declares it."""
    if given.recipe:
        a_set = ad_hoc(load_recipe(given.recipe))
        declared = a_set.declaration.model_copy(update={"recipe": given.recipe})
        yield replace(a_set, declaration=declared)
        return
    from builders.release.released_set import declared_set
    from scripts.diff import named_folder

    given.work = None
    with named_folder(given.start, given) as folder:
        shown = Path(given.start).name if Path(given.start).is_dir() else given.start
        a_set = declared_set(folder, shown)
        first = {"Changes": f"### v0.1.0\n\nFirst version, made after {shown}."}
        words = a_set.words
        assert words is not None
        declared = a_set.declaration.model_copy(update={"repository": None})
        yield replace(
            a_set,
            declaration=declared,
            words=replace(words, sections={**words.sections, **first}),
        )
