"""``init``: creates a config from a folder of annotations in any supported format."""

import os
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from ..data.converters import Found, choose, recognize
from ..data.converters.dataset import DataSet
from ..data.converters.splits import assign
from ..data.converters.writing import annotation_files, label_files, require_new
from ..utils.atomic import write_whole
from ..utils.errors import UserError
from .keypoint_info import keypoint_info
from .new_config import Places, config_text
from .recipe import Recipe, recipe_for


@dataclass(frozen=True)
class Result:
    """The result of ``init``.

    Attributes:
        config: path of the config.
        folder: folder of the annotation files.
        task: task of the config.
        data: the data set that was read.
        recipe: the hyperparameters of the config.
        leaks: images in validation of which training has a copy.
        others: the other formats in the folder, by their name for ``--format``.
        rare: why a more specific task was not chosen, a line each.
    """

    config: Path
    folder: Path
    task: str
    data: DataSet
    recipe: Recipe
    leaks: int
    others: dict[str, str]
    rare: list[str]


def init(
    folder: str | os.PathLike,
    task: str | None = None,
    name: str | None = None,
    val: float = 0.2,
    boxes_class: str | None = None,
    form: str | None = None,
    void: int | None = None,
) -> Result:
    """Reads a data set, and writes annotations for the toolboxes and a config.

    Args:
        folder: the data set; nothing in it is changed.
        task: boxes, masks, keypoints or labels; None: the most specific task that at least
            half of the instances are annotated for.
        name: of the config (NAME.py) and of the folder for annotation files (NAME), both in the
            current folder; None: the name of the data folder.
        val: share of the images for validation, if the data set has no split.
        boxes_class: class with keypoints, if several classes have them.
        form: format to read, one of ``FORMATS``; None: the first found.
        void: number in label maps that is not a class, besides 255.

    Raises:
        UserError: no supported format, no usable annotations, or a file exists already.
    """
    root = Path(folder)
    found = recognize(root, void)
    given = task or ('keypoints' if boxes_class is not None else None)
    data, task = choose(_of_format(found, form, root), given)
    if void is not None and data.colours is None:
        raise UserError(f'--void is for label maps, found {data.format}; leave it out')
    tasks = data.tasks()
    name = name or re.sub(r'\W+', '_', root.resolve().name).strip('_') or 'dataset'
    config, target = Path(f'{name}.py'), Path(name)
    if target.resolve() == root.resolve():
        target = Path(f'{name}_annotations')
    require_new([config, target], '--name')
    rare = [] if given else list(_rare(data, task, name))
    _keep_for_task(data, task, boxes_class)
    _require_usable(data, task, tasks, root)
    if task in ('masks', 'labels'):
        _count_rectangles(data)
    leaks = assign(data, val)
    recipe = recipe_for(data, task)
    images = _shown(root)
    if task == 'labels':
        files = label_files(data, images, target)
    else:
        files = annotation_files(data, task, images, target)
    if task == 'keypoints':
        files[target / 'keypoints.py'] = keypoint_info(data, name).encode()
    test = any(sample.split == 'test' for sample in data.samples)
    places = Places(config, f'{images}/', str(target), test)
    files[config] = config_text(data, task, recipe, places).encode()  # last: it names the others
    _write_all(files, target)
    others = {one.key: one.name for one in found if one.name != data.format}
    return Result(config, target, task, data, recipe, leaks, others, rare)


def _keep_for_task(data: DataSet, task: str, boxes_class: str | None) -> None:
    """Reduces the data to what the task trains on: the class with keypoints, or no stuff. Label
    maps that are drawn from shapes get a background class."""
    if task == 'keypoints':
        _keep_class(data, boxes_class)
    if task in ('boxes', 'masks'):
        _leave_stuff_out(data)
    drawn = not (data.has_stuff or any(sample.labels for sample in data.samples))
    if task == 'labels' and drawn:
        data.classes = ['background', *(c for c in data.classes if c != 'background')]


def _write_all(files: dict[Path, bytes], target: Path) -> None:
    """Writes new files, all or none."""
    try:
        for path, content in files.items():
            write_whole(path, content)
    except BaseException:
        for path in files:  # none of them was there before
            path.unlink(missing_ok=True)
        for folder in sorted({target, *(path.parent for path in files)} - {Path()}, reverse=True):
            with suppress(OSError):
                folder.rmdir()
        raise


