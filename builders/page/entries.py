"""What a page shows of a set: its rows with their ratings and calls in chunks, and their index."""

from __future__ import annotations

import base64
import math
import zlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from builders.drafting.draft import counts_of
from builders.release.set_rows import SetRows, prompt_id
from builders.schema import Row
from builders.spool import Spool

MOST_ROWS = 100_000  # in a page: what a browser lists and searches at once
CHUNK_BYTES = 192_000  # of JSON, which a browser inflates and parses in 5 ms
_OPENING = 140  # characters of a row in the list
_ROWS_OF_A_CALL = 50
_LONGEST = 20_000  # characters of a text of a call
_DEEPEST = 40  # levels of a value
_MODELS = ("model", "chosen_model", "rejected_model")
_SCORES = (("score_chosen", "score_rejected"), ("soft_label",), ("mean",), ("score",))
_ANSWERS = ("chosen", "completion", "answer", "output", "texts")
_ASKED = ("prompt", "instruction", "why", "problem")
_INDEXED = ("id", "opening", "reason", "model", "length", "score")
_OF_A_CALL = ("role", "model", "ended", "input_tokens", "output_tokens", "reasoning", "answer")
_OF_A_RATING = ("id", "row_id", "prompt", "shown_at", "temperature", "ended")  # left out


class Entries:
    """The rows of all configs but `calls`: `default`, `dropped`, then the others; at most `most`.

    `chunks` is read once, to its end; then `index` and `facts` are complete.
    """

    def __init__(self, found: SetRows, scratch: Path, most: int = MOST_ROWS) -> None:
        """`scratch` is a folder with room for the ratings and calls while the page is made."""
        self._found, self._most = found, most
        self._rated, self._calls = _Attached(scratch), _Attached(scratch)
        self._starts: list[int] = []
        self._configs: list[dict[str, Any]] = []
        self._reasons: Counter[str] = Counter()
        self._reason_places: dict[str, int] = {}
        self._model_places: dict[str, int] = {}
        self._columns: dict[str, list[Any]] = defaultdict(list)
        self._spent: dict[tuple[str, str], Counter[str]] = {}

    def chunks(self) -> Iterator[str]:
        """The rows, each a line of JSON with its ratings and calls, as `packed` gives them."""
        for row in self._rows("rated"):
            rating = {name: value for name, value in row.items() if name not in _OF_A_RATING}
            self._rated.add(rating, _texts([row.get("row_id")]))
        for row in self._rows("calls"):
            self._count(row)
            self._calls.add(
                {name: _clipped(row.get(name)) for name in _OF_A_CALL},
                _texts(row.get("row_ids"))[:_ROWS_OF_A_CALL],
            )
        lines: list[bytes] = []
        held = written = 0
        for line in self._lines():
            if lines and held + len(line) > CHUNK_BYTES:
                self._starts.append(written)
                written += len(lines)
                yield packed(b"\n".join(lines))
                lines, held = [], 0
            lines.append(line)
            held += len(line)
        if lines:
            self._starts.append(written)
            yield packed(b"\n".join(lines))

    def index(self) -> dict[str, Any]:
        """Columns of all rows, to list and filter them; `starts` has each chunk's first row."""
        names = {"reasons": [*self._reason_places], "models": [*self._model_places]}
        columns = {name: self._columns[name] for name in _INDEXED}
        return {"starts": self._starts, **names, **columns}

    def facts(self) -> dict[str, Any]:
        """Counts, calls by role and model, and how many rows each config has and shows."""
        kept = sum(one["rows"] for one in self._configs if one["name"] == "default")
        spent = [
            {"role": role, "model": model, **used}
            for (role, model), used in sorted(self._spent.items())
        ]
        return {
            "counts": counts_of(kept, self._reasons),
            "configs": self._configs,
            "calls": spent,
        }

    def _rows(self, config: str) -> Iterator[Row]:
        return self._found.rows(config) if config in self._found.files else iter(())

    def _lines(self) -> Iterator[bytes]:
        left = self._most
        order = sorted(self._found.files, key=lambda name: (name != "default", name != "dropped"))
        for config in order:
            if config == "calls":
                continue
            rows = shown = 0
            for row in self._rows(config):
                rows += 1
                if config == "dropped":
                    self._reasons[str(row.get("reason"))] += 1
                if shown < left:
                    shown += 1
                    yield self._line(config, row)
            left -= shown
            self._configs.append({"name": config, "rows": rows, "shown": shown})

    def _line(self, config: str, row: Row) -> bytes:
        evidence = row.get("evidence")
        texts = evidence if isinstance(evidence, dict) else row
        calls = self._calls.of(row.get("id"))
        prompt = prompt_id(texts.get("prompt"))
        rated = [] if config == "rated" else self._rated.of(prompt)
        models = [texts[name] for name in _MODELS if texts.get(name)]
        models = models or [call["model"] for call in calls]
        scores = next((names for names in _SCORES if texts.get(names[0]) is not None), ())
        answers = [next((texts[one] for one in _ANSWERS if texts.get(one)), None)]
        for name, value in {
            "id": str(row.get("id")),
            "opening": _opening(texts),
            "reason": _place(self._reason_places, row["reason"]) if "reason" in row else -1,
            "model": sorted({_place(self._model_places, one) for one in models}),
            "length": [len(text_of(one)) for one in (*answers, texts.get("rejected")) if one],
            "score": [texts[one] for one in scores if _is_number(texts.get(one))],
        }.items():
            self._columns[name].append(value)
        kept = texts.get("of") or prompt  # the row of `default` that was kept, if there is one
        return encoded({"row": row, "rated": rated, "calls": calls, "kept": kept})

    def _count(self, call: Row) -> None:
        used = self._spent.setdefault((str(call.get("role")), str(call.get("model"))), Counter())
        used["calls"] += 1
        for name in ("input_tokens", "output_tokens"):
            tokens = call.get(name)
            used[name] += tokens if isinstance(tokens, int) else 0
            used["uncounted"] += not isinstance(tokens, int)


