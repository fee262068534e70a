"""How often the CPU would wait for a GPU in a function, as tools/count_step.py counts."""

import sys
from collections.abc import Callable

from conftest import ROOT

sys.path.insert(0, str(ROOT / 'tools'))

from count_step import Copies, Operators, Step


def waits(function: Callable[[], object]) -> int:
    """The number of waits, by operators and copies of a call."""
    step = Step()
    with Copies(step), Operators(step):
        function()
    return step.waits.total()
