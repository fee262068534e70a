#!/usr/bin/env bash
# Tests in N processes of this machine, or of each of several:
#   tools/dist_test.sh CONFIG CHECKPOINT N [options of test]
# NNODES, NODE_RANK, MASTER_ADDR, MASTER_PORT, PYTHON: see docs/scale.md.
set -euo pipefail
exec bash "$(dirname "$0")/torchrun.sh" "$3" "$(dirname "$0")/test.py" "$1" "$2" "${@:4}"
