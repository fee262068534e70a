#!/usr/bin/env bash
# Trains in N processes of this machine, or of each of several:
#   tools/dist_train.sh CONFIG N [options of train]
# NNODES, NODE_RANK, MASTER_ADDR, MASTER_PORT, PYTHON: see docs/scale.md.
set -euo pipefail
exec bash "$(dirname "$0")/torchrun.sh" "$2" "$(dirname "$0")/train.py" "$1" "${@:3}"
