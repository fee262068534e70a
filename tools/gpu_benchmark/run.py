"""``tools/benchmark.py gpu``: starts the worker, keeps what it says, and stops in time."""

import argparse
import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from .report import bars_table, tables

TOOLS = Path(__file__).resolve().parents[1]
GRACE = 45.0  # seconds for a worker to start: imports from a cold disk
RESERVE = 5.0  # seconds at the end, to print


def main(arguments: Sequence[str]) -> int:
    """Measures, prints tables, writes JSON; exit code 0 unless nothing could be measured."""
    parser = argparse.ArgumentParser(prog='benchmark.py gpu', description=__doc__)
    parser.add_argument('--minutes', type=float, default=4.0, help='after which it stops')
    parser.add_argument('--out', type=Path, help='JSON file, written after every row')
    parser.add_argument('--device', choices=['cuda', 'cpu'], default='cuda')
    parser.add_argument('--tiny', action='store_true', help='sizes for a CPU: tries the script')
    args = parser.parse_args(arguments)
    result = dict(facts={}, rows=[])
    started = time.monotonic()
    if args.device == 'cuda' and not has_gpu():
        print(
            'error: PyTorch finds no NVIDIA GPU here; `--device cpu --tiny` tries the script',
            file=sys.stderr,
        )
        return 1
    if args.device == 'cuda' and not args.tiny:
        compile_ahead(20 * args.minutes)
    session = Session(args.device, args.tiny, started + 60 * args.minutes - RESERVE)
    try:
        for line in session.lines():
            if 'facts' in line:
                result['facts'] = dict(line['facts'], minutes=args.minutes, tiny=args.tiny)
            if 'row' in line:
                result['rows'].append(line['row'])
                show(line['row'], time.monotonic() - started)
            if args.out:
                write(args.out, result)
    except KeyboardInterrupt:
        print('interrupted; what was measured is kept', file=sys.stderr)
    result['facts']['seconds'] = round(time.monotonic() - started)
    result['facts']['complete'] = session.complete
    if args.out:
        write(args.out, result)
    print(tables(result) + bars_table(result))
    if not session.complete:
        print('stopped before all rows were measured; --minutes gives more time')
    if args.out:
        print(f'wrote {args.out}')
    return 0 if any('error' not in row for row in result['rows']) else 1


def has_gpu() -> bool:
    """Whether PyTorch finds a GPU. Asked in a process of its own: this one does without torch."""
    code = 'import torch; raise SystemExit(not torch.cuda.is_available())'
    return subprocess.run([sys.executable, '-c', code]).returncode == 0


def compile_ahead(limit: float) -> None:
    """Compiles the kernels on all cores: one by one, rows would run out of their time.

    bfloat16 at the sizes that are timed; the other dtypes at the size of the errors alone.

    Args:
        limit: s, after which the rows begin.
    """
    deadline = time.monotonic() + limit
    for what in (
        '--dtype bfloat16 --size 2 800 1280 --size 128 224 224 --size 2 203 157',
        '--dtype float32 --dtype float16 --size 2 203 157',
    ):
        command = [sys.executable, '-m', 'moganet_dense.models.kernels.compile_ahead']
        problem = ended([*command, *what.split()], deadline)
        if problem:
            print(f'kernels were not all compiled ahead: {problem}', flush=True)
            return


def ended(command: Sequence[str], deadline: float) -> str | None:
    """Runs a command of the checkout, which interrupts its own processes; its problem, if any."""
    path = os.pathsep.join([str(TOOLS.parent), os.environ.get('PYTHONPATH', '')])
    with subprocess.Popen(command, env=dict(os.environ, PYTHONPATH=path)) as process:
        try:
            code = process.wait(max(1.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGINT)  # killed, it would leave its processes at work
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(10)
            process.kill()
            return 'there was no time for more'
    return f'exit code {code}' if code else None


def show(row: dict, seconds: float) -> None:
    """One line while it runs."""
    figures = {k: v for k, v in row.items() if k not in ('group', 'name')}
    if 'ms' in figures:
        what = f'{figures["ms"]:.2f} ms'
    else:
        what = json.dumps({k: _short(v) for k, v in figures.items()})
    print(f'{seconds:6.1f} s  {row["group"]} | {row["name"]}: {what}', flush=True)


def write(path: Path, result: dict) -> None:
    """Replaces the file, so that it is complete whenever the machine is taken away."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(path.name + '.part')
    draft.write_text(json.dumps(result, indent=1) + '\n')
    os.replace(draft, path)


class Session:
    """Workers one after another, until all rows are done or time is up.

    A row that takes longer than its limit costs its worker: a new one continues with the next row.

    Attributes:
        complete: whether all rows were measured or failed by themselves.
    """

    def __init__(self, device: str, tiny: bool, deadline: float) -> None:
        self.command = [sys.executable, '-m', f'{__package__}.worker', '--device', device]
        self.command += ['--tiny'] if tiny else []
        self.deadline = deadline
        self.done: list[str] = []
        self.complete = False

    def lines(self):
        """What the workers say, and a row with an error for each that was ended."""
        barren = 0  # workers that ended without finishing a row
        while barren < 2 and not self.complete and time.monotonic() < self.deadline:
            count = len(self.done)
            yield from self._worker()
            barren = 0 if len(self.done) > count else barren + 1

    def _worker(self):
        with tempfile.TemporaryDirectory() as folder:
            skip = Path(folder, 'done.json')
            skip.write_text(json.dumps(self.done))
            path = [str(TOOLS), str(TOOLS.parent), os.environ.get('PYTHONPATH', '')]
            with subprocess.Popen(
                [*self.command, '--skip', str(skip)],
                stdout=subprocess.PIPE,
                text=True,
                env=dict(os.environ, PYTHONPATH=os.pathsep.join(path)),
            ) as process:
                try:
                    yield from self._heard(process)
                finally:
                    process.kill()

    def _heard(self, process: subprocess.Popen):
        heard: queue.Queue = queue.Queue()
        threading.Thread(target=_listen, args=(process.stdout, heard), daemon=True).start()
        row, until = None, time.monotonic() + GRACE
        while True:
            try:
                line = heard.get(timeout=max(0.0, min(until, self.deadline) - time.monotonic()))
            except queue.Empty:
                if row and time.monotonic() < self.deadline:
                    yield self._failed(row, 'took longer than its time limit')
                return
            if line is None:
                if row:
                    yield self._failed(row, f'the process ended (exit code {process.wait()})')
                return
            if 'start' in line:
                row, until = line['start'], time.monotonic() + line['limit']
            elif 'row' in line:
                self.done.append(row)
                row, until = None, time.monotonic() + GRACE
            elif 'end' in line:
                self.complete = True
            yield line

    def _failed(self, row: str, reason: str) -> dict:
        self.done.append(row)
        group, _, name = row.partition(' | ')
        return dict(row=dict(group=group, name=name, error=reason))


def _listen(stream, heard: queue.Queue) -> None:
    for line in stream:
        try:
            heard.put(json.loads(line))
        except ValueError:  # printed by a library from C
            continue
    heard.put(None)


def _short(value):
    if isinstance(value, float):
        return float(f'{value:.3g}')
    if isinstance(value, dict):
        return {k: _short(v) for k, v in value.items()}
    return value