class _Attached:
    """Values on disk, found by the ids of the rows that they belong to."""

    def __init__(self, scratch: Path) -> None:
        self._values = Spool[Row](scratch)
        self._places: dict[str, list[int]] = defaultdict(list)

    def add(self, value: Row, ids: Iterable[str]) -> None:
        for one in ids:
            self._places[one].append(len(self._values))
        self._values.append(value)

    def of(self, one: str | None) -> list[Row]:
        return [self._values[place] for place in self._places.get(one or "", ())]


def encoded(value: object) -> bytes:
    """JSON in UTF-8 that any browser parses, whatever a row holds."""
    import orjson

    try:
        return orjson.dumps(value, default=str)
    except TypeError:  # a lone surrogate, a number of more than 64 bits, too many levels
        return orjson.dumps(_plain(value), default=str)


def packed(data: bytes) -> str:
    """Data as a browser inflates it (zlib), in base64: nothing in it can end a script."""
    return base64.b64encode(zlib.compress(data, 6)).decode("ascii")


def text_of(value: object) -> str:
    """What a person reads of a column: the contents of messages, or a text."""
    if isinstance(value, list):
        return "\n".join(one["content"] if _is_message(one) else str(one) for one in value)
    return "" if value is None else str(value)


def _opening(texts: Mapping[str, Any]) -> str:
    """The beginning of what was asked: the last message of a prompt, else what else is known."""
    asked = next((texts[name] for name in _ASKED if texts.get(name)), None)
    text = text_of(asked[-1:] if isinstance(asked, list) else asked) or text_of(
        next(iter(texts.values()), None)
    )
    return " ".join(text[: 4 * _OPENING].split())[:_OPENING]


def _is_message(value: object) -> bool:
    return isinstance(value, dict) and all(
        isinstance(value.get(name), str) for name in ("role", "content")
    )


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def _texts(values: object) -> list[str]:
    """The texts of a list that may hold anything, or be none."""
    return [one for one in values if isinstance(one, str)] if isinstance(values, list) else []


def _place(places: dict[str, int], name: object) -> int:
    return places.setdefault(str(name), len(places))


def _clipped(value: Any) -> Any:
    fits = not isinstance(value, str) or len(value) <= _LONGEST
    return value if fits else f"{value[:_LONGEST]} [...]"


def _plain(value: Any, depth: int = 0) -> Any:
    """A value as JSON can have it: other numbers and levels too deep become texts."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode("utf-8")
    if isinstance(value, Mapping | Sequence) and depth == _DEEPEST:
        return "[...]"
    if isinstance(value, Mapping):
        return {_plain(str(key)): _plain(one, depth + 1) for key, one in value.items()}
    if isinstance(value, list):
        return [_plain(one, depth + 1) for one in value]
    return str(value) if isinstance(value, int) and value.bit_length() > 63 else value
