#!/usr/bin/env bash
# Resolves the *.in files again, for Python 3.10 and newer, into STACK/{light,train,test,docs}.txt.
# For maintainers: needs uv (pip install uv) and the network. Newer releases come in by
# running it; what must stay is pinned in the *.in files and STACK/torch.txt.
set -euo pipefail
cd "$(dirname "$0")"
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

compile() {  # OUTPUT FILES...: what comes with torch is left to torch
    uv pip compile --quiet --universal --python-version 3.10 --no-annotate --no-header \
        --override leave-out.txt --build-constraints "$scratch/build.txt" --output-file "$@" > /dev/null
}

without() {  # FILE OTHERS...: the lines of FILE that no other has and that torch does not bring
    grep -vxFf <(cat "${@:2}" /dev/null) "$1" |
        grep -vE '^(torch|torchvision|triton|cuda-|nvidia-|sympy|mpmath|setuptools)\b' || true
}

for stack in onedl upstream; do
    grep -v '^pip==' "$stack/build.txt" > "$scratch/build.txt"
    grep 'mmengine==' "$stack/openmmlab.in" > "$scratch/mmengine.in"
    stack_files=("$stack/openmmlab.in" "$stack/torch.txt" "$scratch/build.txt")
    compile "$scratch/all" "${stack_files[@]}" {light,train,test,docs}.in
    compile "$scratch/light" -c "$scratch/all" light.in "$scratch/mmengine.in"
    compile "$scratch/train" -c "$scratch/all" train.in "$stack/openmmlab.in" "$stack/torch.txt"
    compile "$scratch/test" -c "$scratch/all" test.in
    compile "$scratch/docs" -c "$scratch/all" docs.in
    without "$scratch/light" > "$stack/light.txt"
    without "$scratch/train" > "$stack/train.txt"
    without "$scratch/test" "$stack/train.txt" > "$stack/test.txt"
    without "$scratch/docs" "$stack/train.txt" > "$stack/docs.txt"  # installed without the tests' too
done
