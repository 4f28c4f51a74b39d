"""Help: whole sentences, a metavar for each value, and examples that work."""

from __future__ import annotations

import re
import shlex
from importlib.metadata import version
from pathlib import Path

import pytest

from builders.recipe_loading import load_recipe, recipe_names
from scripts.command_line import Parser
from scripts.main import VERBS, main, parsers
from tests.set_files import write_set

RECIPES = recipe_names()
METAVAR = re.compile(
    r"check|\[WHO=\]ID|[A-Z][A-Z/@]*(,\.\.\.)?|\{[\w,-]+\}|\[ROLE=\]WHO\[#MODEL\]|\[ROLE:\]NAME(=VALUE)?|WHO\[#MODEL\]|(NAME=COLUMN|VALUE=LABEL),\.\.\."
)


@pytest.fixture(scope="module")
def explained() -> dict[str, Parser]:
    """The parser of each verb, and of `build` with each recipe."""
    made = parsers(dict.fromkeys(VERBS, ()))
    with_recipe = {
        f"{verb} {name}": parsers({verb: [name]})[verb]
        for verb in ("build", "preview")
        for name in RECIPES
    }
    return made | with_recipe


def test_every_help_text_is_a_sentence_and_every_value_has_a_name(
    explained: dict[str, Parser],
) -> None:
    for verb, parser in explained.items():
        for action in parser.shown():
            if action.dest == "==SUPPRESS==":  # the verbs themselves
                continue
            text = (action.help or "") % vars(action)
            assert re.fullmatch(r"[A-Z`].*\.", text, re.DOTALL), (verb, action.dest, text)
            if action.nargs != 0:
                assert METAVAR.fullmatch(str(action.metavar)), (verb, action.dest, action.metavar)


def test_the_options_of_a_recipe_are_explained_with_their_defaults(
    explained: dict[str, Parser],
) -> None:
    for name in RECIPES:
        options, same = (
            [one for one in explained[f"{verb} {name}"].shown() if "option_" in one.dest]
            for verb in ("build", "preview")
        )
        defaults = {one.name: one.default for one in load_recipe(name).options}
        assert options and [one.help for one in options] == [one.help for one in same], name
        for option in options:
            default = defaults[option.dest.removeprefix("option_")]
            assert f"(default: {default})" in str(option.help), (name, option.dest)


def test_the_examples_of_a_recipe_are_about_it_under_the_name_it_was_given(
    explained: dict[str, Parser],
) -> None:
    place = "pipelines/completions.py"
    made = {verb_name: parser for verb_name, parser in explained.items() if " " in verb_name}
    made[f"build ./{place}"] = parsers({"build": [f"./{place}", "--help"]})["build"]
    for verb_name, parser in made.items():
        title, *examples = str(parser.epilog).splitlines()
        assert title == "examples:" and len(examples) == 3
        for example in examples:
            verb, *words = shlex.split(example)[1:]
            assert f"{verb} {words[0]}" == verb_name, example
            parsers({verb: words})[verb].parse(words)


def test_a_flag_of_several_verbs_takes_the_same_value_in_each(
    explained: dict[str, Parser],
) -> None:
    metavars: dict[str, set[str]] = {}
    for parser in explained.values():
        for action in parser.shown():
            for flag in action.option_strings:
                metavars.setdefault(flag, set()).add(str(action.metavar))
    assert metavars.pop("--teacher") == {
        "[ROLE=]WHO[#MODEL]",
        "WHO[#MODEL]",
    }  # `judge` has one role
    assert metavars.pop("--why") == {"ID", "TEXT"}  # `show` asks why, `yank` is given it
    assert {flag: names for flag, names in metavars.items() if len(names) > 1} == {}


def test_two_examples_at_least_and_each_is_a_command_line_that_parses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_set(Path("my-set.md"), "recipe: completions\npretty_name: Mine")
    for verb in VERBS:
        epilog = str(parsers({verb: ()})[verb].epilog)
        lines = epilog.splitlines()[1:]
        assert len(lines) >= 2, verb
        for line in lines:
            assert len(line) < 80, line
            words = shlex.split(line.partition(" || ")[0], comments=True)
            if words[0] == "eval":  # eval "$(potstill ...)"
                words = shlex.split(words[1].removeprefix("$(").removesuffix(")"))
            program, named, *more = words
            assert (program, named) == ("potstill", verb), line
            if ">" in more:
                more = more[: more.index(">")]
            parsers({verb: more})[verb].parse(more)


def test_help_is_printed_by_each_spelling(capsys: pytest.CaptureFixture[str]) -> None:
    def printed(*words: str) -> str:
        assert main(words) == 0, words
        return capsys.readouterr().out

    everything = printed("help")
    assert everything == printed("--help") == printed("-h")
    assert all(f"    {verb} " in everything for verb in VERBS)
    for verb in VERBS:
        assert printed("help", verb) == printed(verb, "--help") == printed(verb, "-h")
    named = printed("help", "build", "ultrafeedback")
    assert named == printed("build", "ultrafeedback", "--help")
    assert "--writers" in named and "--writers" not in printed("help", "build")
    assert max(map(len, everything.splitlines())) < 90


def test_the_version_is_that_of_the_package(capsys: pytest.CaptureFixture[str]) -> None:
    for flag in ("--version", "-V"):
        assert main([flag]) == 0
        assert capsys.readouterr().out == f"potstill {version('potstill')}\n"
