"""The child process that reads a commit back: `python -m builders.hub.readback`."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

from builders.errors import PotstillError
from builders.hub.connection import Hub, client_errors, from_environment
from builders.release.snapshot import data_files
from builders.release.verification import compare


def reads_back(hub: Hub, repository: str, sha: str, folder: Path) -> None:
    """Compare every config of a commit with the files of a folder, value by value.

    `datasets` must have been imported with this Hub in its environment.

    Raises:
        PotstillError: What differs, or why it could not be read.
    """
    import datasets

    datasets.disable_progress_bars()
    # No server but the Hub receives the set's name: neither its viewer nor what counts downloads.
    datasets.config.USE_PARQUET_EXPORT = False
    datasets.config.HF_UPDATE_DOWNLOAD_COUNTS = False
    with client_errors(hub, repository):
        for config, files in data_files(folder).items():
            with tempfile.TemporaryDirectory(prefix="potstill-") as cache:
                loaded = datasets.load_dataset(
                    repository,
                    config,
                    revision=sha,
                    split="train",
                    cache_dir=cache,
                    streaming=True,
                    token=hub.token,
                )
                compare(config, loaded, files)


def main(repository: str, sha: str, folder: str) -> None:
    """Read back from the Hub in the environment; exit with one line if something differs.

    Raises:
        SystemExit: What differs.
    """
    try:
        reads_back(from_environment(), repository, sha, Path(folder))
    except (PotstillError, ValueError) as error:
        raise SystemExit(" ".join(str(error).split())) from None


if __name__ == "__main__":
    main(*sys.argv[1:])
    os._exit(0)  # a normal exit can be aborted by the threads of the libraries that read
