"""How much of a data set is used for training, what is dropped and why, by the rules of the
toolboxes' parsers: mmdet's ``CocoDataset`` and mmpose's ``BaseCocoStyleDataset``, mmseg's loss."""

import statistics
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from .annotations import is_number

RARE = 0.01
"""A class is rare below this share of the most frequent class."""


@dataclass
class SplitSummary:
    """One data set of a config.

    Attributes:
        split: train, val or test.
        source: annotation file or folder.
        unit: what is counted per class: 'instances' or 'pixels'.
        images: in the source.
        dropped_images: by reason.
        instances: in the source; 0 for label maps.
        dropped: instances by reason.
        per_class: used instances or pixels, by class in the config's order.
        sizes: width and height of the images.
        sampled: number of label maps in which the pixels were counted; None: all.
        notes: further remarks, one line each.
    """

    split: str
    source: str
    unit: str = 'instances'
    images: int = 0
    dropped_images: Counter = field(default_factory=Counter)
    instances: int = 0
    dropped: Counter = field(default_factory=Counter)
    per_class: dict[str, int] = field(default_factory=dict)
    sizes: list[tuple[int, int]] = field(default_factory=list)
    sampled: int | None = None
    notes: list[str] = field(default_factory=list)

    @property
    def images_used(self) -> int:
        """Images that training or evaluation sees."""
        return self.images - sum(self.dropped_images.values())

    @property
    def used(self) -> int:
        """Instances that are trained on."""
        return self.instances - sum(self.dropped.values())

    def lines(self) -> list[str]:
        """A readable summary; the first line has all totals."""
        head = f'{self.split}: {self.images_used} of {self.images} images'
        if self.unit == 'instances':
            head += f', {self.used} of {self.instances} instances'
        if size := self.typical_size():
            head += f', mostly {size[0]} x {size[1]}'
        lines = [head]
        for reasons, what in ((self.dropped_images, 'images'), (self.dropped, 'instances')):
            lines += [f'  dropped: {n} {what} {reason}' for reason, n in reasons.most_common()]
        return [*lines, *(f'  {line}' for line in (*self.of_classes(), *self.notes))]

    def of_classes(self) -> list[str]:
        """Instances or pixels per class, with absent and rare classes."""
        total = sum(self.per_class.values())
        if not total:
            return []
        ranked = [item for item in Counter(self.per_class).most_common() if item[1]]
        share = self.unit == 'pixels'
        shown = [f'{name} {n / total:.1%}' if share else f'{name} {n}' for name, n in ranked]
        lines = [f'{self.unit}: {_some(shown)}']
        absent = [name for name, n in self.per_class.items() if not n]
        if absent:
            where = f' in {self.sampled} label maps' if self.sampled else ''
            lines.append(f'never occur{where}: {_some(absent)}')
        rare = [name for name, n in ranked if n < RARE * ranked[0][1]]
        if rare and self.split == 'train':
            lines.append(
                f'rare, under {RARE:.0%} of {ranked[0][0]}: {_some(rare)}; class weights or '
                'ClassBalancedDataset help'
            )
        return lines

    def typical_size(self) -> tuple[int, int] | None:
        """The median width and height."""
        if not self.sizes:
            return None
        return tuple(round(statistics.median(s[i] for s in self.sizes)) for i in (0, 1))  # type: ignore[return-value]

    def content(self) -> dict[str, Any]:
        """The summary as plain data for JSON."""
        return dict(
            split=self.split,
            source=self.source,
            images=self.images,
            images_used=self.images_used,
            dropped_images=dict(self.dropped_images),
            instances=self.instances,
            instances_used=self.used,
            dropped_instances=dict(self.dropped),
            unit=self.unit,
            per_class=dict(self.per_class),
            typical_size=self.typical_size(),
            sampled=self.sampled,
            notes=self.notes,
        )


def _some(names: Sequence[str]) -> str:
    more = f' and {len(names) - 8} more' if len(names) > 8 else ''
    return ', '.join(names[:8]) + more


def of_boxes(content: dict, classes: Sequence[str], part: dict, split: str) -> SplitSummary:
    """Summary of a COCO file as mmdet's ``CocoDataset`` parses and filters it.

    Args:
        content: of the file.
        classes: names in the config.
        part: config of the data set, for its ``filter_cfg`` and ``test_mode``.
        split: train, val or test.
    """
    found = SplitSummary(split, part.get('ann_file') or '', images=len(content['images']))
    names = {c['id']: c['name'] for c in content['categories'] if c['name'] in classes}
    sizes = {image['id']: _size(image) for image in content['images']}
    found.sizes = [size for size in sizes.values() if size]
    found.per_class = dict.fromkeys(classes, 0)
    rows = [row for row in content['annotations'] if row.get('image_id') in sizes]
    with_class = {row['image_id'] for row in rows if row.get('category_id') in names}
    gone = set()
    if not part.get('test_mode'):
        rules = part.get('filter_cfg') or {}
        gone = _filter(found, content['images'], sizes, with_class, rules)
    for row in rows:  # annotations without an image are a separate error
        found.instances += 1
        if reason := _why_no_box(row, sizes[row['image_id']], names):
            found.dropped[reason] += 1
        elif row['image_id'] in gone:
            found.dropped['in images that are dropped'] += 1
        else:
            found.per_class[names[row['category_id']]] += 1
    return found


