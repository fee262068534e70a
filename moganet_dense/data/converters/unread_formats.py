"""Formats that are recognised and not read: their names, and what to do instead."""

import re
import shlex
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from .files import Tree

_SAMPLE = 3
"""Files of one kind that are looked into."""
_HEAD = 4096
"""Bytes of a file that are looked at."""

_AGAIN = 'export the project as COCO'


class _Format(NamedTuple):
    """A format that is not read.

    Attributes:
        name: for people.
        suffixes: of its annotation files.
        pattern: what the beginning of such a file contains.
        way: what to do; {folder} stands for the data set, {out} for a new folder beside it.
    """

    name: str
    suffixes: tuple[str, ...]
    pattern: bytes
    way: str


def _with_datumaro(name: str, after: str = '') -> str:
    """The commands that convert a format to COCO, in an environment of their own: Datumaro
    (https://github.com/open-edge-platform/datumaro) needs another OpenCV than the newest."""
    return (
        'convert it to COCO with `python -m venv datumaro_env`, `datumaro_env/bin/pip install '
        f'"datumaro[cli]"` and `datumaro_env/bin/datum convert -i {{folder}} -if {name} '
        f'-f coco_instances -o {{out}} -- --save-media`, then `moganet-dense init {{out}}`{after}'
    )


_FORMATS = (
    _Format('Datumaro', ('.json',), rb'"dm_format_version"|"categories":\s*\{\s*"label"',
            _with_datumaro('datumaro')),
    _Format('VGG Image Annotator (VIA)', ('.json',),
            rb'"_via_|"(shape_attributes|region_attributes|file_attributes)"',
            'in VIA open the project, set the type of the attribute of the classes to dropdown, '
            'and choose Annotation > Export Annotations (COCO format)'),
    _Format('VGG Image Annotator (VIA)', ('.csv',), rb'region_shape_attributes',
            'in VIA open the project, set the type of the attribute of the classes to dropdown, '
            'and choose Annotation > Export Annotations (COCO format)'),
    _Format('ISAT', ('.json',), rb'"description":\s*"ISAT"', 'convert it to COCO, in ISAT itself'),
    _Format('a Label Studio export of videos', ('.json',), rb'"videorectangle"',
            'save the frames as images, and annotate or export them as such'),
    _Format('SuperAnnotate', ('.json',), rb'"metadata":\s*\{[^{}]*"(lastAction|projectId)"',
            'export the project as COCO, or convert it with SuperAnnotate\'s own converter'),
    _Format('V7 Darwin', ('.json',), rb'"schema_ref":\s*"[^"]*darwin', _AGAIN),
    _Format('Labelbox', ('.ndjson', '.json'), rb'"data_row"|"Labeled Data"',
            'convert it to COCO with the converter of the labelbox package'),
    _Format('CreateML', ('.json',), rb'"coordinates":\s*\{\s*"(x|y|width|height)"', _AGAIN),
    _Format('Open Images (CSV)', ('.csv',), rb'^\W*ImageID,(Source,LabelName|LabelName)',
            _with_datumaro('open_images')),
    _Format('run lengths of Kaggle (CSV)', ('.csv',), rb'(?i)^\W*[^\n]*EncodedPixels',
            'draw the masks into PNG files, one per image, with the number of the class'),
    _Format('a table of classes of whole images (CSV)', ('_classes.csv',), rb'^\W*filename,',
            'for classification see docs/task_classification.md'),
    _Format('a table of boxes (CSV)', ('.csv',), rb'(?i)^\W*[^\n]*\bxmin\b[^\n]*\bymax\b',
            'export the data set as COCO, YOLO or Pascal VOC'),
    _Format('JSON lines', ('.jsonl',), rb'^\s*\{', 'export the data set as COCO'),
    _Format('label maps of NumPy', ('.npy',), rb'NUMPY', 'save them as PNG'),
    _Format('label maps of MATLAB', ('.mat',), rb'MATLAB', 'save them as PNG'),
    _Format('KITTI', ('.txt',), rb'^[A-Za-z]\w*(\s+-?[\d.]+){14,15}\s*$',
            _with_datumaro('kitti_detection', '; `classes` of its config without DontCare leaves '
            'those boxes out')),
    _Format('TFRecord', ('.tfrecord', '.record'), rb'', _AGAIN),
)  # fmt: skip


def unread_format(tree: Tree) -> str:
    """'; this is FORMAT: what to do' of a tree in a known format that is not read, else ''."""
    for name, way in _found(tree):
        folder = tree.root
        out = shlex.quote(str(folder.with_name(f'{folder.name}_coco')))
        return f'; this is {name}: {way.format(folder=shlex.quote(str(folder)), out=out)}'
    return ''


def _found(tree: Tree) -> Iterator[tuple[str, str]]:
    if _is_supervisely(tree):
        yield 'the format of Supervisely', 'export the project as COCO, YOLO or Pascal VOC'
    for one in _FORMATS:
        files = tree.ending(*one.suffixes)[:_SAMPLE]
        if any(re.search(one.pattern, _start(file), re.MULTILINE) for file in files):
            yield one.name, one.way
    archives = [file for file in tree.files if _is_archive(file)]
    if archives:
        yield 'an archive', _unpacking(archives[0]).replace('{', '{{').replace('}', '}}')


def _is_supervisely(tree: Tree) -> bool:
    return any(f.name == 'meta.json' for f in tree.files) and any(
        f.parent.name == 'ann' for f in tree.ending('.json')
    )


def _start(file: Path) -> bytes:
    with file.open('rb') as stream:
        return stream.read(_HEAD).removeprefix(b'\xef\xbb\xbf')


_ARCHIVES: tuple[tuple[Callable[[Path], bool], str], ...] = (
    (zipfile.is_zipfile, 'zipfile'),
    (tarfile.is_tarfile, 'tarfile'),
)
"""Tests of a file, and the module of Python that unpacks it."""


def _is_archive(file: Path) -> bool:
    ending = file.name.lower().endswith(('.zip', '.tar', '.tgz', '.tar.gz', '.tar.bz2', '.tar.xz'))
    return ending and any(test(file) for test, _ in _ARCHIVES)


def _unpacking(file: Path) -> str:
    module = next(module for test, module in _ARCHIVES if test(file))
    folder = file.with_name(file.name.partition('.')[0] or 'data')
    if folder == file:
        folder = file.with_name(f'{file.name}_unpacked')
    target = shlex.quote(str(folder))
    return (
        f'unpack it with `python -m {module} -e {shlex.quote(str(file))} {target}`, then run '
        f'`moganet-dense init {target}`'
    )


def unread_file(file: Path) -> str:
    """What was found in the place of a folder, and what to do."""
    if _is_archive(file):
        return f', found the archive {file}: {_unpacking(file)}'
    parent = shlex.quote(str(file.parent))
    return f', found the file {file}: pass its folder, `moganet-dense init {parent}`'
