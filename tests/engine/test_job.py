"""The work dir of a job: given, the folder that the config was saved in, named by it, or new."""

from pathlib import Path

import pytest

from moganet_dense.engine.job import Job


@pytest.mark.parametrize(
    ('options', 'named', 'expected'),
    [
        (dict(work_dir='given', saved_in='moved'), 'before', 'given'),
        (dict(saved_in='moved'), 'before', 'moved'),
        (dict(), 'before', 'before'),
        (dict(), None, 'work_dirs/mine'),
    ],
)
def test_the_work_dir(options, named, expected, tmp_path):
    (path := tmp_path / 'mine.py').write_text(
        f'default_scope = "mmdet"\nwork_dir = {named!r}\n' if named else 'default_scope = "mmdet"\n'
    )
    assert Path(Job(path, **options).read().work_dir) == Path(expected)
