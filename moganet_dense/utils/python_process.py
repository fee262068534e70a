"""Other Python processes, which import modules from where this one does, and from nowhere else.

``python -c`` and ``python -m`` look for modules in the current folder first: a file ``json.py``
among the images of a stranger would run.
"""

import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

SAFE_PATH = 'PYTHONSAFEPATH'
"""Variable by which Python 3.11 and later leave the current folder out."""


def python(code: str, *arguments: str) -> list[str]:
    """The command that runs code in a new process.

    Args:
        code: Python.
        arguments: ``sys.argv[1:]`` of it.
    """
    return [sys.executable, '-c', f'import sys; sys.path[:] = {sys.path!r}\n{code}', *arguments]


def python_module(name: str, arguments: Iterable[str]) -> list[str]:
    """The command that runs a module as ``python -m`` does."""
    code = f'import runpy; sys.argv[0] = {name!r}\nrunpy.run_module({name!r}, run_name="__main__")'
    return python(code, *arguments)


@contextmanager
def ignoring_current_folder() -> Iterator[None]:
    """Context for processes that something else starts, as multiprocessing. Python 3.10 has no such
    variable."""
    before = os.environ.get(SAFE_PATH)
    os.environ[SAFE_PATH] = '1'
    try:
        yield
    finally:
        os.environ.pop(SAFE_PATH)
        if before is not None:
            os.environ[SAFE_PATH] = before
