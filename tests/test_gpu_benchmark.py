"""tools/benchmark.py gpu, without a GPU: what it measures at tiny sizes, that rows that hang or
crash cost nothing but themselves, and its bars by hand."""

import json
import subprocess
import sys
import textwrap
import time

import pytest
from conftest import ROOT

sys.path.insert(0, str(ROOT / 'tools'))

from gpu_benchmark import backbones, checks, correctness, depthwise, report, run
from gpu_benchmark.bars import bars
from gpu_benchmark.measure import Machine
from gpu_benchmark.plan import rows

CPU = Machine('cpu', 0.01, 5)


@pytest.mark.parametrize('training', [False, True])
@pytest.mark.parametrize('form', ['plain', 'ours, channels_last', 'deploy, graph'])
def test_a_form_is_timed(form, training):
    if training and form.startswith('deploy'):
        pytest.skip('the fused model is not trained')
    found = backbones.measured(form, (2, 3, 32, 64), CPU, training, 'tiny_test')
    assert 0 < found['low'] <= found['ms'] <= found['high'] and found['runs'] >= 5
    assert found['launches'] > 50 and found['mb'] is None


def test_what_the_kernels_do_not_serve_is_not_measured_under_their_name():
    with pytest.raises(RuntimeError, match='kernels'):
        backbones.measured('ours, kernels', (2, 3, 32, 64), CPU, False, 'tiny_test')


def test_errors_are_of_rounding_and_of_each_part():
    shape = (2, 3, 45, 37)
    ours = correctness.backbone_errors('tiny_test', shape, 'double', 'ours', 'fp32', CPU)
    assert 0 < ours['features'] < 1e-5 and 0 < ours['gradients'] < 1e-5 and ours['finite']
    half = correctness.backbone_errors('tiny_test', shape, 'single', 'plain', 'bf16', CPU)
    assert 1e-3 < half['features'] < 0.1 and 1e-3 < half['gradients'] < 0.1
    deploy = correctness.backbone_errors('tiny_test', shape, 'single', 'deploy', 'fp32', CPU)
    assert 0 < deploy['features'] < 1e-5 and deploy['gradients'] is None


def test_a_convolution_beside_pytorchs():
    (case, *_) = depthwise.timed_cases(tiny=True)
    found = depthwise.timed(case, CPU)
    assert found['map_bytes'] == 2 * 2 * 16 * 9 * 11
    for layout in backbones.LAYOUTS:
        assert found['kernels'][f'pytorch, {layout}']['forward_us'] > 0


@pytest.mark.parametrize('name', checks.FIRST)
def test_the_checks_of_what_is_beside_the_kernels(name):
    found = checks.FIRST[name](CPU, 'tiny_test')
    assert found['ok'], found['detail']


def test_every_row_has_its_own_name_and_limit():
    plan = rows(CPU, tiny=True)
    assert len({row.id for row in plan}) == len(plan) > 100
    assert all(0 < row.limit <= 75 for row in plan)


@pytest.mark.slow  # torch in a process of its own
def test_it_needs_no_toolbox():
    code = """
        import sys
        for name in ('mmcv', 'mmdet', 'mmseg', 'mmpose', 'mmpretrain', 'timm'):
            sys.modules[name] = None
        sys.path[:0] = ['tools', '.']
        from gpu_benchmark import worker
        plan = {row.id: row for row in worker.rows(worker.Machine('cpu', 0.01, 5), True)}
        for form in ('ours', 'ConvNeXt-T'):
            print(worker.measured(plan[f'inference, 8x3x512x512 | {form}']))
    """
    done = subprocess.run(
        [sys.executable, '-c', textwrap.dedent(code)], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-1000:]
    ours, peer = done.stdout.splitlines()
    assert "'ms': " in ours and 'error' not in ours
    assert 'ModuleNotFoundError' in peer and 'timm' in peer


WORKER = """
import json, sys, time
done = json.load(open(sys.argv[sys.argv.index('--skip') + 1]))
def say(**line): print(json.dumps(line), flush=True)
say(facts=dict(device='none'))
print('a library greets')
for name in ('a', 'hangs', 'b', 'crashes', 'c'):
    if f'group | {name}' in done: continue
    say(start=f'group | {name}', limit=1.0 if name == 'hangs' else 90.0)
    if name == 'hangs': time.sleep(60)
    if name == 'crashes': sys.exit(7)
    say(row=dict(group='group', name=name, ms=1.0))
say(end=True)
"""


