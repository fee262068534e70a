"""Reads data sets in the formats of annotation tools, and writes them as the toolboxes read them.

One module per format, each with ``find`` (the files of the format in a tree) and ``read``. The
readers are our own. Readers of existing libraries were tested on the same small files (a box of VOC
at 11, 6, 20, 25; a LabelMe polygon and a line; a CVAT skeleton; YOLO keypoints; a class out of
range):

==================  ================================================================================
supervision 0.31    VOC and YOLO boxes right; drops ``difficult``; one wrong class index, or a line
                    of keypoints, ends the reading; no LabelMe, CVAT, Label Studio; asks for
                    opencv-python beside opencv-python-headless
globox 2.9          boxes alone; VOC a pixel off (counts from 1); drops polygons and skeletons
                    silently; expands XML entities
labelme2coco 0.2    polygons right; a line becomes an instance of area 0, and a class; brings sahi
pylabel 0.1         boxes alone; VOC a pixel off and one too narrow; brings pandas and Jupyter
datumaro 1.13       finds VOC and YOLO in their original trees only, rejects CVAT's export of a job,
                    no LabelMe JSON; brings pandas, pyarrow, lxml
==================  ================================================================================

None of them counts what it skips, which ``init`` has to report. XML is parsed by defusedxml,
YAML by PyYAML's safe loader, images by Pillow.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from ...utils.errors import UserError, one_line
from ..tasks import FORMATS, TASKS
from . import (
    read_coco,
    read_cvat,
    read_dota,
    read_label_maps,
    read_label_studio,
    read_labelme,
    read_panoptic,
    read_voc,
    read_yolo,
)
from .dataset import DataSet
from .files import Tree
from .unread_formats import unread_file, unread_format

_MODULES: tuple[ModuleType, ...] = (
    read_coco,
    read_panoptic,
    read_label_studio,
    read_labelme,
    read_cvat,
    read_voc,
    read_dota,
    read_yolo,
    read_label_maps,
)
READERS = dict(zip(FORMATS, _MODULES, strict=True))
"""Readers by their name for ``--format``, in the order in which they are tried."""

KNOWN = ', '.join(reader.NAME for reader in READERS.values())


@dataclass(frozen=True)
class Found:
    """A format found in a folder.

    Attributes:
        name: of the format, for people.
        key: its name for ``--format``.
        tree: the folder's files.
        read: reads the data set.
    """

    name: str
    key: str
    tree: Tree
    read: Callable[[], DataSet]


def recognize(folder: Path, void: int | None = None) -> list[Found]:
    """The formats of the annotations in a folder, the most specific first.

    Args:
        folder: the data set.
        void: number in label maps that is not a class, besides 255.

    Raises:
        UserError: it is not a folder, or contains none of the formats.
    """
    if not folder.is_dir():
        found_file = unread_file(folder) if folder.is_file() else f', found none at {folder}'
        raise UserError(f'expected a folder with images and annotations{found_file}')
    tree = Tree(folder.resolve())
    found = []
    for key, reader in READERS.items():
        with one_line(f'{folder}: cannot be searched for annotations of {reader.NAME}'):
            files = reader.find(tree)
        if files:
            found.append(Found(reader.NAME, key, tree, _reading(reader, tree, files, void)))
    if not found:
        endings = sorted({file.suffix or 'none' for file in tree.files})[:12]
        shown = f'{len(tree.files)} files ending in {", ".join(endings)}{unread_format(tree)}'
        raise UserError(
            f'{folder}: expected annotations in one of these formats: {KNOWN}; found '
            f'{shown if tree.files else "no file"}'
        )
    return found


def _reading(
    reader: ModuleType, tree: Tree, files: list[Any], void: int | None
) -> Callable[[], DataSet]:
    options = dict(void=void) if reader is read_label_maps else {}

    def read() -> DataSet:
        with one_line(f'{tree.root}: malformed annotations of {reader.NAME}'):
            data = reader.read(tree, files, **options)
            data.require_names()
            data.merge_samples()
        for image in tree.images():
            if image not in data.seen and not read_label_maps.is_label_map(tree, image):
                data.left_out.add('images without annotations of this format', image)
        return data

    return read


def choose(found: list[Found], task: str | None) -> tuple[DataSet, str]:
    """Reads the first format that supports a task; returns it and the task.

    Args:
        found: from :func:`recognize`.
        task: one of :data:`~.dataset.TASKS`, or None: the most specific task that at least half of
            the instances are annotated for.

    Raises:
        UserError: none of them supports it.
    """
    tried = []
    for one in found:
        data = one.read()
        tasks = data.tasks()
        if tasks and (task is None or task in tasks):
            return data, task or data.usual_task()
        reasons = data.left_out.lines() or [f'{len(data.samples)} images, none with an annotation']
        lines = ''.join(f'\n  {line}' for line in reasons)
        tried.append(f'{one.name}: {", ".join(tasks) or "nothing that can be used"}{lines}')
    wanted = f'--task {task}' if task else f'one of {", ".join(TASKS)}'
    raise UserError(f'expected annotations for {wanted}, found {"; ".join(tried)}')
