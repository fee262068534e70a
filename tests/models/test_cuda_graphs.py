"""CUDA graphs of the backbone: what is captured, replayed and forgotten, with a capture that runs
on the CPU as a graph does on a GPU: fixed memory in, fixed memory out."""

import copy
import pickle
import threading

import pytest
import torch
from fake_capture import FakeCapturer
from golden import fill

from moganet_dense.models import MogaNet, cuda_graphs
from moganet_dense.models.cuda_graphs import PATIENCE, REMEMBERED, CudaCapturer, GraphCache

ARCH = dict(embed_dims=[8, 8, 16, 16], depths=[1, 1, 1, 1], ffn_ratios=[2, 2, 2, 2])


@pytest.fixture
def net():
    found = fill(MogaNet(ARCH)).eval()
    found.graph_cache = GraphCache(2, FakeCapturer())
    return found


def images(size: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(1, 3, size, size, generator=torch.Generator().manual_seed(seed))


@torch.no_grad()
def run(net, *sizes: int) -> None:
    for seed, size in enumerate(sizes):
        x = images(size, seed)
        for found, wanted in zip(net(x), net._maps(x), strict=True):
            assert torch.equal(found, wanted)


def test_a_shape_is_captured_when_it_comes_again(net):
    fake = net.graph_cache.capturer
    run(net, 32, 40)
    assert fake.captured == [] and len(net.graph_cache) == 0
    run(net, 32, 32, 40)
    assert fake.captured == [(1, 3, 32, 32), (1, 3, 40, 40)]
    assert len(fake.replayed) == 3, 'a capture answers by its first replay'


def test_results_stay_the_callers(net):
    with torch.no_grad():
        net(images(32))
        first = net(images(32, 1))
        kept = [each.clone() for each in first]
        net(images(32, 2))
    assert all(torch.equal(a, b) for a, b in zip(first, kept, strict=True))


@pytest.mark.parametrize('state', ['training', 'gradients', 'other device'])
def test_what_is_never_replayed(net, state):
    fake = net.graph_cache.capturer
    if state == 'other device':
        net.graph_cache.capturer = CudaCapturer()
    net.train(state == 'training')
    with torch.set_grad_enabled(state == 'gradients'):
        for _ in range(3):
            maps = net(images(64))
    assert len(net.graph_cache) == 0 and fake.captured == []
    assert maps[0].requires_grad == (state == 'gradients')


def test_what_decides_which_kernels_run_is_part_of_the_key(net, monkeypatch):
    fake, x = net.graph_cache.capturer, images(32)
    net.graph_cache.size = 9
    last = x.contiguous(memory_format=torch.channels_last)
    with torch.no_grad():
        for _ in range(2):
            net(x)
            net(last)
            with torch.autocast('cpu', torch.bfloat16):
                net(x)
            monkeypatch.setattr(torch.backends.cudnn, 'deterministic', True)
            net(x)
            monkeypatch.setattr(torch.backends.cudnn, 'deterministic', False)
    assert len(fake.captured) == len(net.graph_cache) == 4


def test_inference_mode_and_no_grad_share_a_graph(net):
    with torch.inference_mode():
        net(images(32))
        net(images(32))
    run(net, 32)
    assert len(net.graph_cache.capturer.captured) == 1


def test_the_graph_used_longest_ago_makes_room_for_a_shape_that_stays(net):
    fake = net.graph_cache.capturer
    run(net, 32, 32, 40, 40, 32)  # 40 was used before 32
    fake.captured.clear()
    run(net, *[48] * (PATIENCE - 1))
    assert fake.captured == [], 'seven sightings do not pay for a capture'
    run(net, 48)
    assert fake.captured == [(1, 3, 48, 48)] and len(net.graph_cache) == 2
    run(net, 32)
    assert fake.captured == [(1, 3, 48, 48)], 'the one used last is still there'


def test_many_sizes_in_turn_do_not_push_each_other_out(net):
    fake = net.graph_cache.capturer
    with torch.no_grad():
        for _ in range(2 * PATIENCE):
            for size in (32, 36, 40, 44):
                net(images(size))
    assert len(fake.captured) == 2, 'graphs in use stay; the others are computed as usual'


def test_the_count_of_shapes_is_bounded(net):
    net.graph_cache._check_weights(net)
    for number in range(3 * REMEMBERED):
        net.graph_cache._is_due(number)
    assert len(net.graph_cache._seen) == REMEMBERED


@pytest.mark.parametrize(
    'change',
    [
        lambda net: net.load_state_dict({k: v * 0.5 for k, v in net.state_dict().items()}),
        lambda net: net.blocks1[0].layer_scale_1.add_(1.0),
        lambda net: setattr(net.patch_embed2.projection, 'bias', torch.nn.Parameter(torch.ones(8))),
        lambda net: net.norm4.running_mean.add_(1.0),
        lambda net: net.switch_to_deploy(),
        lambda net: net.double().float(),
    ],
    ids=['load', 'in place', 'replaced', 'buffer', 'deploy', 'moved'],
)
def test_changed_weights_are_captured_again(net, change):
    fake = net.graph_cache.capturer
    run(net, 32, 32)
    with torch.no_grad():
        change(net)
    run(net, 32)
    assert fake.resets == 2 and len(net.graph_cache) == 0, 'the first time, and the change'
    run(net, 32, 32)
    assert len(fake.captured) == 2


def test_a_failed_capture_is_one_warning(net, monkeypatch):
    fake = net.graph_cache.capturer
    fake.error = RuntimeError('operation not permitted\nwhen stream is capturing')
    warnings = []
    monkeypatch.setattr(cuda_graphs, 'print_log', lambda *message: warnings.append(message[0]))
    run(net, 32, 32, 40, 40)
    assert warnings == [
        'CUDA graphs are off: the capture failed for an input of (1, 3, 32, 32) '
        '(RuntimeError: operation not permitted when stream is capturing)'
    ]


def test_a_copy_captures_for_itself_and_a_state_dict_knows_no_graphs(net):
    run(net, 32, 32)
    for other in (copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
        assert len(other.graph_cache) == 0 and other.graph_cache.size == 2
        assert isinstance(other.graph_cache.capturer, CudaCapturer)
    assert list(net.state_dict()) == list(MogaNet(ARCH).state_dict())


def test_turned_on_and_off():
    net = MogaNet(ARCH)
    assert net.graph_cache is None
    assert net.use_cuda_graphs() is net and net.graph_cache.size == cuda_graphs.GRAPHS
    assert net.use_cuda_graphs(0).graph_cache is None
    with pytest.raises(ValueError, match='expected at least 1 graph, found -1'):
        net.use_cuda_graphs(-1)


def test_threads_take_turns(net):
    """One thread writes its image into the graph's memory while another one's is computed."""
    wanted = {seed: net._maps(images(32, seed))[-1].detach() for seed in range(4)}
    errors = []

    @torch.no_grad()
    def work(seed: int) -> None:
        for _ in range(10):
            if not torch.equal(net(images(32, seed))[-1], wanted[seed]):
                errors.append(seed)

    threads = [threading.Thread(target=work, args=[seed]) for seed in wanted]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == [] and len(net.graph_cache.capturer.captured) == 1


def test_order_of_a_real_capture(monkeypatch):
    """The calls of CudaCapturer, with torch.cuda replaced by a list of what was called: PyTorch's
    documentation asks for warm-up on another stream, capture, and copies in before a replay."""
    calls = []

    class Recorded:
        def __init__(self, name, *args, **options):
            self.name = name
            calls.append(name)

        def __enter__(self):
            calls.append(f'enter {self.name}')

        def __exit__(self, *error):
            calls.append(f'exit {self.name}')

        def __getattr__(self, method):
            return lambda *args: calls.append(f'{self.name}.{method}')

    for name in ('CUDAGraph', 'Stream', 'Event', 'graph', 'stream', 'graph_pool_handle'):
        make = lambda *args, name=name, **options: Recorded(name, *args, **options)  # noqa: E731
        monkeypatch.setattr(torch.cuda, name, make)
    monkeypatch.setattr(torch.cuda, 'device', lambda device: Recorded('device'))
    monkeypatch.setattr(torch.cuda, 'current_stream', lambda: Recorded('current'))

    def forward(x):
        calls.append('forward')
        return (x + 1, x * 2)

    x = torch.ones(1, 3, 8, 8)
    replay = CudaCapturer().capture(forward, x)
    assert calls[calls.index('enter stream') :] == [
        'enter stream', 'forward', 'forward', 'exit stream', 'current', 'current.wait_stream',
        'graph_pool_handle', 'Event', 'CUDAGraph', 'graph', 'enter graph', 'forward',
        'exit graph', 'exit device',
    ]  # fmt: skip
    calls.clear()
    maps = replay(torch.zeros_like(x))
    assert calls == [
        'device', 'enter device', 'Event.wait', 'CUDAGraph.replay', 'Event.record', 'exit device',
    ]  # fmt: skip
    again = replay(x)
    assert maps[0].data_ptr() != again[0].data_ptr(), 'outputs are copies'
