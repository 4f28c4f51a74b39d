"""Rating by aspect: all texts of a prompt in one shuffled order, parsed strictly by label.

A judge's answer gives one rating to each text, or none at all: where there is a doubt, its reason
is raised and nothing is guessed. builders/judging/aspects.py has the questions.

Source: Cui et al. 2023, UltraFeedback (arXiv 2310.01377), for the structure.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from itertools import count
from typing import Any

from builders.engine.calls import Unreadable
from builders.judging.aspects import RatedAspect
from builders.judging.parsing import document_in, json_number, judgement, whole_number

MOST, MOST_SCORE = 5, 10

_NONCE_LETTERS = "bcdfghjklmnpqrstvwxz"  # no vowel: it spells nothing; no digit: it rates nothing
_NONCE_LENGTH = 5
_NONCES_OF_A_DIGEST = 11  # 20 ** 55 is the most that 256 bits hold
_ORNAMENT = r"[ \t*_`]*+"
_START = rf"[ \t#*_`•+–—-]*+(?:\(?[0-9]{{1,2}}[.)][ \t]++)?+{_ORNAMENT}"
_NUMBER = rf"text[ \t]*+(?P<place>[0-9]{{1,3}}){_ORNAMENT}"
_NONCE = rf"[<(\[{{][ \t]*+(?P<nonce>[a-z]{{{_NONCE_LENGTH}}})[ \t]*+[>)\]}}]{_ORNAMENT}"
_FLAGS = re.IGNORECASE | re.MULTILINE
_LABEL = re.compile(_NUMBER + _NONCE, _FLAGS)
_SCALE = rf"(?:\([^()\n]{{0,12}}\b1[ \t]*(?:-|–|to)[ \t]*5\){_ORNAMENT})?+"
_LINE = re.compile(
    # A label at a line's start heads a section, unless a sentence goes on: "Text 2 <..> is better".
    rf"{_START}(?:(?P<heading>{_NUMBER}(?:{_NONCE}(?:[:：–—-]|(?=$|rating\b))|(?:[:：]|$)))"
    rf"|(?P<of>rating{_ORNAMENT}(?:for|of)\b)"
    rf"|(?:overall |final )?rating{_ORNAMENT}{_SCALE}(?:[:：=]|[–—-](?=\s))(?P<rating>[^\n]*)"
    rf"|types?{_ORNAMENT}[:：][^\n]*"
    rf"|rationale(?: for(?: the)? rating)?{_ORNAMENT}[:：]{_ORNAMENT})",
    _FLAGS,
)
_RATINGS_KEY = re.compile(r'\{\s*"ratings"\s*:')
_SCORE_KEY = re.compile(r'\{\s*"(?:critique|score)"\s*:')
_SCORE_LINE = re.compile(
    rf"^{_START}overall[ \t]score{_ORNAMENT}(?:\([^()\n]{{0,12}}\b1[ \t]*(?:-|–|to)[ \t]*10\)"
    rf"{_ORNAMENT})?+(?:[:：=]|[–—-](?=\s))(?P<score>[^\n]*)",
    _FLAGS,
)
_ABSENT = re.compile(r"n\.?/?a\.?|not applicable", re.IGNORECASE)
_NEXT_FIELD = re.compile(r"\brationale\b", re.IGNORECASE)
_OWN = (
    r"(?:judge?ment|critique|criticism|evaluation|assessment|review|feedback|answer|json|object"
    r"|score)"
)
_INTRODUCTION = (  # the judge's own words for it, and nothing that it quotes
    r"[#*_ ]*+(?:(?:sure|certainly|of course|okay)\b[,.!:]?[ ]*+)?+"
    r"(?:(?:here(?: is|'s|’s)|this is|below is|the following is)[ ])?+"
    r"(?:(?:my|the|a|your)[ ])?+(?:(?:full|final|brief|requested|json|detailed)[ ])*+"
    rf"(?:{_OWN}(?:[ ](?:object|and (?:the |my )?score|in json|of the text|for the text))*+)?+"
    r"[ ]*+[.:：]?+[*_ ]*+(?=\n)"
)
_AROUND = re.compile(
    rf"\s*+(?:{_INTRODUCTION})?+\s*+(?:<({_OWN}|output|result)>)?+\s*+"
    r"(?:```\w*+)?+\s*+(?:```)?+\s*+(?:</\1>)?+\s*+",
    re.IGNORECASE,
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Rating:
    """One text's rating for one aspect: 1 to 5, or None where the judge answered N/A."""

    value: int | None
    rationale: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Critique:
    """What a judge wrote about one text, and its overall score from 1 to 10."""

    text: str
    score: int


