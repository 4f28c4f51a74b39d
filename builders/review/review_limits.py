"""What a pull request may bring, and what reading its files may cost."""

from __future__ import annotations

from dataclasses import dataclass, field

from builders.sandbox.file_reader import ReadLimits


@dataclass(frozen=True, kw_only=True)
class ReviewLimits:
    """The most that one pull request may bring.

    Attributes:
        most_rows: Rows added, changed and removed.
        most_new_bytes: Size of the rows added and changed, as JSON: checking them takes about a
            second per million.
        most_growth: Rows added, as a multiple of the rows of the set.
        most_removed_share: Rows removed, as a share of the rows of the set.
        most_files: Files that differ.
        most_readme_bytes: Size of the card.
        of_a_file: What reading one file may cost.
    """

    most_rows: int = 10_000
    most_new_bytes: int = 100_000_000
    most_growth: int = 10
    most_removed_share: float = 0.5
    most_files: int = 200
    most_readme_bytes: int = 100_000
    of_a_file: ReadLimits = field(default_factory=ReadLimits)
