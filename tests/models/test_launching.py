"""Launching without a GPU: Triton compiles for one, and a driver notes what would be launched."""

import shutil
from pathlib import Path

import pytest
import torch

from moganet_dense.models import kernels
from moganet_dense.models.kernels import choice

needs_kernels = pytest.mark.skipif(
    kernels.unavailable() is not None, reason=f'no kernels here: {kernels.unavailable()}'
)


def tensors(dtype=torch.bfloat16, misaligned: bool = False) -> list[torch.Tensor]:
    """Those of a small kernel: grad, sums, sigma and the result, for a map of 2 x 16 x 3 x 5."""
    maps = torch.zeros(2, 480 + 1, dtype=dtype)
    grad, result = maps[0, int(misaligned) :][:480], torch.zeros(480, dtype=dtype)
    return [grad, torch.zeros(2, 2, 16), torch.zeros(16), result]


@pytest.fixture
def driver():
    from moganet_dense.models.kernels.launch_report import without_gpu

    with without_gpu() as made:
        forget_what_is_compiled()
        made.launched = []
        yield made


def forget_what_is_compiled() -> None:
    """It is launched by the driver for which it was compiled: that of another test."""
    from moganet_dense.models.kernels import launchers as module

    for launcher in vars(module).values():
        if hasattr(launcher, 'cache_clear'):
            launcher.cache_clear()
    for part in (module.forward, module.backward, module.weights, module.products,
                 module.elementwise):  # fmt: skip
        for kernel in vars(part).values():
            if hasattr(kernel, 'device_caches'):
                kernel.device_caches.clear()


@needs_kernels
@pytest.mark.slow
def test_the_lookup_launches_what_triton_launches(driver):
    """The same machine code on the same grid, with the same addresses and numbers."""
    from moganet_dense.models.kernels import launchers

    launcher, functions = launchers.centered_gradient(torch.Size((2, 16, 3, 5))), []
    for case in (tensors(), tensors(), tensors(torch.float16), tensors(misaligned=True)):
        wanted = len(driver.launched)
        launcher._launch(tuple(case))  # by Triton itself
        for _ in range(2):  # looked up by Triton at first, by us from then on
            launcher(*case)
        by_triton, first, second = driver.launched[wanted:]
        assert by_triton == first == second
        assert by_triton[5:9] == tuple(tensor.data_ptr() for tensor in case)
        assert by_triton[9:12] == (30, 15, 16)  # pixels, pixels of an image, channels
        functions.append(by_triton[4])
    assert functions[0] == functions[1]
    assert len(set(functions)) == 3  # by dtype and by alignment


@needs_kernels
@pytest.mark.slow
@pytest.mark.parametrize('known', [True, False])
def test_hooks_of_a_profiler_are_called(driver, monkeypatch, known):
    """Triton's own. They cost time, so a launch without a profiler leaves them out.

    Unless it is not known whether there are any: then Triton launches, and decides.
    """
    import triton

    from moganet_dense.models.kernels import launchers

    if choice.version_of(triton) < (3, 6):
        pytest.skip('Triton launches, whatever hooks there are')
    monkeypatch.setattr(triton, '__version__', '3.8.0' if known else '3.9.0')
    seen = []
    monkeypatch.setattr(driver, 'launcher_cls', lambda *_: lambda *given: seen.append(given))
    launcher, case = launchers.centered_gradient(torch.Size((2, 16, 3, 5))), tensors()
    hooks = triton.knobs.runtime.launch_enter_hook
    for _ in range(2):
        launcher(*case)
    hooks.add(print)
    try:
        launcher(*case)
    finally:
        hooks.remove(print)
    by_triton, alone, profiled = seen
    assert alone[9:12] == profiled[9:12] == tuple(tensor.data_ptr() for tensor in case[:3])
    assert by_triton[:6] == alone[:6] == profiled[:6]
    assert profiled[6].get()['name'] == 'centered_gradient_kernel' and profiled[7] is hooks
    assert alone[6:9] == (None, None, None) or not known


@needs_kernels
@pytest.mark.long  # it compiles 30 kernels
def test_a_block_launches_what_its_report_lists(driver):
    from moganet_dense.models.kernels.block import compute_block
    from moganet_dense.models.moganet import MogaNet

    block = MogaNet(
        dict(embed_dims=(8, 8, 8, 8), depths=(1, 1, 1, 1), ffn_ratios=(2, 2, 2, 2))
    ).stage(0)[1][0].train()  # fmt: skip
    x = torch.zeros(1, 8, 3, 4).contiguous(memory_format=torch.channels_last).requires_grad_()
    for _ in range(2):
        driver.launched.clear()
        compute_block(block, x, None, None, dtype=torch.bfloat16).sum().backward()
        assert len(driver.launched) == 30  # as test_launches_of_a_training_step counts them
    assert all(p.grad is not None and p.grad.shape == p.shape for p in block.parameters())