def shown_order(seed_text: str, texts: int) -> tuple[int, ...]:
    """The order in which texts are shown: at each place, the number of the text."""
    return tuple(sorted(range(texts), key=lambda text: _digest("order", seed_text, text)))


def labels(seed_text: str, texts: int) -> tuple[str, ...]:
    """The label at each place, such as `Text 1 <kqzfb>`, which no rated text can guess.

    Nobody can guess it without `seed_text`: put the whole question into that.
    """
    nonces: dict[str, None] = {}
    for block in count():
        number = int.from_bytes(_digest("label", seed_text, block))
        for _ in range(_NONCES_OF_A_DIGEST):
            letters = []
            for _ in range(_NONCE_LENGTH):
                number, letter = divmod(number, len(_NONCE_LETTERS))
                letters.append(_NONCE_LETTERS[letter])
            if len(nonces) == texts:
                return tuple(f"Text {place} <{nonce}>" for place, nonce in enumerate(nonces, 1))
            nonces["".join(letters)] = None
    raise AssertionError  # the digests never end


def _digest(use: str, seed_text: str, number: int) -> bytes:
    return sha256(f"{use} {number} {seed_text}".encode("utf-8", "surrogatepass")).digest()


def put_back(shown: Sequence[Rating], order: Sequence[int]) -> list[Rating]:
    """The ratings of the places, in the order that the texts had before they were shuffled."""
    ratings = dict(zip(order, shown, strict=True))
    return [ratings[text] for text in range(len(order))]


def mean_rating(ratings: Iterable[int | None]) -> float | None:
    """The mean of the ratings that there are; None without any."""
    there = [rating for rating in ratings if rating is not None]
    return sum(there) / len(there) if there else None


def parse_ratings(answer: str, labels: Sequence[str], aspect: RatedAspect) -> list[Rating]:
    """Exactly one rating for each label, in the labels' order.

    The answer may be text in sections or the JSON of `rating_schema`. One that the token limit cut
    off may end in what it quoted: only a complete answer can be parsed.

    Raises:
        Unreadable: The answer leaves any doubt which rating goes with which label.
    """
    answer = judgement(answer)
    if not answer.strip():
        raise Unreadable("no answer")
    return _one_each(_ratings(answer, [_parts(label) for label in labels], aspect), labels)


def parse_critique(answer: str) -> Critique:
    """What the judge wrote about one text, and its one overall score, a whole number from 1 to 10.

    Raises:
        Unreadable: There is no score, or more than one.
    """
    answer = judgement(answer)
    if not answer.strip():
        raise Unreadable("no answer")
    try:
        document, rest = document_in(answer, _SCORE_KEY)
        if document is not None:
            return _critique_of(document, rest)
        text = "\n".join(rest.splitlines())
        lines = list(_SCORE_LINE.finditer(text))
        value = _only([whole_number(line["score"], MOST_SCORE) for line in lines])
        critique = text[: lines[0].start()].rstrip() + "\n" + text[lines[0].end() :].lstrip()
        return Critique(text=critique.strip(), score=value)
    except Unreadable as doubt:
        raise Unreadable(doubt.reason.replace("rating", "score")) from None


_Label = tuple[int, str]


def _parts(label: str) -> _Label:
    """A label's number and nonce."""
    found = _LABEL.fullmatch(label.strip(" \t*_`"))
    if not found:
        raise Unreadable("unknown label")
    return int(found["place"]), found["nonce"].lower()


def _one_each(found: Iterable[tuple[int, list[Rating]]], labels: Sequence[str]) -> list[Rating]:
    """The rating at each place, when every place was found once and was rated once."""
    given: dict[int, list[Rating]] = {}
    repeated = False
    for place, ratings in found:
        repeated = repeated or place in given
        given.setdefault(place, []).extend(ratings)
    if any(len({one.value for one in ratings}) > 1 for ratings in given.values()):
        raise Unreadable("contradictory ratings")
    if repeated:
        raise Unreadable("repeated label")
    if any(len(ratings) > 1 for ratings in given.values()):
        raise Unreadable("surplus rating")
    if not given or not all(given.values()):
        raise Unreadable("no rating")
    if len(given) < len(labels):
        raise Unreadable("missing label")
    return [given[place][0] for place in range(len(labels))]


