"""A file is on the disk before it has its name, and its name before the next step."""

import os
from pathlib import Path

import pytest

from moganet_dense.utils.atomic import replacing


def test_content_then_name_are_flushed(tmp_path, monkeypatch):
    target, events = tmp_path / 'a.txt', []
    target.write_text('old')

    def fsync(handle: int) -> None:
        flushed = Path(os.readlink(f'/proc/self/fd/{handle}'))
        content = flushed.read_text() if flushed.is_file() else 'folder'
        events.append(
            (flushed.parent if content == 'new' else flushed, content, target.read_text())
        )

    monkeypatch.setattr(os, 'fsync', fsync)
    with replacing(target) as temporary:
        temporary.write_text('new')
    assert events == [(tmp_path, 'new', 'old'), (tmp_path, 'folder', 'new')]


def test_a_file_that_cannot_be_flushed_replaces_nothing(tmp_path, monkeypatch):
    def fsync(handle: int) -> None:
        raise OSError(5, 'Input/output error')

    target = tmp_path / 'a.txt'
    target.write_text('old')
    monkeypatch.setattr(os, 'fsync', fsync)
    with pytest.raises(OSError, match='Input/output'), replacing(target) as temporary:
        temporary.write_text('new')
    assert target.read_text() == 'old' and list(tmp_path.iterdir()) == [target]
