"""Checks all data of a config, and tells what does not fit."""

import json
import sys
from contextlib import redirect_stdout
from pathlib import Path

from ..data.check import check_all
from .config import one_line
from .run import Job


def check(job: Job, out: str | None = None) -> int:
    """Prints the report; returns the exit code: 1 if there are errors, 0 with warnings only.

    Args:
        job: what would be trained.
        out: file for the report as JSON; '-' prints it instead of the words.

    Raises:
        UserError: the config cannot be read, or there is nothing to check.
    """
    with redirect_stdout(sys.stderr):  # what the toolboxes tell is not the report
        cfg = job.read()
        with one_line('the data cannot be checked'):
            report = check_all(cfg)
    content = json.dumps(report.content(), indent=1)
    print(content if out == '-' else report.words())
    if out and out != '-':
        with one_line(f'{out} cannot be written'):
            Path(out).write_text(content, encoding='utf-8')
    return int(report.number('error') > 0)