def _ratings(
    answer: str, asked: Sequence[_Label], aspect: RatedAspect
) -> Iterator[tuple[int, list[Rating]]]:
    """The place of each section or object, and the ratings in it."""
    document, rest = document_in(answer, _RATINGS_KEY)
    text = "\n".join(rest.removeprefix("\ufeff").splitlines())
    lines = list(_lines(text))
    if document is not None:
        if any(line["heading"] or line["rating"] is not None for line in lines):
            raise Unreadable("surplus rating")
        yield from _from_json(document, asked, aspect)
        return
    place: int | None = None
    section: list[re.Match[str]] = []
    for line in lines:
        if line["of"]:
            raise Unreadable("unclear rating")
        if line["heading"]:
            if place is not None:
                yield place, _section(text, section, line.start(), aspect)
            place, section = _place(line["place"], line["nonce"], asked), [line]
        elif place is None and line["rating"] is not None:
            raise Unreadable("stray rating")
        else:
            section.append(line)
    if place is not None:
        yield place, _section(text, section, len(text), aspect)


def _lines(text: str) -> Iterator[re.Match[str]]:
    """The lines that mean something here; what follows a heading in its line is one more."""
    start = 0
    while True:
        found = _LINE.match(text, start)
        if found:
            yield found
            if found["heading"]:
                start = found.end()
                continue
        start = text.find("\n", start) + 1
        if not start:
            return


def _place(number: str | int, nonce: str | None, asked: Sequence[_Label]) -> int:
    """The place, from 0, of a label whose number and nonce belong together."""
    label = int(number), (nonce or "").lower()
    if label in asked:
        return asked.index(label)
    known = {one for _, one in asked}
    raise Unreadable("mixed labels" if label[1] in known else "unknown label")


def _section(
    text: str, lines: Sequence[re.Match[str]], end: int, aspect: RatedAspect
) -> list[Rating]:
    """The ratings in one section: between its heading and the next."""
    ends = [line.start() for line in lines[1:]] + [end]
    rationale: list[str] = []
    values: list[int | None] = []
    for line, until in zip(lines, ends, strict=True):
        after = text[line.end() : until].strip()
        rating = line["rating"]
        if rating is not None:
            if not rating.strip(" \t*_`"):  # the value is on the next line
                rating, _, after = after.partition("\n")
            value, *why = _NEXT_FIELD.split(rating, maxsplit=1)
            values.append(_rated(value.rstrip(" \t*_`,;|–—-") if why else value, aspect))
            after = "\n".join([*(one.lstrip(" \t:：*_`") for one in why), after]).strip()
        if after:
            rationale.append(after)
    return [Rating(value=value, rationale="\n".join(rationale)) for value in values]


def _rated(text: str, aspect: RatedAspect) -> int | None:
    """The rating in a text that holds it and nothing else."""
    if _ABSENT.fullmatch(text.strip(" \t*_`\"'.,;|")):
        if aspect.may_be_absent:
            return None
        raise Unreadable("rating absent")
    return whole_number(text, MOST)


def _only(values: Sequence[int]) -> int:
    if not values:
        raise Unreadable("no rating")
    if len(set(values)) > 1:
        raise Unreadable("contradictory ratings")
    if len(values) > 1:
        raise Unreadable("surplus rating")
    return values[0]


def _critique_of(document: Mapping[str, Any], rest: str) -> Critique:
    """The critique of an answer that is one JSON object, however wrapped; it could be a quote."""
    if not _AROUND.fullmatch(rest) or set(document) != {"critique", "score"}:
        raise Unreadable("faulty json")
    critique, value = document["critique"], json_number(document["score"], MOST_SCORE)
    if not isinstance(critique, str):
        raise Unreadable("faulty json")
    return Critique(text=critique.strip(), score=value)


def _from_json(
    document: Mapping[str, Any], asked: Sequence[_Label], aspect: RatedAspect
) -> Iterator[tuple[int, list[Rating]]]:
    entries = document["ratings"]
    if set(document) != {"ratings"} or not isinstance(entries, list):
        raise Unreadable("faulty json")
    for entry in entries:
        if not isinstance(entry, dict) or set(entry) - {"label", "types", "rationale", "rating"}:
            raise Unreadable("faulty json")
        label, rating = entry.get("label"), entry.get("rating")
        rationale = entry.get("rationale", "")
        if not isinstance(label, str) or not isinstance(rationale, str):
            raise Unreadable("faulty json")
        place = _place(*_parts(label), asked)
        value = _rated(rating, aspect) if isinstance(rating, str) else json_number(rating, MOST)
        yield place, [Rating(value=value, rationale=rationale)]
