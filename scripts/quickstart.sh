#!/usr/bin/env bash
# From a fresh clone to a released set: seeds, the embedded teacher, a draft, a release folder.
#
#     bash scripts/quickstart.sh                # with no account, key or network but for the set-up
#     bash scripts/quickstart.sh --rows 50      # what follows is for `potstill build`
#
# Run it again and nothing is paid for twice: answers are kept, and the same release changes nothing.
set -euo pipefail
root="$(CDPATH='' cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd -P)"
cd -- "$root"

bash scripts/setup.sh
say() { printf '\n$ potstill %s\n' "$*"; }

say build instructions "$@"
.venv/bin/potstill build instructions "$@"
say show instructions
.venv/bin/potstill show instructions
say release instructions --to work/releases/instructions
.venv/bin/potstill release instructions --to "$root/work/releases/instructions"
echo 'print(rows[0])' # after the two lines of Python that `release` ends with
