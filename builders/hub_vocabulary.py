"""The words that the Hub knows in a card's metadata: hub_vocabulary.json and hub_languages.txt.

Source: the Hub's dataset card specification (https://huggingface.co/docs/hub/datasets-cards).
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from builders.errors import InputError, did_you_mean, shortened

OTHER, UNKNOWN = "other", "unknown"  # licences; the terms of the first are described elsewhere
_NO_LANGUAGES = ("code", "multilingual")  # which a card may declare beside languages
_MEANT = {  # by a code: the name of the language, its countries' codes, old codes
    "ar": "arabic",
    "cs": "czech cz",
    "da": "danish dk",
    "de": "german deutsch",
    "el": "greek gr",
    "en": "english gb us",
    "es": "spanish español",
    "fa": "persian ir",
    "fi": "finnish",
    "fr": "french français",
    "he": "hebrew il iw",
    "hi": "hindi",
    "hu": "hungarian",
    "id": "indonesian in",
    "it": "italian",
    "ja": "japanese jp",
    "ko": "korean",
    "nl": "dutch",
    "no": "norwegian",
    "pl": "polish",
    "pt": "portuguese",
    "ro": "romanian",
    "ru": "russian",
    "sv": "swedish",
    "tr": "turkish",
    "uk": "ukrainian ua",
    "vi": "vietnamese vn",
    "yi": "ji",
    "zh": "chinese mandarin cn",
}
_NAME = re.compile(r"[a-z0-9](?:[a-z0-9.-]{0,62}[a-z0-9])?")
_LINK = re.compile(r"https://[\w.-]+(?::\d+)?(?:/[\w./~%#?=&+:,;@-]{0,300})?", re.ASCII)


class Licence(NamedTuple):
    """A licence by its id on the Hub; `name` and `link` are those of the licence `other`."""

    id: str
    name: str | None = None
    link: str | None = None

    @classmethod
    def of(cls, facts: Mapping[str, Any]) -> Licence:
        """The licence in the facts of a source or a teacher, as `facts` gives it."""
        name, link = facts.get("licence_name"), _link(facts.get("licence_link"))
        return cls(str(facts["licence"]).lower(), name, link)

    @classmethod
    def stated(cls, words: object, name: object = None, link: object = None) -> Licence:
        """What somebody wrote as a licence: `other` for words that are no id on the Hub.

        Such a one has a name that the Hub takes, and an https link, where these were written.
        """
        if not isinstance(words, str) or not words.strip():
            return cls(UNKNOWN)
        known = words.strip().lower()
        if known != OTHER and known in vocabulary()["license"]:
            return cls(known)
        of_words = re.sub(r"[ _]+", "-", str(name).strip())  # Llama 3.1 Community License
        names = (str(one).strip().lower() for one in (of_words if name else None, known) if one)
        own = (one for one in names if one != OTHER and _NAME.fullmatch(one))
        return cls(OTHER, next(own, None), _link(link))

    @property
    def shown(self) -> str:
        """Its own name, if it has one."""
        return self.name or self.id

    def facts(self) -> dict[str, str]:
        """The same as a plain dict, as a lineage holds it."""
        more = {"licence_name": self.name, "licence_link": self.link}
        return {"licence": self.id, **{name: value for name, value in more.items() if value}}


def _link(given: object) -> str | None:
    """A link that a card may hold as it is; None for anything else."""
    return given if isinstance(given, str) and _LINK.fullmatch(given) else None


NOT_STATED = Licence(UNKNOWN)
GIVEN = "given"  # from where a licence is known, if nothing states another one


def licence_facts(given: str | None, stated: Licence = NOT_STATED, by: str = "") -> dict[str, str]:
    """A licence in a lineage: the given one, else what `by`, such as a card, states of it."""
    if given is None:
        return stated.facts() | ({} if stated.id == UNKNOWN else {"licence_from": by})
    if stated.id in (UNKNOWN, given.lower()):  # which may have a name and a link
        return {**stated.facts(), "licence": given.lower(), "licence_from": GIVEN}
    return {"licence": given.lower(), "licence_from": f"{GIVEN}; {by} states {stated.shown}"}


@functools.cache
def vocabulary() -> dict[str, list[str]]:
    """The words by key of the metadata."""
    text = Path(__file__).with_name("hub_vocabulary.json").read_text(encoding="utf-8")
    words: dict[str, list[str]] = json.loads(text)
    return words


def known_licence(licence: str) -> str:
    """The licence as given, once its id is known to the Hub.

    Raises:
        InputError: It is not known; most likely it is misspelt. The nearest id is offered.
    """
    known = vocabulary()["license"]
    if licence.lower() not in known:
        near = did_you_mean(licence.lower(), known)
        raise InputError(
            f"the licence {licence!r} is not known to the Hub{near}; give one of its ids, such as "
            "'cc-by-4.0', 'other' or 'unknown'"
        )
    return licence


@functools.cache
def languages() -> frozenset[str]:
    """The codes of languages that the Hub takes: ISO 639-1, 639-2 and 639-3.

    Source: the registration authority of ISO 639-3 (https://iso639-3.sil.org) and that of ISO 639-2
    (https://www.loc.gov/standards/iso639-2).
    """
    text = Path(__file__).with_name("hub_languages.txt").read_text(encoding="utf-8")
    return frozenset((*_NO_LANGUAGES, *text.split()))


def check_language(code: str) -> None:
    """Raise InputError where the Hub knows no such language; the nearest code is offered."""
    if code in languages():
        return
    word = re.split(r"[-_ ]", code.lower())[0]  # without the script or the region of a BCP 47 tag
    meant = (known for known, words in _MEANT.items() if word in words.split())
    near = word if word in languages() else next(meant, None)
    alike = [one for one in languages() if len(one) == len(word)]
    hint = f"; did you mean {near!r}?" if near else did_you_mean(word, alike)
    raise InputError(
        f"{shortened(code)} is not the code of a language by ISO 639, such as en, or 'code' or "
        f"'multilingual'; the Hub takes no other{hint}"
    )
