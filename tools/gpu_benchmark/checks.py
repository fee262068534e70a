"""What is built for GPUs beside the kernels: whether it does there what the tests on CPUs say."""

import threading
from collections.abc import Callable

import torch
import torch.nn as nn
from mmengine.config import ConfigDict
from mmengine.optim import build_optim_wrapper

from moganet_dense.engine import optim_groups  # noqa: F401 registers the constructor
from moganet_dense.engine.device_values import EarlyCopy
from moganet_dense.engine.logged_scalars import DeviceHistoryBuffer
from moganet_dense.models.compiling import compile_blocks

from .backbones import moganet
from .correctness import without_tf32
from .measure import Machine

Check = Callable[[Machine, str], dict]


def _images(machine: Machine, size: int, seed: int = 0) -> torch.Tensor:
    drawn = torch.Generator().manual_seed(seed)
    return torch.randn(1, 3, size, size + 32, generator=drawn).to(machine.device)


def replayed_graphs(machine: Machine, arch: str) -> dict:
    """Replays of several shapes, in turn, against the same network without graphs; again after
    the weights were changed in place."""
    net = moganet(arch).eval().to(machine.device).switch_to_deploy()
    worst = 0.0
    with torch.no_grad():
        for factor in (1.0, 1.01):
            for parameter in net.parameters():
                parameter.mul_(factor)
            images = [_images(machine, size) for size in (64, 96, 64, 96, 64, 96)]
            wanted = [net.use_cuda_graphs(0)(x) for x in images]
            net.use_cuda_graphs()
            found = [net(x) for x in images]
            worst = max(worst, *(_difference(*pair) for pair in zip(found, wanted, strict=True)))
        captured = len(net.graph_cache)
        for parameter in net.parameters():
            parameter.mul_(1.01)
        changed = [net(images[0]) for _ in range(3)][-1]
        worst = max(worst, _difference(changed, net.use_cuda_graphs(0)(images[0])))
    ok = worst == 0 and captured == (2 if machine.device == 'cuda' else 0)
    return dict(ok=ok, detail=f'largest difference {worst:.1e}, {captured} graphs')


def graphs_in_threads(machine: Machine, arch: str) -> dict:
    """Four threads, each on a stream of its own, share the graph of one shape."""
    net = moganet(arch).eval().to(machine.device).switch_to_deploy()
    images = [_images(machine, 64, seed) for seed in range(4)]
    with torch.no_grad():
        wanted = [net(x) for x in images]
    net.use_cuda_graphs()
    machine.wait()
    differences: list[float] = []

    def work(number: int) -> None:
        stream = torch.cuda.Stream() if machine.device == 'cuda' else None
        with torch.no_grad(), torch.cuda.stream(stream):
            for _ in range(20):
                differences.append(_difference(net(images[number]), wanted[number]))

    threads = [threading.Thread(target=work, args=[number]) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    ok = len(differences) == 80 and max(differences) == 0
    return dict(ok=ok, detail=f'{len(differences)} results, largest difference {max(differences)}')


def fused_optimizer(machine: Machine, arch: str) -> dict:
    """Our constructor's AdamW beside PyTorch's plain one, three steps, and a resumed fourth."""
    cfg = ConfigDict(
        type='OptimWrapper',
        constructor='GroupedOptimWrapperConstructor',
        optimizer=dict(type='AdamW', lr=1e-3, weight_decay=0.05),
        paramwise_cfg=dict(custom_keys=dict(norm=dict(decay_mult=0.0))),
    )
    net, plain = (moganet(arch).train().to(machine.device) for _ in range(2))
    wrapper = build_optim_wrapper(net, cfg)
    fused = bool(wrapper.optimizer.param_groups[0].get('fused'))
    cfg.optimizer.foreach = False
    other = build_optim_wrapper(plain, cfg)
    with without_tf32():
        for number in range(4):
            if number == 3:
                wrapper.load_state_dict(wrapper.state_dict())
            for model, each in ((net, wrapper), (plain, other)):
                each.update_params(model(_images(machine, 64, number))[-1].square().mean())
    error = max(
        (a - b).abs().max().item()
        for a, b in zip(net.parameters(), plain.parameters(), strict=True)
    )
    groups = len(wrapper.optimizer.param_groups)
    ok = error < 1e-2 and groups == 2 and fused == (machine.device == 'cuda')
    return dict(ok=ok, detail=f'fused: {fused}, {groups} groups, difference {error:.1e}')


def late_reads(machine: Machine, arch: str) -> dict:
    """A flag that is copied early, and losses that are read together."""
    flags = [EarlyCopy(torch.tensor(value, device=machine.device)) for value in (True, False)]
    buffer, values = DeviceHistoryBuffer(), [0.1, 1.5, 2.25]
    for value in values:
        buffer.wait(torch.tensor(value, device=machine.device))
    found = [flag.get() for flag in flags], buffer.data[0].tolist()
    wanted = [True, False], torch.tensor(values).tolist()
    return dict(ok=found == wanted, detail=f'found {found}')


def compiled_blocks(machine: Machine, arch: str) -> dict:
    """A training step with compiled blocks beside one without."""
    net, plain = (moganet(arch).train().to(machine.device) for _ in range(2))
    if not compile_blocks(net):
        return dict(ok=False, detail='the blocks cannot be compiled; the warning says why')
    x = _images(machine, 64)
    with without_tf32():
        grads = [_gradients(each, x) for each in (net, plain)]
    total = sum(g.square().sum() for g in grads[1]).sqrt()
    error = sum((a - b).square().sum() for a, b in zip(*grads, strict=True)).sqrt() / total
    return dict(ok=error.item() < 1e-3, detail=f'relative error of all gradients {error:.1e}')


def _gradients(net: nn.Module, x: torch.Tensor) -> list[torch.Tensor]:
    maps = net(x)
    drawn = torch.Generator().manual_seed(1)
    loss = sum((m * torch.randn(m.shape, generator=drawn).to(m.device)).sum() for m in maps)
    return list(torch.autograd.grad(loss, list(net.parameters())))


def _difference(found: tuple[torch.Tensor, ...], wanted: tuple[torch.Tensor, ...]) -> float:
    return max((a - b).abs().max().item() for a, b in zip(found, wanted, strict=True))


FIRST: dict[str, Check] = {
    'replayed graphs are the network': replayed_graphs,
    'graphs in threads': graphs_in_threads,
    'fused optimizer': fused_optimizer,
    'late reads': late_reads,
}
LAST: dict[str, Check] = {'compiled blocks': compiled_blocks}
