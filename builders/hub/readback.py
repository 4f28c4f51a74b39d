"""The child that reads a commit back as a stranger would: `python -m builders.hub.readback`."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from builders.errors import PotstillError
from builders.release.edition import data_files
from builders.release.reading_back import compare


def main(repository: str, sha: str, folder: str) -> None:
    """Compare every config of a commit with the files of a folder; exit with a line if one differs.

    Raises:
        SystemExit: With what differs.
    """
    import datasets

    datasets.disable_progress_bars()
    try:
        for config, files in data_files(Path(folder)).items():
            with tempfile.TemporaryDirectory(prefix="potstill-") as cache:
                loaded = datasets.load_dataset(
                    repository,
                    config,
                    revision=sha,
                    split="train",
                    cache_dir=cache,
                    streaming=True,
                )
                compare(config, loaded, files)
    except (PotstillError, OSError, ValueError) as error:
        raise SystemExit(" ".join(str(error).split())) from None


if __name__ == "__main__":
    main(*sys.argv[1:])