@pytest.mark.slow
def test_rows_that_hang_or_crash_cost_nothing_but_themselves(tmp_path):
    (tmp_path / 'worker.py').write_text(WORKER)
    session = run.Session('cpu', True, time.monotonic() + 600)
    session.command = [sys.executable, str(tmp_path / 'worker.py')]
    found = [line['row'] for line in session.lines() if 'row' in line]
    assert [row['name'] for row in found] == ['a', 'hangs', 'b', 'crashes', 'c']
    assert found[1]['error'] == 'took longer than its time limit'
    assert found[3]['error'] == 'the process ended (exit code 7)'
    assert session.complete


@pytest.mark.slow
def test_it_stops_in_time_and_keeps_what_it_has(tmp_path):
    (tmp_path / 'worker.py').write_text(WORKER.replace('1.0 if', '900.0 if'))
    session = run.Session('cpu', True, time.monotonic() + 600)
    session.command = [sys.executable, str(tmp_path / 'worker.py')]
    found = []
    for line in session.lines():
        if line.get('start') == 'group | hangs':
            session.deadline = time.monotonic() + 0.2
        found += [line['row']['name']] if 'row' in line else []
    assert found == ['a'] and not session.complete


def test_a_worker_that_cannot_start_is_no_endless_loop(tmp_path):
    session = run.Session('cpu', True, time.monotonic() + 60)
    session.command = [sys.executable, '-c', 'raise SystemExit(1)']
    assert list(session.lines()) == []


def test_a_machine_without_a_gpu_is_said_so_in_one_line(monkeypatch, capsys):
    monkeypatch.setattr(run, 'has_gpu', lambda: False)
    assert run.main(['--minutes', '1']) == 1
    out, err = capsys.readouterr()
    assert out == '' and err.startswith('error: PyTorch finds no NVIDIA GPU here')


COMPILER = """
import sys, time
try:
    open(sys.argv[1], 'w').close()
    time.sleep(600)
except KeyboardInterrupt:
    print('ended')
"""


def test_compiling_ahead_ends_in_time(tmp_path, monkeypatch, capfd):
    """It is interrupted, so that it ends the processes that it has started; or says why it ends."""
    started, wait = tmp_path / 'started', subprocess.Popen.wait

    def wait_for_work(process, timeout=None):  # to which Python comes late on a busy machine
        while not started.exists():
            assert process.poll() is None
            time.sleep(0.01)
        return wait(process, timeout)

    with monkeypatch.context() as patch:
        patch.setattr(subprocess.Popen, 'wait', wait_for_work)
        command = [sys.executable, '-c', COMPILER, str(started)]
        assert run.ended(command, time.monotonic()) == 'there was no time for more'
    assert capfd.readouterr().out == 'ended\n'
    command = [sys.executable, '-c', 'raise SystemExit("error: no Triton")']
    assert run.ended(command, time.monotonic() + 600) == 'exit code 1'
    assert capfd.readouterr().err == 'error: no Triton\n'


def timed(size, form, ms, mb=None, what='training'):
    return dict(group=f'{what}, {size}', name=form, ms=ms, low=ms, high=ms, mb=mb, launches=9)


PYTORCHS = dict(forward_us=157.0, gradients_us=738.0)
THEIRS = {'pytorch, NCHW': PYTORCHS, 'pytorch, channels_last': PYTORCHS}
ROWS = [
    timed('2x3x800x1280', 'plain', 91.0, 7000),
    timed('2x3x800x1280', 'plain, channels_last', 76.0, 7100),
    timed('2x3x800x1280', 'ours, kernels', 38.0, 3550),
    timed('2x3x800x1280', 'ours, kernels, compiled', 1.0, 1),
    timed('2x3x800x1280', 'ours, kernels, with_cp', 30.0, 1),
    timed('2x3x800x1280', 'ConvNeXt-T', 30.0, 1),
    timed('2x3x800x1280', 'ConvNeXt-T, channels_last', 19.0, 1),
    timed('2x3x800x1280', 'deploy, kernels', 1.0, what='inference'),
    timed('2x3x800x1280', 'deploy, kernels, graph', 2.0, what='inference'),
    timed('2x3x800x1280', 'ConvNeXt-T', 5.0, what='inference'),
    dict(group='ceilings', name='copy', per_second=4e12, unit='bytes'),
    dict(group='depth-wise', name='5x5', map_bytes=8_000_000,
         kernels=dict(THEIRS, ours=dict(forward_us=8.0, gradients_us=60.0))),
    dict(group='depth-wise', name='7x7', map_bytes=8_000_000,
         kernels=dict(THEIRS, ours=dict(forward_us=20.0, gradients_us=12.0))),
    dict(group='backbone errors', name='ours, kernels, fp32, single gate', features=2e-6,
         gradients=3e-6, finite=True),
    dict(group='backbone errors', name='plain, channels_last, bf16, single gate', features=0.01,
         gradients=0.02, finite=True),
    dict(group='backbone errors', name='ours, kernels, bf16, single gate', features=0.01,
         gradients=0.025, finite=True),
    dict(group='training, 128x3x224x224', name='ours, kernels', error='RuntimeError: a | b'),
]  # fmt: skip


