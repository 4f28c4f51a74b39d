"""Which files go to LFS and which are ignored: the results are compared with git's own."""

import os
import subprocess
from pathlib import Path

from builders.hub_server import attributes
from tests.cases import each

# Lines of a .gitignore and paths next to it; with an attribute added, lines of a .gitattributes.
CASES = {
    "*.log\n!keep.log\n/top\n": "a.log x/a.log keep.log x/keep.log x/top top a.txt",
    # negation, and ignored folders with everything in them
    "build/\n!build/keep\n": "build/keep build/a",
    "build/*\n!build/keep\n": "build/keep build/a",
    "build\n!build/keep\n": "build/keep x/build",
    "foo/\n!/foo/bar/\n": "foo/bar/a foo/b",
    "foo/*\n!foo/bar/\nfoo/bar/x\n": "foo/bar/x foo/bar/y foo/z",
    "/*\n!/src/\n": "a src/b src/c/d x/src/y",
    "*\n!*/\n!*.py\n": "a.py x/b.py c.txt x/c.txt",
    "*\n!*.py\n": "a.py x/b.py c.txt",
    "a\n!a\n": "a x/a",
    "!*\n": "a",
    # anchored or not, for folders only or not
    "doc/*.txt\n": "doc/a.txt doc/x/a.txt y/doc/a.txt",
    "/doc\n": "doc/a x/doc/a",
    "doc/frotz/\n": "doc/frotz/a a/doc/frotz/b",
    "a\n": "a x/a y/a/b A",
    "*/\n": "a b/c",
    "*/a\n": "x/a y/z/a b/a/c",
    "/\n//\na//b\n./a\n": "a b x/b",
    # stars and question marks
    "**/foo\n": "foo a/foo b/foo/x foobar",
    "foo/**\n": "foo/a foo/b/c x/foo/a",
    "a/**/b\n": "a/b a/x/b a/y/z/b c/a/b a/xb",
    "a**b\n": "ab axb a/b",
    "a/x**y\n": "a/xy a/x1y a/x/y",
    "x/**/y/\n": "x/y/a x/b/y/c x/z/y",
    "**\n": "a b/c",
    "**/\n": "a b/c",
    "/**/\n": "a b/c",
    "a/**/\n": "a/b a/c/d",
    "***/a\n": "a b/a c/d/a/e",
    "saved_model/**/*\n": "saved_model/a saved_model/b/c x/saved_model/a",
    "*.*\n.*\n": ".x a.b a x/.y",
    "a?b\n": "a/b ayb ab aéb",
    "?\n": "a é ab",
    # escapes, blanks, comments, quotes, ends of lines
    "\\#x\n#y\n": "#x #y",
    "\\!x\n": "!x x",
    "a\\*b\n": "a*b axb",
    "a\\?\n": "a? ab",
    "a\\b\n": "ab",
    "a \n": ["a", "a "],
    " a\n": ["a", " a"],
    "a b\n": ["a", "a b"],
    '"a b"\n': ["a", "a b", '"a b"'],
    "a\r\nb": "a b",
    "\ufeffa\n": "a",
    "a\\\n": "a",
    "a+b$.^|()\n{a,b}\n": "a+b$.^|() aab a {a,b}",
    "ünï*\n": "ünïx unix",
    # classes of characters
    "[abc].txt\n": "a.txt d.txt",
    "[!abc].txt\n": "a.txt d.txt",
    "[^abc].txt\n": "a.txt d.txt",
    "[a-cx].txt\n": "b.txt d.txt x.txt -.txt",
    "[z-a].txt\n": "b.txt z.txt a.txt -.txt",
    "[]a].txt\n": "].txt a.txt b.txt",
    "[!]a].txt\n": "].txt a.txt b.txt",
    "[]-a]x\n": "]x ^x ax -x",
    "[a-]x\n": "ax -x bx",
    "[--0]x\n": "-x .x 0x 1x",
    "a[b-d-f]\n": "ac a- ae af",
    "[\\]]x\n": "]x ax",
    "[\\-a]x\n": "-x ax",
    "a[^x]b\na[/]b\n": "a/b ayb",
    "[[:digit:][:upper:]_].txt\n": "1.txt A.txt a.txt _.txt :.txt",
    "a[[:space:]]b.bin\n": ["a b.bin", "axb.bin", "a:b.bin"],  # as `git lfs track` writes it
    "[[:foo:]]\n": "f :",
    "[[.a.]]\n[&&a]~\n[[a]~\n": "a] &~ a~ [~",
    "[a\na[\na[]\n": "[a a a[ a[]",
}