def _of_format(found: list[Found], form: str | None, root: Path) -> list[Found]:
    kept = [one for one in found if form in (None, one.key)]
    if not kept:
        names = ', '.join(one.key for one in found)
        raise UserError(f'{root}: expected annotations of --format {form}, found {names}')
    return kept


def _count_rectangles(data: DataSet) -> None:
    """Counts the boxes that become masks."""
    for sample in data.samples:
        for one in sample.instances:
            if not (sample.labels or one.polygons or one.runs):
                what = 'boxes without an outline: their masks are rectangles'
                data.changed.add(what, sample.file)


def _rare(data: DataSet, chosen: str, name: str) -> Iterator[str]:
    """Why tasks before the chosen one were not chosen, and how to choose them."""
    for task, what in (('keypoints', 'keypoints'), ('masks', 'an outline')):
        if task == chosen or task not in data.tasks():
            continue
        share = data.share(task)
        if not share.having:
            yield f'no {what.removeprefix("an ")} of any instance is labelled'
            continue
        line = f'{share.having} of {share.of} instances have {what}, in {share.images} images: '
        if share.images < 2:
            yield line + f'too few for --task {task}'
        elif not share.usual:
            yield line + f'less than half; --task {task} --name {name}_{task} trains on them'


def _shown(root: Path) -> Path:
    """The folder in the config: relative to the current folder if inside it."""
    absolute = root.resolve()
    here = Path.cwd()
    return absolute.relative_to(here) if absolute.is_relative_to(here) else absolute


def _keep_class(data: DataSet, name: str | None) -> None:
    """Keeps the instances of one class, the one with keypoints."""
    rows = [one for sample in data.samples for one in sample.instances]
    having = list(dict.fromkeys(one.label for one in rows if one.keypoints))
    if name is None and len(having) > 1:
        raise UserError(
            f'expected one class with keypoints, found {", ".join(map(repr, having))}; choose '
            'one with --boxes-class NAME'
        )
    if name is not None and name not in having:
        raise UserError(f'--boxes-class: expected one of {having}, found {name!r}')
    chosen = name or having[0]
    for sample in data.samples:
        for one in sample.instances:
            if one.label != chosen or not one.keypoints:
                what = (
                    'without keypoints'
                    if one.label == chosen
                    else f'of other classes than {chosen}'
                )
                data.left_out.add(f'annotations {what}', sample.file)
        sample.instances = [o for o in sample.instances if o.label == chosen and o.keypoints]
    data.classes = [chosen]
    data.use_layout(chosen)


def _leave_stuff_out(data: DataSet) -> None:
    """Drops segments of stuff, and the classes that have no others."""
    things = {one.label for sample in data.samples for one in sample.instances if not one.stuff}
    stuff = set()
    for sample in data.samples:
        for one in sample.instances:
            if one.stuff:
                stuff.add(one.label)
                data.left_out.add('segments of stuff: --task labels trains on them', sample.file)
        sample.instances = [one for one in sample.instances if not one.stuff]
    data.classes = [name for name in data.classes if name in things or name not in stuff]


def _require_usable(data: DataSet, task: str, tasks: list[str], root: Path) -> None:
    usable = [s for s in data.samples if s.labels or any(not o.crowd for o in s.instances)]
    if len(usable) < 2:
        if ignored := sum(one.crowd for sample in data.samples for one in sample.instances):
            data.left_out.add(
                'regions to ignore (iscrowd=1 of COCO, difficult of Pascal VOC): set it to 0 where '
                'an annotation is one object',
                root,
                ignored,
            )
        lines = ''.join(f'\n  {line}' for line in data.left_out.lines())
        others = [f'--task {other}' for other in tasks if other != task]
        hint = f'; other annotations: {" or ".join(others)}' if others else ''
        raise UserError(
            f'{root}: expected at least two images annotated with {task}, found {len(usable)}, for '
            f'training and for validation{hint}{lines}'
        )
    if task == 'labels' and len(data.classes) < 2:
        raise UserError(
            f'{root}: expected label maps of two classes or more, found {data.classes}; add '
            'a class for the background'
        )
