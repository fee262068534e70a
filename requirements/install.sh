#!/usr/bin/env bash
# Makes or completes the environment: install.sh VENV STACK [PYTHON]
#
# Each step leaves a stamp that holds its requirements; a step whose stamp still matches is
# skipped, so that a second call is quick and an interrupted one goes on where it stopped.
set -euo pipefail

venv=$1 stack=$2 python=${3:-}
here=$(cd "$(dirname "$0")" && pwd)

fail() { echo "error: $*" >&2; exit 1; }
say() { echo "== $*"; }

case $stack in
    onedl) supported='3.10 3.11 3.12' mmcv_minutes=15 ;;
    upstream) supported='3.10 3.11' mmcv_minutes=12 ;;
    *) fail "STACK: expected onedl or upstream, found '$stack'" ;;
esac

version_of() { "$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null || true; }

find_python() {  # the one asked for, else the first on PATH whose version is supported
    local candidate found candidates=(python3 python3.12 python3.11 python3.10 python)
    [ -n "$python" ] && candidates=("$python")
    for candidate in "${candidates[@]}"; do
        found=$(version_of "$candidate")
        case " $supported " in *" ${found:-none} "*) echo "$candidate"; return ;; esac
    done
    fail "STACK=$stack needs Python ${supported// /, }; found ${python:-python3} $(version_of "${python:-python3}"); install one or say PYTHON=/path/to/python"
}

if [ -x "$venv/bin/python" ] && "$venv/bin/python" -m pip --version > /dev/null 2>&1; then
    known=$(cat "$venv/.stack" 2>/dev/null || echo another)
    [ "$known" = "$stack" ] || fail "$venv holds $known stack, not $stack; remove it or say VENV=another-folder"
elif [ -e "$venv" ] && [ ! -f "$venv/.stack" ] && [ -n "$(ls -A "$venv")" ]; then
    fail "$venv is there and no environment of ours; say VENV=another-folder"
else
    interpreter=$(find_python)
    say "making the environment $venv with $("$interpreter" --version)"
    mkdir -p "$venv" && echo "$stack" > "$venv/.stack"
    "$interpreter" -m venv "$venv" || {
        rm -rf "$venv"
        fail "cannot make a virtual environment; install Python's venv module (Debian: apt install python3-venv)"
    }
fi
export PIP_DISABLE_PIP_VERSION_CHECK=1
pip() { "$venv/bin/python" -m pip --quiet "$@"; }

step() {  # NAME 'words for people' FILES... -- pip arguments
    local name=$1 words=$2 stamp want
    shift 2
    local files=()
    while [ "$1" != -- ]; do files+=("$1"); shift; done
    shift
    stamp=$venv/.installed-$name
    want=$(cat "${files[@]}"; echo "$@")
    [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$want" ] && return
    say "$words"
    pip install "$@" || fail "step '$name' failed; the lines above say why; call make again to go on from here"
    printf '%s\n' "$want" > "$stamp"
}

pins=$here/$stack/constraints.txt
file() { echo "$here/$stack/$1.txt"; }

step build 'installing build tools (1 minute)' \
    "$(file build)" "$pins" -- -r "$(file build)" -c "$pins"
step torch 'installing PyTorch (some GB with CUDA; minutes, by the network)' \
    "$(file torch)" -- -r "$(file torch)" -c "$pins"
step mmcv "installing mmcv; its operators are compiled (about $mmcv_minutes minutes on 2 cores)" \
    "$(file mmcv)" "$(file torch)" -- --no-build-isolation -r "$(file mmcv)" -c "$pins"
step openmmlab 'installing mmengine, mmdet, mmseg, mmpretrain (2 minutes)' \
    "$(file openmmlab)" "$here/runtime.txt" "$pins" -- -r "$(file openmmlab)" -r "$here/runtime.txt" -c "$pins"
step mmpose 'installing mmpose (1 minute)' \
    "$(file nodeps)" -- --no-deps --no-build-isolation -r "$(file nodeps)"
# opencv-python needs libGL, which servers lack; both distributions fill the same folder, and
# the one without windows has to be the last to write there
step opencv 'installing OpenCV without windows' \
    "$pins" -- --no-deps --force-reinstall "$(grep '^opencv-python-headless==' "$pins")"
step export 'installing what writes and runs ONNX files' \
    "$here/export.txt" "$pins" -- -r "$here/export.txt" -c "$pins"
step extras 'installing what explain and demo need beside them' \
    "$here/extras.txt" "$pins" -- -r "$here/extras.txt" -c "$pins"
step dev 'installing the test tools' \
    "$here/dev.txt" "$pins" -- -r "$here/dev.txt" -c "$pins"
step docs 'installing what builds the documentation' \
    "$here/docs.txt" "$pins" -- -r "$here/docs.txt" -c "$pins"
step project 'installing moganet_dense itself, in place' \
    "$here/../setup.py" "$here/../pyproject.toml" -- --no-deps --no-build-isolation --editable "$here/.."
