"""Pages that are written by a command are what the command writes."""

import make_benchmarks
from conftest import ROOT


def test_the_page_of_benchmarks_is_up_to_date():
    assert (ROOT / 'docs/benchmarks.md').read_text() == make_benchmarks.page()
