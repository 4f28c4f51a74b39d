#!/usr/bin/env bash
# From a fresh clone to a loaded set: first.md, the embedded teacher, a draft, a release folder.
#
#     bash scripts/quickstart.sh                # needs no account and no key
#     bash scripts/quickstart.sh --rows 20      # what follows is for `potstill build`
#
# Interrupt it and run it again: every answer is kept, and the same release changes nothing. A draft
# made with other settings is refused while work/releases/first is there: remove that folder, or name
# another one to `potstill release first --to-folder`.
set -euo pipefail
root="$(CDPATH='' cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd -P)"
cd -- "$root"

bash scripts/setup.sh
run() {
    printf '\n$ potstill %s\n' "$*"
    PAGER=cat .venv/bin/potstill "$@"
}
if [[ ! -e first.md ]]; then
    run new first --recipe completions --prompts pipelines/seeds/prompts.jsonl --license cc0-1.0 --rows 8
fi
run build first "$@"
run show first --rows 1
run release first --to-folder work/releases/first
echo 'print(rows[0])' # after the two lines of Python that `release` ends with
HF_DATASETS_CACHE="$root/work/cache" HF_DATASETS_DISABLE_PROGRESS_BARS=1 .venv/bin/python -c '
from datasets import load_dataset
print(load_dataset("work/releases/first", split="train")[0])'

cat <<'END'

Now a set of your own, of a file with one prompt per line:

  source .venv/bin/activate
  potstill new my-set --recipe completions --prompts prompts.txt --license cc0-1.0  # theirs
  potstill preview my-set
  potstill build my-set
END
