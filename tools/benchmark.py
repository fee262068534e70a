"""Times backbones and models side by side: plain formulas, our forms, and peers.

    python tools/benchmark.py infer            # one image of 512 x 512
    python tools/benchmark.py train            # a step on two images of 320 x 320
    python tools/benchmark.py models           # RetinaNet, UPerNet, pose, at real sizes
    python tools/benchmark.py growth           # time and kept bytes by size and batch
    python tools/benchmark.py pipeline         # what of a run is not the network
    python tools/benchmark.py evaluation       # COCO's metrics on 5000 images
    python tools/benchmark.py gpu              # backbones and kernels on an NVIDIA GPU

``--out FILE`` keeps the figures; docs/make_benchmarks.py makes the page of them. All but ``gpu``
are for CPUs and need the toolboxes, for their peers. ``gpu`` needs torch, mmengine and this
checkout alone, compares with timm's backbones where timm is installed, and has options of its
own: ``python tools/benchmark.py gpu --help``.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))  # when it is run by path


def main() -> int | None:
    if sys.argv[1:2] == ['gpu']:
        from gpu_benchmark.run import main as measure  # without torch: it starts what needs it

        return measure(sys.argv[2:])
    from benchmark_cpu import main as measure

    return measure()


if __name__ == '__main__':
    if code := main():
        sys.exit(code)
