"""Scripts in processes that have imported the toolboxes and nothing of this package: forked from
one that has done so, which takes the seconds of these imports once.

``python tests/fresh.py TOOLBOX ...`` reads lines of JSON (file, arguments, output) and answers each
with the exit code, until a line is null; :class:`Fresh` starts it.
"""

import importlib
import json
import os
import runpy
import subprocess
import sys
import traceback
from dataclasses import dataclass
from pathlib import Path


@dataclass
class Ended:
    """What became of a script."""

    code: int
    output: str


class Fresh:
    """Runs scripts; is a context.

    Args:
        toolboxes: that are imported.
        environment: of the processes.
    """

    def __init__(self, toolboxes: list[str], environment: dict[str, str]) -> None:
        self.process = subprocess.Popen(
            [sys.executable, __file__, *toolboxes], env=environment, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip

    def run(self, file: Path, arguments: list[str], output: Path) -> Ended:
        """Runs a script in the current folder; what it prints goes to ``output``."""
        task = dict(file=str(file), arguments=arguments, output=str(output), folder=os.getcwd())
        self.process.stdin.write(json.dumps(task) + '\n')
        self.process.stdin.flush()
        return Ended(int(self.process.stdout.readline()), output.read_text())

    def __enter__(self) -> 'Fresh':
        return self

    def __exit__(self, *error) -> None:
        self.process.stdin.write('null\n')  # a fork of the tests may keep the pipe open
        self.process.stdin.close()
        self.process.wait(60)
        self.process.stdout.close()


def _serve() -> None:
    answers = os.fdopen(os.dup(1), 'w')
    os.dup2(2, 1)  # what the toolboxes print is no answer
    for name in sys.argv[1:]:
        importlib.import_module(name)
    assert 'moganet_dense' not in sys.modules
    for line in sys.stdin:
        if (task := json.loads(line)) is None:
            os._exit(0)
        child = os.fork()
        if not child:
            _be_script(**task)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), file=answers, flush=True)


def _be_script(file: str, arguments: list[str], output: str, folder: str) -> None:
    code: object = 70
    try:
        target = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(target, 1)
        os.dup2(target, 2)
        os.chdir(folder)
        sys.argv = [file, *arguments]
        runpy.run_path(file, run_name='__main__')
        code = 0
    except SystemExit as end:
        code = end.code or 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code if isinstance(code, int) else 1)


if __name__ == '__main__':
    _serve()
