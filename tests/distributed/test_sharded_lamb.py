"""LAMB with sharded parameters, in two processes, as in one without sharding."""

import copy
import os

import pytest
import torch
import torch.distributed as dist
from group import Group
from torch import nn

from moganet_dense.engine.fsdp import fully_shard, shard, whole
from moganet_dense.toolboxes.device_parts.lamb import DeviceLamb


def trained(model: nn.Module, x: torch.Tensor) -> list[torch.Tensor]:
    groups = [dict(params=model[0].parameters()), dict(params=model[1].parameters(), lr=0.1)]
    optimizer = DeviceLamb(groups, lr=0.01, weight_decay=0.02)
    for _ in range(3):
        (100 * model(x).square().mean()).backward()  # is clipped
        optimizer.step()
        optimizer.zero_grad()
    return [whole(parameter.detach()) for parameter in model.parameters()]


def compared() -> float:
    """The largest difference, in one of two processes."""
    torch.manual_seed(0)
    torch.set_num_threads(1)
    dist.init_process_group('gloo')
    model, x = nn.Sequential(nn.Linear(5, 7), nn.Linear(7, 1)), torch.randn(4, 5)
    wanted = trained(copy.deepcopy(model), x)
    shard(model)
    found = trained(model, x[2 * int(os.environ['RANK']) :][:2])
    dist.destroy_process_group()
    return max(float((a - b).abs().max()) for a, b in zip(found, wanted, strict=True))


@pytest.mark.slow
@pytest.mark.skipif(fully_shard is None, reason='torch before 2.6')
def test_sharded_parameters_are_updated_as_whole_ones(tmp_path):
    assert max(Group(2, compared, tmp_path).results()) < 1e-6
