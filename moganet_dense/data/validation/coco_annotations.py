"""Boxes and keypoints in COCO files.

The rule for class names: mmdet numbers boxes by the order of the file, regardless of the order in
the config, and silently drops classes that it does not find. So the classes in the config have to
be the names of the file, all of them and in its order. If the config has none, the classes of the
data set class apply (COCO's 80); then the file may list only the first of them.
"""

import gc
import json
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from io import TextIOWrapper
from pathlib import Path

from mmengine.config import Config
from mmengine.dataset import BaseDataset

from ...utils.errors import UserError
from ...utils.regular_files import open_regular, require_memory
from ...utils.suggest import did_you_mean
from ..converters.files import image_size
from ..data_summary import SplitSummary, Summary, of_boxes, of_keypoints
from . import objects
from .common import listed, outputs, part_of, sample
from .config_rules import keypoint_swaps
from .findings import Finding
from .image_files import ImageSpec
from .other_formats import named

_PARTS = ('images', 'annotations', 'categories')
_ID = (int, str)
_NUMBER = (int, str, float, type(None))  # types of ids that occur in annotations
_BOXES, _MASKS = ('bbox_head', 'roi_head.bbox_head'), ('mask_head', 'roi_head.mask_head')
_FIXED = ('each id of', 'an id of each', "an 'area'", 'a width and height of each image')
"""Words of the rules that have one right fix."""
_KEYS = ('id', 'image_id', 'category_id')


def check_boxes(
    cfg: dict,
    part: dict,
    dataset: BaseDataset,
    split: str,
    every: list[ImageSpec] | None = None,
    summary: Summary | None = None,
) -> Iterator[str | Finding]:
    """Findings of a data set of boxes (or masks).

    Args:
        cfg: the config.
        part: the config of the data set.
        dataset: built from it, not loaded.
        split: train, val or test; only the last may be without annotations.
        every: if given, report all findings instead of the first error, and add all images.
        summary: if given, add the used instances.
    """
    file, classes, model = dataset.ann_file, list(dataset.metainfo['classes']), cfg['model']
    content = read_coco(file, labelled=split != 'test')
    names = [category['name'] for category in content['categories']]
    twice = list(names_twice(content, file))
    yield from twice
    if not twice:
        yield from class_names(classes, names, file, 'classes' not in (part.get('metainfo') or {}))
    yield from outputs(model, (*_BOXES, *_MASKS), 'num_classes', len(classes), 'classes')
    yield from category_numbers(content, file)
    found = of_boxes(content, classes, part, split)
    yield from usable(found, file, split)
    masks = any(step.get('with_mask') for step in part.get('pipeline') or [])
    kind = objects.Kind(masks=masks or any(part_of(model, head) for head in _MASKS))
    yield from _images_and_objects(content, dataset, split, every, kind)
    if summary is not None:
        summary.parts.append(found)


def check_keypoints(
    cfg: dict,
    part: dict,
    dataset: BaseDataset,
    split: str,
    every: list[ImageSpec] | None = None,
    summary: Summary | None = None,
) -> Iterator[str | Finding]:
    """Findings of a data set of keypoints; arguments as in :func:`check_boxes`."""
    file, meta, model = dataset.ann_file, dataset.metainfo, cfg['model']
    content, keypoints = read_coco(file, labelled=split != 'test'), meta['num_keypoints']
    for name, key in [('sigmas', 'sigmas'), ('joint_weights', 'dataset_keypoint_weights')]:
        if (found := len(meta[key])) != keypoints:
            yield f'expected {keypoints} {name}, one per keypoint of the metainfo, found {found}'
    yield from keypoint_counts(content, keypoints, file)
    yield from keypoint_names(
        content, [meta['keypoint_id2name'][i] for i in range(keypoints)], file
    )
    if not any(step.get('type') == 'KeypointConverter' for step in part.get('pipeline') or []):
        yield from outputs(model, ['head'], 'out_channels', _maps(model, keypoints), 'keypoints')
    found = of_keypoints(content, part, split)
    yield from usable(found, file, split)
    yield from _images_and_objects(
        content, dataset, split, every, objects.Kind(keypoints=keypoints)
    )
    if summary is not None:
        summary.parts.append(found)


def described_keypoints(part: dict) -> list[str]:
    """Findings of the keypoint description in a config's metainfo."""
    meta = part.get('metainfo') or {}
    file = meta.get('from_file')
    info, where = meta, 'metainfo'
    if isinstance(file, str):
        if not Path(file).is_file():
            return []  # mmpose falls back to its own files
        info, where = Config.fromfile(file).get('dataset_info') or {}, file
    return list(keypoint_swaps(info, where))


