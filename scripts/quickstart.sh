#!/usr/bin/env bash
# From a fresh clone to a released set: seeds, the embedded teacher, a draft, a release folder.
#
#     bash scripts/quickstart.sh                # needs no account and no key
#     bash scripts/quickstart.sh --rows 50      # what follows is for `potstill build`
#
# Interrupt it and run it again: every answer is kept, and the same release changes nothing. A draft
# made with other settings is refused while work/releases/instructions is there: remove that folder,
# or name another one to `potstill release instructions --to-folder`.
set -euo pipefail
root="$(CDPATH='' cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd -P)"
cd -- "$root"

bash scripts/setup.sh
say() { printf '\n$ potstill %s\n' "$*"; }

say build instructions "$@"
.venv/bin/potstill build instructions "$@"
say show instructions
.venv/bin/potstill show instructions
say release instructions --to-folder work/releases/instructions
.venv/bin/potstill release instructions --to-folder "$root/work/releases/instructions"
echo 'print(rows[0])' # after the two lines of Python that `release` ends with
