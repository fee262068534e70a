#!/usr/bin/env bash
# Trains under Slurm, one process a GPU:
#   tools/slurm_train.sh PARTITION JOB_NAME CONFIG [options of train]
# GPUS (8) in all, GPUS_PER_NODE (8), CPUS_PER_TASK (5), SRUN_ARGS, PYTHON: see docs/scale.md.
set -euo pipefail
gpus=${GPUS:-8}
per_node=${GPUS_PER_NODE:-$((gpus < 8 ? gpus : 8))}
# The first machine of the job is that of rank 0; srun knows its name, and only within the job.
# The port is below 32768: from there on a kernel gives them to connections.
exec srun -p "$1" --job-name "$2" --gres "gpu:$per_node" --ntasks "$gpus" \
    --ntasks-per-node "$per_node" --cpus-per-task "${CPUS_PER_TASK:-5}" --kill-on-bad-exit=1 \
    ${SRUN_ARGS:-} bash -c '
        export MASTER_ADDR=${MASTER_ADDR:-$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)}
        export MASTER_PORT=${MASTER_PORT:-$((20000 + SLURM_JOB_ID % 12000))}
        exec "$@" --launcher slurm' bash "${PYTHON:-python}" "$(dirname "$0")/train.py" "${@:3}"