def read_coco(file: str, labelled: bool = True) -> dict:
    """The content of an annotation file.

    Args:
        file: its path.
        labelled: whether annotations are required; test sets may have none.

    Raises:
        UserError: the file is not JSON, or has another format.
    """
    collecting = gc.isenabled()
    gc.disable()  # halves the time: millions of small objects, no garbage
    try:
        require_memory(file)
        with TextIOWrapper(open_regular(file), encoding='utf-8') as stream:
            content = json.load(stream)
    except OSError as error:
        raise UserError(f'{file} cannot be read: {error.strerror}') from None
    except MemoryError:
        raise UserError(f'{file}: not enough memory for the annotations in it') from None
    except (ValueError, RecursionError) as error:
        raise UserError(
            f"{file}: expected JSON in COCO's format, found: {error}{named(file)}"
        ) from None
    finally:
        if collecting:
            gc.enable()
    if isinstance(content, dict) and not labelled:
        content.setdefault('annotations', [])
    if not isinstance(content, dict) or not set(_PARTS) <= set(content):
        found = listed(content) if isinstance(content, dict) else f'a {type(content).__name__}'
        raise UserError(
            f"{file}: expected COCO's format, an object with {', '.join(_PARTS)}, found {found}; "
            f'export the annotations in this format{named(file)}'
        )
    if not _is_well_formed(content):
        raise UserError(
            f"{file}: expected COCO's format, lists of objects: images with id and file_name, "
            'annotations with image_id and category_id, categories with id and name, found '
            'others; export the annotations in this format'
        )
    return content


def _is_well_formed(content: dict) -> bool:
    """Whether the rows have the form that the other checks need."""
    images, rows, categories = (content[part] for part in _PARTS)
    return (
        all(isinstance(part, list) for part in (images, rows, categories))
        and all(isinstance(row, dict) for part in (images, rows, categories) for row in part)
        and all(type(row.get('id')) in _ID and type(row.get('file_name')) is str for row in images)
        and all(type(row.get('id')) in _ID and type(row.get('name')) is str for row in categories)
        and all(type(row.get(key)) in _NUMBER for row in rows for key in _KEYS)
        and all(isinstance(row.get('keypoints') or [], list) for row in rows)
        and all(_are_names(row.get('keypoints') or []) for row in categories)
    )


def _are_names(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(name, str) for name in value)


def _images_and_objects(
    content: dict,
    dataset: BaseDataset,
    split: str,
    every: list[ImageSpec] | None,
    kind: objects.Kind,
) -> Iterator[str | Finding]:
    found = objects.of_file(content, dataset.ann_file, kind)
    if every is None:
        yield from images_of(content, dataset)
        yield from (
            f'{f.rule}, found {f.found} ({f.where()}); {_all_of(f)}'
            for f in found
            if f.severity == 'error'
        )
        return
    yield from found
    for image in content['images']:
        file = os.path.join(dataset.data_prefix['img'], image['file_name'])
        every.append(ImageSpec(file, split, objects.size_of(image)))


def _all_of(finding: Finding) -> str:
    """The command for all findings of a rule."""
    if any(words in finding.rule for words in _FIXED):
        return '`moganet-dense check CONFIG --fix OUT` corrects all'
    return '`moganet-dense check CONFIG` finds all'


def class_names(classes: Sequence, names: Sequence, file: str, built_in: bool) -> Iterator[str]:
    """Checks that the classes of the config are the names of the file, by the rule above."""
    present = [name for name in names if name in classes]
    expected = classes[: max(1, len(present))] if built_in else classes
    whose = " (COCO's, as the config names none)" if built_in else ''
    fix = 'set metainfo=dict(classes=(...,)) to names of the file, in its order'
    if absent := [name for name in expected if name not in names]:
        yield (
            f'expected the classes {listed(absent)}{whose} in {file}, found {listed(names)}'
            f'{did_you_mean(absent[0], names)}; {fix}'
        )
    elif present != expected:
        yield (
            f'expected the classes in the order of {file}, {listed(present)}, found '
            f'{listed(expected)}{whose}: boxes are numbered by the file and would have wrong '
            f'names; {fix}'
        )


def category_numbers(content: dict, file: str) -> Iterator[str]:
    """Annotations of a category that the file does not list: mmdet drops them."""
    known = {category['id'] for category in content['categories']}
    if unknown := {row.get('category_id') for row in content['annotations']} - known:
        known, unknown = (sorted(ids, key=str) for ids in (known, unknown))
        yield (
            f'expected each category_id in {file} to be one of its categories, '
            f'{listed(known)}, found {listed(unknown)}, which would be '
            'dropped; number annotations and categories alike'
        )


