"""Keeps a new instruction only when it is unlike every instruction before it, by ROUGE-L.

Source: Self-Instruct, Wang et al. 2022, arXiv 2212.10560; ROUGE, Lin 2004. Scores are those of
`rouge_score` 0.1.2, `RougeScorer(["rougeL"], use_stemmer=False)`, to the last bit.
"""

from __future__ import annotations

import re
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_WORD = re.compile("[a-z0-9]+")
_UNKNOWN = "\0"  # every word that the index does not have; it matches nothing there


class InstructionIndex:
    """A growing list of instructions, and the ROUGE-L F of a text with each of them.

    F is in [0, 1], the same in either order, and 0 for a text without words.

    A text is kept as a string of one character per word, the form in which the longest common
    subsequence (LCS) is found fastest; an index can hold 1,114,111 different words. In addition
    each (word, nth occurrence) points to the texts that have the word n times or more. Counting
    these gives the words that a new text shares with each text in any order, which is never less
    than their LCS.
    """

    def __init__(self, texts: Iterable[str] = ()) -> None:
        """Start with `texts`, which take the indices 0, 1, 2 and so on."""
        self._codes: dict[str, str] = {}
        self._texts: list[str] = []
        self._lengths = array("q")
        self._holders: dict[tuple[str, int], array[int]] = {}
        for text in texts:
            self.add(text)

    def __len__(self) -> int:
        """The number of texts; a repeated text counts each time."""
        return len(self._texts)

    def add(self, text: str) -> None:
        """Append `text`."""
        for word in _words(text):
            if word not in self._codes:
                self._codes[word] = chr(len(self._codes) + 1)
        coded = self._coded(text)
        for key in _numbered(coded):
            self._holders.setdefault(key, array("q")).append(len(self))
        self._texts.append(coded)
        self._lengths.append(len(coded))

    def scores(self, text: str) -> NDArray[np.float64]:
        """ROUGE-L F of `text` with every text, by index."""
        import numpy as np

        return self._scores(self._coded(text), np.arange(len(self)))

    def nearest(self, text: str, most: int = 10) -> list[tuple[float, int]]:
        """At most `most` (score, index) pairs, the best score first, then the lowest index."""
        import numpy as np

        coded = self._coded(text)
        chosen = np.arange(len(self))
        if 0 < most < len(self):
            bounds = self._bounds(coded)
            probes = np.argpartition(-bounds, most - 1)[:most]
            least = self._scores(coded, probes).min()
            # A shared word moves F by far more than rounding does, so floats keep the order too.
            chosen = np.flatnonzero(bounds >= least)
        scores = self._scores(coded, chosen)
        best = np.argsort(-scores, kind="stable")[:most]
        return list(zip(scores[best].tolist(), chosen[best].tolist(), strict=True))

    def most_similar(self, text: str) -> tuple[float, int | None]:
        """The best score and its lowest index; (0, None) in an empty index."""
        return next(iter(self.nearest(text, most=1)), (0.0, None))

    def _coded(self, text: str) -> str:
        return "".join(self._codes.get(word, _UNKNOWN) for word in _words(text))

    def _scores(self, coded: str, chosen: NDArray[np.intp]) -> NDArray[np.float64]:
        """Exact scores of the chosen indices, in their order."""
        import numpy as np
        from rapidfuzz.distance import LCSseq
        from rapidfuzz.process import cdist

        texts = [self._texts[index] for index in chosen.tolist()]
        common = cdist([coded], texts, scorer=LCSseq.similarity)[0]
        return _f_measure(common, len(coded), np.array(self._lengths)[chosen])

    def _bounds(self, coded: str) -> NDArray[np.float64]:
        """An upper bound of each score: its value if the shared words were in the same order."""
        import numpy as np

        holders = [self._holders[key] for key in _numbered(coded) if key in self._holders]
        shared = np.bincount(np.concatenate([array("q"), *holders]), minlength=len(self))
        return _f_measure(shared, len(coded), np.array(self._lengths))


def _words(text: str) -> list[str]:
    return _WORD.findall(text.lower())


def _numbered(coded: str) -> Iterator[tuple[str, int]]:
    """Each word with the number of its occurrences so far: a b a -> (a, 1) (b, 1) (a, 2)."""
    seen: Counter[str] = Counter()
    for code in coded:
        seen[code] += 1
        yield code, seen[code]


def _f_measure(
    common: NDArray[Any], length: int, lengths: NDArray[np.int64]
) -> NDArray[np.float64]:
    import numpy as np

    precision = common / np.maximum(lengths, 1)
    recall = common / max(length, 1)
    # 2 * p * r / (p + r) in the order of rouge_score: other orders round differently.
    total = precision + recall
    return 2 * precision * recall / np.where(total > 0, total, 1)


def novelty(similarity: float, most_similarity: float = 0.7) -> str | None:
    """Why a text is dropped that scores so with its most similar one; None up to `most_similarity`.

    Scores are compared as the floats of the paper's code: 7 shared words of 7 and 13 give
    0.7000000000000001 and are dropped, 7 of 10 and 10 are kept.
    """
    return "too similar" if similarity > most_similarity else None