def test_bars_by_hand():
    found = {bar.what + ' ' + bar.asked: bar.found for bar in bars(ROWS)}
    assert found == {
        'inference, 2x3x800x1280 <= 1.0 x ConvNeXt-T': 0.4,  # with a graph
        'inference, 128x3x224x224 <= 1.2 x ConvNeXt-T': None,
        'training, 2x3x800x1280 <= 1.5 x ConvNeXt-T': 2.0,  # each in its faster layout
        'training, 2x3x800x1280 <= 0.5 x plain': 0.5,
        'training, 128x3x224x224 <= 1.4 x ConvNeXt-T': None,
        'training, 128x3x224x224 <= 0.5 x plain': None,
        'peak memory of a training step, 2x3x800x1280 <= 0.6 x plain': 0.5,
        'peak memory of a training step, 128x3x224x224 <= 0.6 x plain': None,
        'depth-wise kernels, forward, the worst <= 4 x the floor of its bytes': pytest.approx(5.0),
        'depth-wise kernels, gradients, the worst <= 8 x the floor of its bytes': pytest.approx(10),
        'error against float64, fp32 without TF32, the worst <= 1e-5': 3e-6,
        'error in bf16 beside that of plain bf16 <= 1.2 x': 1.25,
    }


def test_the_printed_tables():
    text = report.bars_table(dict(facts={}, rows=ROWS))
    assert '| training, 2x3x800x1280 | <= 0.5 x plain |  | 0.50 |' in text and '| met |' in text
    assert '| 5.00 | 7x7 | MISSED |' in text and '| not measured |' in text
    assert 'depth-wise kernels, gradients' in text
    assert 'MISSED' not in report.bars_table(dict(facts=dict(tiny=True), rows=ROWS))
    text = report.tables(dict(facts=dict(date='2026-11-27', torch='2.11', seconds=9), rows=ROWS))
    assert text.startswith('\n2026-11-27, no device, torch 2.11; 9 s, not all rows.\n')
    assert '| plain | 91.00 | 91.00 to 91.00 | 7000 | 9 |  |' in text
    assert '| ours, kernels |  |  |  |  | RuntimeError: a \\| b |' in text


def test_the_file_is_there_after_every_row(tmp_path, monkeypatch, capsys):
    out = tmp_path / 'folder/gpu.json'
    seen = []

    def lines(self):
        yield dict(facts=dict(device='none', date='today'))
        for row in ROWS[:2]:
            yield dict(row=row)
            seen.append(len(json.loads(out.read_text())['rows']))
        self.complete = True

    def compiled(command, deadline):
        assert command[2].endswith('.compile_ahead') and deadline <= time.monotonic() + 20
        return 'there was no time for more'

    monkeypatch.setattr(run.Session, 'lines', lines)
    monkeypatch.setattr(run, 'has_gpu', lambda: True)
    monkeypatch.setattr(run, 'ended', compiled)
    assert run.main(['--out', str(out), '--minutes', '1']) == 0
    assert seen == [1, 2] and json.loads(out.read_text())['facts']['complete']
    printed = capsys.readouterr().out
    assert 'stopped before' not in printed and 'not all compiled ahead' in printed


def test_the_page_of_benchmarks_takes_a_file(tmp_path, monkeypatch):
    sys.path.insert(0, str(ROOT / 'docs'))
    import make_benchmarks

    assert make_benchmarks.NO_GPU in make_benchmarks.page()
    facts = dict(date='2026-11-27', device='H100', torch='2.11', seconds=240, complete=True)
    (tmp_path / 'benchmarks').mkdir()
    (tmp_path / 'benchmarks/2026-11-27-gpu.json').write_text(
        json.dumps(dict(facts=facts, rows=ROWS))
    )
    monkeypatch.setattr(make_benchmarks, 'DOCS', tmp_path)
    text = make_benchmarks.page()
    assert '## On a GPU\n' in text and make_benchmarks.NO_GPU not in text
    assert '| <= 1.5 x ConvNeXt-T | 1.0 | 2.00 |' in text and '2026-11-27, H100, torch 2.11' in text
