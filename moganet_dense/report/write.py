"""Writes the report page of work dirs."""

import os
from collections.abc import Sequence
from pathlib import Path

from mmengine.dist import is_main_process
from mmengine.logging import print_log

from ..utils.atomic import as_line, require_writable, write_text
from ..utils.nonfatal import nonfatal

PAGE = 'report.html'


def report(work_dirs: Sequence[str | os.PathLike], out: str | os.PathLike | None = None) -> Path:
    """Writes the report of a work dir, or of two side by side.

    Args:
        work_dirs: one or two.
        out: the file; None: report.html in the (last) work dir.

    Returns:
        the file.

    Raises:
        UserError: a folder is not a work dir, or the file cannot be written.
    """
    from .page import page
    from .runs import read_work_dir

    target = Path(out or Path(work_dirs[-1], PAGE))
    text = page([read_work_dir(Path(folder)) for folder in work_dirs])
    require_writable(target, ('.html', '.htm'))
    with as_line(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        write_text(target, text)
    return target


def report_of_run(work_dir: str | os.PathLike) -> None:
    """The report at the end of a run, in the first process; a failure is a warning."""
    if is_main_process():
        with nonfatal('writing the report'):
            print_log(f'Report: {report([work_dir])}', 'current')
