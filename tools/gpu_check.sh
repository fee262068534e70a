#!/usr/bin/env bash
# One visit to a machine with an NVIDIA GPU, for 15 minutes and without a network:
#
#   here:   bash tools/gpu_check.sh pack          puts mmengine and what it needs into .gpu/site
#   there:  bash tools/gpu_check.sh run OUT [MINUTES]
#
# Take the checkout along with .gpu. The machine needs Python with a CUDA build of torch, NumPy,
# OpenCV, and timm for the peers. `run` measures for MINUTES (default: 8) and leaves
# OUT/DATE-gpu.json, written after every row, and OUT/gpu.txt. Copy the JSON to docs/benchmarks/
# and run `python docs/make_benchmarks.py`.
set -euo pipefail
cd "$(dirname "$0")/.."
PYTHON=${PYTHON:-python3}

case ${1:-} in
pack)
    rm -rf .gpu/site
    "$PYTHON" -m pip install --quiet --no-deps --target .gpu/site onedl-mmengine addict yapf \
        platformdirs termcolor rich markdown-it-py mdurl pygments packaging safetensors click
    find .gpu -name __pycache__ -prune -exec rm -rf {} +
    du -sh .gpu
    ;;
run)
    out=${2:?expected a folder for the results}
    mkdir -p "$out"
    # packages of the machine come first: .gpu/site only fills what is missing
    site=$("$PYTHON" -c 'import sysconfig; print(sysconfig.get_paths()["purelib"])')
    export PYTHONPATH="$PWD:$site:$PWD/.gpu/site" PYTHONUNBUFFERED=1
    nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv || true
    "$PYTHON" tools/benchmark.py gpu --minutes "${3:-8}" --out "$out/$(date +%F)-gpu.json" \
        ${GPU_CHECK_OPTIONS:-} 2>&1 | tee "$out/gpu.txt"
    ;;
*)
    sed -n '2,11s/^# \{0,1\}//p' "$0"
    exit 2
    ;;
esac
