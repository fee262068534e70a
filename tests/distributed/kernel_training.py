"""Trains with the kernels, interpreted, in two processes, and compares with one process that
computes the formulas in float64; prints what differs.

    TRITON_INTERPRET=1 MOGANET_KERNELS=1 python tests/distributed/kernel_training.py [CASE ...]

A process has one image, or two that it accumulates; batch norms use fixed statistics. Where they
use those of the batch, both processes have the same two images.
"""

import copy
import json
import os
import sys
import tempfile
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import golden
import torch
import torch.distributed as dist
from group import Group
from mmengine.optim import OptimWrapper
from plain import plain_forward
from quick_interpreter import quick_interpreter
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from moganet_dense import MogaNet
from moganet_dense.engine.fsdp import shard, whole
from moganet_dense.engine.model_hooks import ChannelsLastHook
from moganet_dense.models.compiling import CompiledStage, compile_blocks
from moganet_dense.models.kernels.launching import counted_launches

SIZES = dict(embed_dims=(8, 16, 8, 8), depths=(1, 1, 1, 1), ffn_ratios=(2, 2, 2, 2))
STEPS, LARGEST_NORM = 2, 0.05
VIEWS = dict(gradient_as_bucket_view=True, static_graph=True, bucket_cap_mb=0.005)
CASES = dict(
    fsdp=dict(sharded=True, fused=True),
    fsdp_checkpointed=dict(sharded=True, with_cp=True, fixed=False),
    fsdp_compiled=dict(sharded=True, compiled=True),
    fsdp_accumulated=dict(sharded=True, batches=2, set_to_none=False),
    ddp=dict(batches=2, fixed=False),
    ddp_views=dict(ddp=VIEWS, fused=True),
    ddp_accumulated=dict(ddp=dict(gradient_as_bucket_view=True), batches=2, set_to_none=False),
    ddp_checkpointed=dict(ddp=VIEWS, with_cp=True, fixed=False),
)


class Classifier(nn.Module):
    def __init__(self, fixed: bool) -> None:
        super().__init__()
        self.backbone = MogaNet(SIZES, norm_eval=fixed, out_indices=(1,))
        self.head = nn.Linear(16, 3)

    def forward(self, x: Tensor, plain: bool = False) -> Tensor:
        (feature,) = plain_forward(self.backbone, x) if plain else self.backbone(x)
        return self.head(feature.mean((2, 3))).square().mean()


def trained(
    model: nn.Module, batches: list[Tensor], fused: bool, set_to_none: bool, **options
) -> dict[str, Tensor]:
    """Gradients of the last step, and weights and buffers after it."""
    trained = [p for p in model.parameters() if p.requires_grad]
    if fused:  # gradients of nothing but rounding become steps: eps makes them small
        optimizer = torch.optim.AdamW(trained, 1e-2, eps=1e-2, fused=True)
    else:
        optimizer = torch.optim.SGD(trained, 0.1, momentum=0.9)
    for step in range(STEPS):
        for i, x in enumerate(batches):
            model.require_backward_grad_sync = i + 1 == len(batches)  # DDP's
            (model(x + 0.1 * step, **options) / len(batches)).backward()
        gradients = {n: p.grad for n, p in model.named_parameters() if p.requires_grad}
        found = {f'gradient of {n}': whole(value).clone() for n, value in gradients.items()}
        nn.utils.clip_grad_norm_(trained, LARGEST_NORM)
        optimizer.step()
        optimizer.zero_grad(set_to_none)
    found |= {name: whole(value) for name, value in model.state_dict().items()}
    return {name.replace('module.', ''): value.detach() for name, value in found.items()}


def compared(
    sharded: bool = False, ddp: dict | None = None, with_cp: bool = False, compiled: bool = False,
    batches: int = 1, fixed: bool = True, fused: bool = False, set_to_none: bool = True,
) -> dict:  # fmt: skip
    """What one of two processes finds."""
    rank = int(os.environ['RANK'])
    dist.init_process_group('gloo')
    torch.set_num_threads(1)
    model = golden.fill(Classifier(fixed)).train()
    exact, x = copy.deepcopy(model).double(), golden.image(24, 20, 2 * batches).chunk(batches)
    own = [part[rank : rank + 1] if fixed else part for part in x]
    wanted = trained(exact, [part.double() for part in x], fused, set_to_none, plain=True)
    model.backbone.with_cp = with_cp
    if sharded:
        shard(model)
    wrapper = OptimWrapper(torch.optim.SGD(model.parameters(), lr=0.1))
    ChannelsLastHook().before_run(SimpleNamespace(model=model, optim_wrapper=wrapper))
    stages = ()
    if compiled:
        assert compile_blocks(model.backbone, 'aot_eager')
        stages = [model.backbone.stage(i)[1][0].compute for i in range(2)]
    if not sharded:
        model = DistributedDataParallel(model, **ddp or {})
    with quick_interpreter(), counted_launches() as made:
        found = trained(model, own, fused, set_to_none)
    dist.destroy_process_group()
    assert all(isinstance(stage, CompiledStage) and stage.compiled for stage in stages)
    return dict(launches=len(made), **differences(found, wanted))


def differences(found: dict[str, Tensor], wanted: dict[str, Tensor]) -> dict[str, float]:
    """The largest, as a part of the tensor's largest number, at least 0.01 of all gradients'."""
    assert found.keys() == wanted.keys()
    gradients = [value for name, value in wanted.items() if name.startswith('gradient')]
    least = 0.01 * max(gradient.abs().max() for gradient in gradients)
    result = dict(gradient=0.0, weight=0.0)
    for name, value in wanted.items():
        largest = max(value.abs().max(), least)
        kind = 'gradient' if name.startswith('gradient') else 'weight'
        result[kind] = max(result[kind], float((found[name] - value).abs().max() / largest))
    return result


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        for name in sys.argv[1:] or CASES:
            group = Group(2, partial(compared, **CASES[name]), Path(folder, name))
            print(json.dumps({name: group.results()}), flush=True)


if __name__ == '__main__':
    main()
