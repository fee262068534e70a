#!/usr/bin/env bash
# Starts a script in N processes: tools/torchrun.sh N SCRIPT ARGUMENTS; used by dist_*.sh.
# On one machine the port is whatever is free; over several it has to be agreed upon.
set -euo pipefail
if [ "${NNODES:-1}" = 1 ]; then
    meeting=(--standalone)
else
    meeting=(--nnodes "$NNODES" --node-rank "${NODE_RANK:?number of this machine, from 0}"
        --master-addr "${MASTER_ADDR:?address of machine 0}" --master-port "${MASTER_PORT:-29500}")
fi
# One thread a process unless asked otherwise; set, so that torchrun does not warn of it.
export OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}" MKL_NUM_THREADS="${MKL_NUM_THREADS:-1}"
exec "${PYTHON:-python}" -m torch.distributed.run "${meeting[@]}" --nproc-per-node "$1" \
    --monitor-interval 1 "$2" "${@:3}" --launcher pytorch