REMEDIES = {
    'iscrowd': 'set iscrowd to 0 where an annotation is one object',
    'whose area': '`moganet-dense check CONFIG --fix OUT` computes the area',
    'relative, 0 to 1': 'multiply the boxes by the width and height of their images',
    'marked ignore': 'remove the key ignore',
    'other classes': 'check that metainfo.classes has the names of the file',
    'without a box': '`moganet-dense check CONFIG --fix OUT` computes boxes from keypoints',
}
"""The fix, by words of the reason for which instances are dropped."""


def usable(found: SplitSummary, file: str, split: str) -> Iterator[str]:
    """An empty data set; a test set may have no annotations."""
    unlabelled = split == 'test' and not found.instances
    if found.images and (found.used or unlabelled):
        return
    reasons = found.dropped.most_common()
    why = ': ' + ', '.join(f'{n} {reason}' for reason, n in reasons) if reasons else ''
    remedies = [text for word, text in REMEDIES.items() if any(word in r for r, _ in reasons)]
    yield (
        f'the data set is empty: expected images with usable annotations in {file}, found '
        f'{found.images} images and {found.used} usable of {found.instances} annotations{why}; '
        f'{", ".join(remedies) or "check ann_file"}'
    )


def names_twice(content: dict, file: str) -> Iterator[str]:
    """Two categories of the same name; one is usually an unused root category."""
    used = Counter(row.get('category_id') for row in content['annotations'])
    by_name: dict[str, list] = {}
    for category in content['categories']:
        by_name.setdefault(category['name'], []).append(category['id'])
    for name, ids in by_name.items():
        if len(ids) > 1:
            counts = ', '.join(f'id {i!r} with {used[i]} annotations' for i in ids)
            yield (
                f'expected each category name once in {file}, found {name!r} {len(ids)} times: '
                f'{counts}; `moganet-dense check CONFIG --fix OUT` merges them'
            )


def images_of(content: dict, dataset: BaseDataset) -> Iterator[str]:
    """Checks that the images of the file exist in the folder of the config and have the stated
    size, by their headers."""
    rows = sample(content['images'])
    files = [Path(dataset.data_prefix['img'], row['file_name']) for row in rows]
    if absent := [file for file in files if not file.is_file()]:
        yield (
            f'expected the images that {dataset.ann_file} names, such as {absent[0]}, found '
            f'{len(files) - len(absent)} of the {len(files)} looked for; see data_root and '
            f'data_prefix{named(dataset.data_root or Path(dataset.ann_file).parent)}'
        )
        return
    for row, file in zip(rows, files, strict=True):
        stated = objects.size_of(row)
        try:
            size = image_size(file)
        except UserError:
            continue  # reported when it is decoded
        if stated and size != stated:
            yield (
                f'expected images of the size that {dataset.ann_file} states, {stated[0]} x '
                f'{stated[1]} of {file}, found {size[0]} x {size[1]}; `moganet-dense check CONFIG '
                '--fix OUT` writes a file with the sizes of the images'
            )
            return


def keypoint_counts(content: dict, keypoints: int, file: str) -> Iterator[str]:
    """Checks that every annotation has the number of keypoints of the metainfo."""
    for row in content['annotations']:
        if (length := len(row.get('keypoints') or [])) not in (0, 3 * keypoints):
            yield (
                f'expected {keypoints} keypoints, as in the metainfo ({3 * keypoints} numbers in '
                f'keypoints), found {length / 3:g} ({length} numbers) in annotation '
                f"{row.get('id')} of {file}; set metainfo=dict(from_file='...') to a description "
                'of the keypoints in the file'
            )
            return


def keypoint_names(content: dict, names: Sequence, file: str) -> Iterator[str]:
    """Keypoints in another order; names with another spelling are accepted."""
    for category in content['categories']:
        found = category.get('keypoints') or []
        if found != names and sorted(found) == sorted(names):
            yield (
                f'expected the keypoints in the order of {file}, {listed(found)}, found '
                f'{listed(names)} in the metainfo; use the order of the file'
            )


def _maps(model: dict, keypoints: int) -> int:
    """Outputs per number of keypoints: UDP's combined targets add two offsets to each map."""
    decoder = (model.get('head') or {}).get('decoder')
    combined = isinstance(decoder, dict) and decoder.get('heatmap_type') == 'combined'
    return 3 * keypoints if combined else keypoints