def _filter(
    found: SplitSummary, images: Iterable[dict], sizes: dict, with_class: set, rules: dict
) -> set:
    """Ids of the images that ``filter_cfg`` leaves out. Only categories decide whether an
    image is empty."""
    least = rules.get('min_size', 0)
    empty, gone = 0, set()
    for image in images:
        size = sizes[image['id']]
        if rules.get('filter_empty_gt') and image['id'] not in with_class:
            found.dropped_images['without an instance (filter_cfg.filter_empty_gt)'] += 1
            gone.add(image['id'])
        elif size and min(size) < least:
            found.dropped_images[f'under {least} pixels (filter_cfg.min_size)'] += 1
            gone.add(image['id'])
        elif image['id'] not in with_class:
            empty += 1
    if empty:
        found.notes.append(f'{empty} images without an instance are trained on as background')
    return gone


def _why_no_box(row: dict, size: tuple[int, int] | None, names: dict) -> str | None:
    """The reason why mmdet drops an annotation; None if it is used."""
    if row.get('ignore'):
        return 'marked ignore'
    box = row.get('bbox')
    if not (isinstance(box, list) and len(box) == 4 and all(map(is_number, box))):
        return 'without a box of four finite numbers'
    x, y, w, h = box
    width, height = size or (float('inf'), float('inf'))
    if w < 1 or h < 1:
        low = all(0 <= n <= 1 for n in box)
        return 'smaller than one pixel' + ' (are the boxes relative, 0 to 1?)' * low
    if min(x + w, width) <= max(x, 0) or min(y + h, height) <= max(y, 0):
        return 'outside their image'
    if not is_number(row.get('area')) or row['area'] <= 0:
        return 'whose area is 0 or missing'
    if row.get('category_id') not in names:
        return 'of other classes'
    return 'with iscrowd=1 (ignored)' if row.get('iscrowd') else None


def of_keypoints(content: dict, part: dict, split: str) -> SplitSummary:
    """Summary of a COCO file as mmpose's ``BaseCocoStyleDataset`` parses it, top-down."""
    found = SplitSummary(split, part.get('ann_file') or '', images=len(content['images']))
    names = {c['id']: c['name'] for c in content['categories']}
    sizes = {image['id']: _size(image) for image in content['images']}
    found.sizes = [size for size in sizes.values() if size]
    found.per_class = dict.fromkeys(names.values(), 0)
    used: dict[Any, int] = defaultdict(int)
    no_area = 0
    for row in content['annotations']:
        if row.get('image_id') not in sizes:
            continue
        found.instances += 1
        if reason := _why_no_keypoints(row, sizes[row['image_id']]):
            found.dropped[reason] += 1
            continue
        used[row['image_id']] += 1
        name = names.get(row.get('category_id'), '')
        found.per_class[name] = found.per_class.get(name, 0) + 1
        no_area += not is_number(row.get('area')) or row['area'] <= 0
    if empty := sum(not used[image['id']] for image in content['images']):
        found.dropped_images['without a usable instance'] += empty
    if no_area:
        found.notes.append(
            f'{no_area} instances without an area: the metric uses 0.53 of their box'
        )
    if lost := found.dropped['without a box']:
        found.notes.append(
            f'hint: `check CONFIG --fix OUT` computes boxes from keypoints for the {lost} without'
        )
    return found


def _why_no_keypoints(row: dict, size: tuple[int, int] | None) -> str | None:
    """The reason why mmpose drops an annotation; None if it is used."""
    box, values = row.get('bbox'), row.get('keypoints')
    if not values:
        return 'without keypoints'
    if not (isinstance(box, list) and len(box) == 4 and all(map(is_number, box))):
        return 'without a box'
    if row.get('iscrowd'):
        return 'with iscrowd=1'
    if row.get('num_keypoints') == 0 or not any(v > 0 for v in values[2::3] if is_number(v)):
        return 'without a labelled keypoint'
    width, height = size or (float('inf'), float('inf'))
    x1, x2 = (min(max(x, 0), width - 1) for x in (box[0], box[0] + box[2]))
    y1, y2 = (min(max(y, 0), height - 1) for y in (box[1], box[1] + box[3]))
    return None if x2 > x1 and y2 > y1 else 'whose box is empty or outside the image'


def _size(image: dict) -> tuple[int, int] | None:
    size = image.get('width'), image.get('height')
    return size if all(is_number(n) and n > 0 for n in size) else None


def of_label_maps(
    source: str, split: str, classes: Sequence[str], images: int, pixels: Counter, sampled: int
) -> SplitSummary:
    """Summary of a folder of label maps.

    Args:
        source: the folder or list.
        split: train, val or test.
        classes: names in the config.
        images: pairs of an image and a label map.
        pixels: by index, as they are trained on, in the sampled label maps.
        sampled: number of these label maps.
    """
    found = SplitSummary(split, source, 'pixels', images=images)
    found.per_class = {name: pixels[i] for i, name in enumerate(classes)}
    found.sampled = None if sampled >= images else sampled
    ignored = sum(n for i, n in pixels.items() if not 0 <= i < len(classes))
    if ignored:
        found.notes.append(f'ignored pixels: {ignored / sum(pixels.values()):.1%}')
    return found


@dataclass
class Summary:
    """All data sets of a config."""

    parts: list[SplitSummary] = field(default_factory=list)

    def lines(self) -> list[str]:
        """The readable summary."""
        return [line for part in self.parts for line in part.lines()]

    def content(self) -> list[dict[str, Any]]:
        """The summary as plain data for JSON."""
        return [part.content() for part in self.parts]
