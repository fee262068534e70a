"""Triton's interpreter, without what takes it most of the time and finds nothing here."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from triton.runtime import interpreter


@contextmanager
def quick_interpreter() -> Iterator[None]:
    """Context in which integers are not checked for overflow, a third of the whole time, and in
    which a call of a function in a kernel does not patch the modules that it reads again, another
    third: once is enough."""
    patched = set()

    def call(self, *args, **options):
        if id(self.fn.__globals__) not in patched:
            patched.add(id(self.fn.__globals__))
            interpreter._patch_lang(self.fn)
        return self.rewrite()(*args, **options)

    options = interpreter.interpreter_builder.options  # frozen
    before = options.sanitize_overflow
    object.__setattr__(options, 'sanitize_overflow', 0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(interpreter.InterpretedFunction, '__call__', call)
        yield
    object.__setattr__(options, 'sanitize_overflow', before)
