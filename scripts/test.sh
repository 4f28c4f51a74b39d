#!/usr/bin/env bash
# Every check and every test, in .venv, with no network for the Hub's clients.
#
#     bash scripts/test.sh                       # ruff, mypy and all tests
#     bash scripts/test.sh quick                 # without torch, trl and the slow tests
#     bash scripts/test.sh quick -- -x -k card   # what follows -- is for pytest
#
# It leaves with 0 only if all of them pass; pytest's summary comes last.
set -euo pipefail
root="$(CDPATH='' cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd -P)"
cd -- "$root"

extras=(dev trainers)
selected=()
if [[ ${1:-} == quick ]]; then
    extras=(dev)
    selected=(-m "not slow")
    shift
fi
if [[ ${1:-} == -- ]]; then
    shift
elif [[ $# -gt 0 ]]; then
    echo "test.sh: '$1' was not expected; usage: bash scripts/test.sh [quick] [-- PYTEST-ARGUMENTS]" >&2
    exit 2
fi

bash scripts/setup.sh "${extras[@]}"
export HF_HUB_OFFLINE=1 HF_HUB_DISABLE_TELEMETRY=1

failed=()
check() {
    echo "test: $*"
    .venv/bin/python -m "$@" || failed+=("$*")
}
check ruff check
check ruff format --check
check mypy
if [[ ${#failed[@]} -gt 0 ]]; then
    printf 'test: failed: %s\n' "${failed[@]}"
fi
check pytest "${selected[@]}" "$@"
[[ ${#failed[@]} -eq 0 ]]
