"""Files of sets for tests, and the words of those that ship."""

from __future__ import annotations

from pathlib import Path

from builders.set_file import Words
from builders.sets import load_set

WORDS = """\
## What it is

Questions about trees.

## Use

Fine-tuning.

## Limits

Few.

## Changes

### v0.1.0

First version.
"""


def shipped_words(name: str) -> Words:
    words = load_set(name).words
    assert words is not None
    return words


def write_set(path: Path, front: str, words: str = WORDS) -> Path:
    """A set's file with these lines of front matter."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"---\n{front.strip()}\n---\n\n{words}", encoding="utf-8")
    return path
