#!/usr/bin/env bash
# Every check and every test, in .venv, with no network for the Hub's clients.
#
#     bash scripts/test.sh                       # ruff, mypy and all tests but those marked `matrix`
#     bash scripts/test.sh quick                 # without torch, trl and the slow tests, and with fewer
#                                                # examples of each property
#     bash scripts/test.sh quick --python python3.13   # the quick tests on another Python, in .venv-3.13.x
#     bash scripts/test.sh matrix                # the tests marked `matrix`, and the quick ones on every
#                                                # other supported Python that this machine has
#     bash scripts/test.sh quick -- -x -k card   # what follows -- is for pytest; -n 0: in one process
#
# It leaves with 0 only if all of them pass; pytest's summary comes last.
set -euo pipefail
root="$(CDPATH='' cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd -P)"
cd -- "$root"

usage="usage: bash scripts/test.sh [quick [--python PYTHON] | matrix] [-- PYTEST-ARGUMENTS]"
mode=full python=""
if [[ ${1:-} == quick || ${1:-} == matrix ]]; then
    mode="$1"
    shift
fi
if [[ $mode == quick && ${1:-} == --python && $# -gt 1 ]]; then
    python="$2"
    shift 2
fi
if [[ ${1:-} == -- ]]; then
    shift
elif [[ $# -gt 0 ]]; then
    echo "test.sh: '$1' was not expected; $usage" >&2
    exit 2
fi
export HF_HUB_OFFLINE=1 HF_HUB_DISABLE_TELEMETRY=1
unset PYTHONDONTWRITEBYTECODE # the commands that tests start would compile every module anew
# A test that hangs fails after ten minutes, with the stacks of all threads, and the next one runs.
# (By the method `thread` it would end its worker, and xdist would try that test again.)
parallel=(-n 2 --dist loadfile --timeout 600 --timeout-method signal)
only_quick=(-m "not slow and not matrix" --hypothesis-profile quick)

failed=()
check() {
    echo "test: $*"
    "$@" || failed+=("$*")
}
version_of() { "$1" -c 'import platform; print(platform.python_version())' 2>/dev/null; }
quick_on() {
    local venv
    venv=".venv-$(version_of "$1")" || venv=.venv-other # setup.sh says what is wrong with it
    bash scripts/setup.sh --python "$1" --venv "$venv" dev &&
        "$venv/bin/python" -m pytest "${parallel[@]}" "${only_quick[@]}" "${@:2}"
}

if [[ -n $python ]]; then
    quick_on "$python" "$@"
    exit
fi
extras=(dev trainers) selected=(-m "not matrix")
if [[ $mode == quick ]]; then extras=(dev) selected=("${only_quick[@]}"); fi
if [[ $mode == matrix ]]; then selected=(-m matrix); fi
bash scripts/setup.sh "${extras[@]}"

code=(builders pipelines scripts tests README.md CONTRIBUTING.md) # not what a user made here
check .venv/bin/python -m ruff check "${code[@]}"
check .venv/bin/python -m ruff format --check "${code[@]}"
check .venv/bin/python -m mypy
check .venv/bin/python -m scripts.licences
if [[ $mode == matrix ]]; then
    tried=" $(version_of .venv/bin/python) "
    for python in python3.11 python3.12 python3.13 /usr/bin/python3 \
        "${PYENV_ROOT:-$HOME/.pyenv}"/versions/3.1[123].*/bin/python3; do
        version="$(version_of "$python")" || continue
        if [[ $version == 3.1[123].* && $tried != *" $version "* ]]; then
            tried+="$version "
            check quick_on "$python" "$@"
        fi
    done
fi
if [[ ${#failed[@]} -gt 0 ]]; then
    printf 'test: failed: %s\n' "${failed[@]}"
fi
check .venv/bin/python -m pytest "${parallel[@]}" "${selected[@]}" "$@"
[[ ${#failed[@]} -eq 0 ]]