def of_git(folder: Path) -> dict[str, tuple[bool, bool]]:
    """By path, whether git ignores the file and whether it sends the file to LFS."""
    subprocess.run(["git", "init", "-q", folder], check=True)
    files = [path for path in folder.rglob("*") if path.is_file() and ".git" not in str(path)]
    paths = [str(path.relative_to(folder)) for path in files]

    def git(*words: str) -> list[str]:
        done = subprocess.run(
            ["git", *words, "-z", "--stdin"],
            cwd=folder,
            input="\0".join(paths),
            capture_output=True,
            text=True,
            env={**os.environ, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"},
        )
        return done.stdout.split("\0")

    ignored = set(git("check-ignore", "--no-index"))
    of_filter = git("check-attr", "filter")
    values = dict(zip(of_filter[::3], of_filter[2::3], strict=False))  # the list ends with ""
    return {path: (path in ignored, values[path] == "lfs") for path in paths}


def test_every_rule_matches_the_same_files_as_in_git(tmp_path: Path) -> None:
    cases = {}
    for number, (rules, files) in enumerate(CASES.items()):
        folder = tmp_path / str(number)
        given = [line and f"{line} filter=lfs" for line in rules.split("\n")]
        for path in files.split() if isinstance(files, str) else files:
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).touch()
            cases[f"{number}/{path}"] = (rules, "\n".join(given), path)
        (folder / ".gitignore").write_bytes(rules.encode())
        (folder / ".gitattributes").write_bytes("\n".join(given).encode())
    expected = of_git(tmp_path)
    found = {
        name: (attributes.ignored(rules, path), attributes.in_lfs(given, path))
        for name, (rules, given, path) in cases.items()
    }
    assert {cases[name]: expected[name] for name in cases if found[name] != expected[name]} == {}
    assert set(expected.values()) == {(a, b) for a in (True, False) for b in (True, False)}


def test_parquet_goes_to_lfs_by_default_and_text_does_not() -> None:
    assert attributes.in_lfs(attributes.DEFAULT, "data/train-00000-of-00001.parquet")
    assert attributes.in_lfs(attributes.DEFAULT, "saved_model/a/b.txt")
    assert not attributes.in_lfs(attributes.DEFAULT, "README.md")
    assert not attributes.in_lfs(attributes.DEFAULT, "data/a.parquet.txt")


def test_the_last_attribute_of_a_file_counts() -> None:
    rules = "*.csv filter=lfs\n/small/*.csv -filter\n# *.txt filter=lfs\n*.csv text\n"
    assert attributes.in_lfs(rules, "large/a.csv")
    assert not attributes.in_lfs(rules, "small/a.csv")
    assert not attributes.in_lfs(rules, "a.txt")


@each("path", ["big.jsonl", "a b/c d.csv", "x[1]*.bin2", 'quo"te/a.txt'])
def test_a_large_file_gets_an_attribute_of_its_own_once(path: str) -> None:
    rules = attributes.with_lfs(attributes.DEFAULT, [path])
    assert attributes.in_lfs(rules, path)
    assert attributes.with_lfs(rules, [path]) == rules
    assert rules.startswith(attributes.DEFAULT)
