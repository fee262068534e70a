"""Compiling the blocks of the backbone: how often, without graph breaks, and the same function."""

import copy

import pytest
import torch
from golden import fill
from torch._dynamo.testing import CompileCounterWithBackend

from moganet_dense.models import MogaNet, compiling
from moganet_dense.models.compiling import compile_blocks

pytestmark = pytest.mark.skipif(
    tuple(map(int, torch.__version__.split('.')[:2])) < (2, 5), reason='needs torch 2.5'
)
ARCH = dict(embed_dims=[8, 16, 24, 32], depths=[2, 2, 1, 1], ffn_ratios=[2, 2, 2, 2])


@pytest.fixture(autouse=True)
def compiled_by_nobody():
    torch._dynamo.reset()


@pytest.fixture
def warnings(monkeypatch):
    found = []
    monkeypatch.setattr(compiling, 'print_log', lambda message, *rest: found.append(message))
    return found


def images(size: int) -> torch.Tensor:
    return torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(size))


def step(net, size: int) -> dict[str, torch.Tensor]:
    """Gradients of a training step."""
    net.zero_grad()
    torch.manual_seed(0)  # of drop path
    sum(m.square().mean() for m in net(images(size))).backward()
    return {name: p.grad.clone() for name, p in net.named_parameters()}


def counted(net) -> CompileCounterWithBackend:
    """Compiles the blocks; counts the graphs. fullgraph is on: a graph break would be an error,
    and the stage not compiled."""
    counter = CompileCounterWithBackend('eager')
    assert compile_blocks(net, counter)
    counter.frame_count = 0  # of the small function that was tried
    step(net, 64)
    step(net, 64)
    assert counter.frame_count == 4, 'one for each stage, not for each of the blocks'
    return counter


@pytest.mark.slow
def test_a_stage_compiles_once():
    counted(MogaNet(dict(ARCH, depths=[2, 1, 1, 1]), drop_path_rate=0.2).train())


@pytest.mark.long  # 13 graphs, 9 of them for any size: 11 s
def test_a_stage_compiles_once_more_for_any_size():
    net = MogaNet(ARCH, drop_path_rate=0.2).train()
    counter = counted(net)
    for size in (96, 128, 160):
        step(net, size)
    once_more = counter.frame_count
    assert once_more in (8, 9), 'one more for each stage; torch 2.14 takes two for one of them'
    for size in (192, 224):
        step(net, size)
    assert counter.frame_count == once_more, 'for any size'


@pytest.mark.slow  # AOTAutograd's traces of four stages
def test_the_same_function():
    net = fill(MogaNet(ARCH, drop_path_rate=0.2)).train()
    plain = copy.deepcopy(net)
    assert compile_blocks(net, 'aot_eager')
    found, wanted = step(net, 64), step(plain, 64)
    for name, gradient in wanted.items():
        torch.testing.assert_close(found[name], gradient, rtol=1e-4, atol=1e-6, msg=name)
    for name, buffer in plain.named_buffers():
        torch.testing.assert_close(dict(net.named_buffers())[name], buffer, msg=name)
    assert list(net.state_dict()) == list(plain.state_dict())


@pytest.mark.slow
def test_with_checkpointing_and_a_copy():
    net = fill(MogaNet(ARCH, with_cp=True)).train()
    plain = copy.deepcopy(net)
    compile_blocks(net, 'eager')
    copied = copy.deepcopy(net)  # as a moving average does
    assert copied.blocks1[0].compute is net.blocks1[0].compute
    found, wanted = step(copied, 64), step(plain, 64)
    for name, gradient in wanted.items():
        torch.testing.assert_close(found[name], gradient, rtol=1e-4, atol=1e-6, msg=name)


@pytest.mark.slow
def test_the_whole_backbone_has_no_graph_break():
    counter = CompileCounterWithBackend('eager')
    compiled = torch.compile(MogaNet(ARCH).train(), backend=counter, fullgraph=True)
    compiled(images(64))
    assert counter.frame_count == 1


def test_without_a_compiler_the_backbone_is_as_it_was(warnings):
    net = MogaNet(ARCH)

    def broken(graph, inputs):
        raise RuntimeError('no C++ compiler\nwas found')

    assert not compile_blocks(net, broken)
    (line,) = warnings
    assert line.startswith('the backbone is not compiled: BackendCompilerFailed')
    assert 'no C++ compiler was found' in line
    assert all(block.compute is None for block in net.blocks1)


def test_an_old_torch_is_one_line(warnings, monkeypatch):
    monkeypatch.setattr(torch, '__version__', '2.4.1+cu121')
    assert not compile_blocks(MogaNet(ARCH))
    assert 'it needs torch 2.5 or later, found ' in warnings[0]


@pytest.mark.slow
def test_a_stage_that_fails_computes_as_before(warnings):
    net = fill(MogaNet(ARCH)).train()
    plain = copy.deepcopy(net)

    def picky(graph, inputs):
        if any(tuple(each.shape[:2]) == (2, 16) for each in inputs):
            raise RuntimeError('no kernel for 16 channels')
        return graph.forward

    assert compile_blocks(net, picky), warnings
    found, wanted = step(net, 64), step(plain, 64)
    (line,) = warnings
    assert 'stage 2 is not compiled (BackendCompilerFailed: ' in line
    for name, gradient in wanted.items():
        torch.testing.assert_close(found[name], gradient, rtol=1e-4, atol=1e-6, msg=name)
    assert not torch.equal(net.blocks2[0].norm1.running_mean, torch.zeros(16)), 'computed once'
    torch.testing.assert_close(net.norm2.running_mean, plain.norm2.running_mean)


def test_the_fused_model_is_refused():
    with pytest.raises(ValueError, match='the backbone is fused'):
        compile_blocks(MogaNet(ARCH).eval().switch_to_deploy())
