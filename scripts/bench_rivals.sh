#!/usr/bin/env bash
# Installs the clients of `scripts/bench.py engine --against`, each from PyPI into an environment of
# its own: distilabel's own runner (`stock`), data-designer, curator, datatrove.
#
#     bash scripts/bench_rivals.sh           # under work/rivals, where bench.py looks
#     bash scripts/bench_rivals.sh FOLDER    # elsewhere; then give bench.py --rivals FOLDER
#
# It takes 1.7 GB of disk and needs uv. An environment that is there already is left as it is.
set -euo pipefail
root="$(CDPATH='' cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd -P)"
folder="${1:-$root/work/rivals}"

uv="$root/.venv/bin/uv"
if [[ ! -x $uv ]]; then uv="$(command -v uv)"; fi
failed=()
rival() {
    local name="$1" place="$folder/$1"
    shift
    if [[ -e $place/installed ]]; then
        echo "bench_rivals: $name is there"
        return
    fi
    echo "bench_rivals: installing $*"
    if "$uv" venv --quiet --clear --python 3.11 "$place" &&
        "$uv" pip install --quiet --python "$place/bin/python" "$@"; then
        touch "$place/installed"
    else
        failed+=("$name")
    fi
}

mkdir -p -- "$folder"
rival stock "distilabel[openai]==1.5.3" requests # which its wheel forgets to declare
rival data-designer data-designer==0.9.6
rival curator bespokelabs-curator==0.1.31
# Its extra `inference` would bring vLLM and torch (8 GB), which an endpoint does not need.
rival datatrove "datatrove[io]==0.10.1" aiofiles aiosqlite httpx
if [[ ${#failed[@]} -gt 0 ]]; then
    echo "bench_rivals: could not be installed: ${failed[*]}" >&2
    exit 1
fi