@needs_kernels
@pytest.mark.slow
def test_what_is_compiled_ahead_is_what_a_launch_looks_for(driver, tmp_path, monkeypatch):
    from moganet_dense.models.kernels import compile_ahead, launchers
    from moganet_dense.models.kernels.launching import recorded_launches

    monkeypatch.setenv('TRITON_CACHE_DIR', str(tmp_path))
    launcher = launchers.centered_gradient(torch.Size((3, 16, 3, 5)))
    for misaligned in (False, True):
        case = tensors(misaligned=misaligned)
        with recorded_launches() as found:
            launcher(*(t.to('meta') if not misaligned else t for t in case))
        compile_ahead.compile_launch(found[0])
        files = sorted(tmp_path.rglob('*'))
        launcher.kernel.device_caches.clear()
        assert driver.launched == []
        launcher(*case)
        assert len(driver.launched) == 1 and files == sorted(tmp_path.rglob('*'))
        driver.launched.clear()


@needs_kernels
@pytest.mark.slow
def test_every_kind_of_launch_is_compiled_ahead():
    from moganet_dense.models.kernels import compile_ahead

    found = compile_ahead.all_launches('xt', ('bfloat16',))
    names = {launch.kernel.fn.__name__ for launch in found}
    assert len(names) == 19  # all that depthwise.py, products.py, rows.py and prepare.py have
    assert any(launch.constants.get('HAS_KEPT') for launch in found)  # drop path
    assert any(launch.constants.get('FOLDED') for launch in found)  # the fused form
    assert any(launch.constants.get('HAS_GV') is False for launch in found)  # evaluation
    constants = [launch.constants for launch in found if 'DILATION' in launch.constants]
    shapes = {(each['KERNEL'], each['DILATION']) for each in constants}
    assert shapes == {(3, 1), (5, 1), (5, 2), (7, 3)}


def test_shapes_share_a_launcher():
    if kernels.unavailable():
        pytest.skip(kernels.unavailable())
    from moganet_dense.models.kernels import launchers

    shape = torch.Size((1, 16, 8, 8))
    assert launchers.context(shape, False) is launchers.context(torch.Size((1, 16, 8, 8)), False)
    assert launchers.context(shape, False) is not launchers.context(shape, True)


def test_a_missing_compiler_or_header_is_named(monkeypatch, tmp_path: Path):
    """Before the first launch, which would end in Triton's traceback."""
    if choice.INTERPRETED or kernels.unavailable():
        pytest.skip('no Triton')
    monkeypatch.delenv('CC', raising=False)
    monkeypatch.delenv('CPATH', raising=False)
    monkeypatch.setattr(shutil, 'which', lambda name: None)
    assert 'install gcc or clang' in kernels.unavailable()
    monkeypatch.setattr(shutil, 'which', lambda name: name if name == 'gcc' else None)
    monkeypatch.setenv('CC', '/opt/cc')
    assert 'no such program' in kernels.unavailable()
    monkeypatch.setenv('CC', 'gcc')
    monkeypatch.setattr(choice.sysconfig, 'get_paths', lambda scheme: {'include': str(tmp_path)})
    assert 'python3-dev' in kernels.unavailable()
    (tmp_path / 'Python.h').touch()
    assert kernels.unavailable() is None


def test_a_switch_without_effect_is_said(monkeypatch):
    monkeypatch.setenv('MOGANET_KERNELS', '1')
    monkeypatch.setattr(choice, 'unavailable', lambda: 'they need Triton')
    with pytest.warns(UserWarning, match='MOGANET_KERNELS=1 has no effect: they need Triton'):
        switch = choice._Switch()
    assert switch.reason == 'they need Triton'


def test_the_gpu_of_the_tensors_is_the_current_one(monkeypatch):
    """Triton launches on the current GPU; a model may be on another one."""
    from contextlib import nullcontext
    from types import SimpleNamespace

    from moganet_dense.models.kernels.launching import on_its_device

    entered = []

    def device(which):
        entered.append(which)
        return nullcontext()

    monkeypatch.setattr(torch.cuda, 'current_device', lambda: 0)
    monkeypatch.setattr(torch.cuda, 'device', device)
    function = on_its_device(lambda first, *rest: rest)
    for number in (0, 1):
        first = SimpleNamespace(
            is_cuda=True, get_device=lambda n=number: n, device=f'cuda:{number}'
        )
        assert function(first, 2, 3) == (2, 3)
    assert entered == ['cuda:1']
    assert function(torch.zeros(1), 4) == (4,)
