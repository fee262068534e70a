"""The common form that every converter reads a data set into, before it is written as COCO JSON
or label maps."""

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...utils.errors import UserError

Box = tuple[float, float, float, float]

SPLITS = ('train', 'val', 'test')

LONGEST_NAME = 500
"""Characters of the name of a class or keypoint."""
MOST_CLASSES, MOST_KEYPOINTS = 20_000, 1000
"""Of a data set."""


@dataclass(frozen=True)
class Layout:
    """The keypoints of a class.

    Attributes:
        names: of the keypoints.
        skeleton: pairs of keypoint indices that are joined by a line.
    """

    names: list[str]
    skeleton: list[tuple[int, int]] = field(default_factory=list)


@dataclass
class Instance:
    """One annotated object.

    Attributes:
        label: name of its class.
        box: x, y, width, height in pixels, from the top left corner of the image.
        polygons: outlines, each x1, y1, x2, y2, ... in pixels.
        runs: mask as COCO run lengths, ``dict(size=[h, w], counts=[...])``.
        keypoints: x, y, visibility of each keypoint; visibility 0 (not labelled), 1 (hidden) or 2.
        crowd: a region to ignore: a crowd, or an object marked as difficult.
        area: in pixels, if the source has it; else the area of the mask or box is used.
        stuff: a region that is not counted in objects, such as sky: part of label maps alone.
    """

    label: str
    box: Box | None = None
    polygons: list[list[float]] = field(default_factory=list)
    runs: dict[str, Any] | None = None
    keypoints: list[float] | None = None
    crowd: bool = False
    area: float | None = None
    stuff: bool = False

    @property
    def shape(self) -> tuple:
        """What tells instances of an image apart: class, box, outlines and keypoints."""
        return self.label, self.box, self.polygons, self.keypoints


@dataclass
class Sample:
    """One image.

    Attributes:
        file: path of the image.
        size: width and height in pixels, as the toolboxes decode it (turned by its EXIF tag).
        instances: what is annotated in it.
        split: 'train', 'val' or 'test' if the source has a split.
        labels: path of its label map.
    """

    file: Path
    size: tuple[int, int]
    instances: list[Instance] = field(default_factory=list)
    split: str | None = None
    labels: Path | None = None


@dataclass
class Tally:
    """Counts what could not be converted or was changed, with the first place of each."""

    counts: Counter = field(default_factory=Counter)
    first: dict[str, str] = field(default_factory=dict)

    def add(self, what: str, where: Any, count: int = 1) -> None:
        """Counts one occurrence; ``where`` is kept for the first."""
        self.counts[what] += count
        self.first.setdefault(what, str(where))

    def lines(self) -> list[str]:
        """One line per kind, the most frequent first."""
        return [
            f'{count} {what} (first: {self.first[what]})'
            for what, count in self.counts.most_common()
        ]


@dataclass(frozen=True)
class Share:
    """How much of a data set is annotated for a task.

    Attributes:
        having: instances that are.
        of: instances that could be.
        images: images with at least one that is.
    """

    having: int
    of: int
    images: int

    @property
    def usual(self) -> bool:
        """At least half of the instances, in two images or more: one to train, one to validate."""
        return 2 * self.having >= self.of and self.images >= 2


@dataclass
class DataSet:
    """A data set in any format, read.

    Attributes:
        format: name of the format, for people.
        samples: its images.
        classes: names of the classes, in their order.
        keypoints: names of the keypoints of an instance, or empty.
        skeleton: pairs of keypoint indices that are joined by a line.
        swaps: index of the keypoint that each becomes when the image is flipped, if the
            source defines it.
        layouts: keypoints of each class, if classes may have different ones.
        has_stuff: the pixels of no instance are of no class: they are not the background.
        left_out: annotations and images that could not be converted.
        changed: what was converted to another form.
        colours: of label maps: the colour or number of each class.
        seen: the images that annotations belong to, used or not.
    """

    format: str
    samples: list[Sample] = field(default_factory=list)
    classes: list[str] = field(default_factory=list)
    keypoints: list[str] = field(default_factory=list)
    skeleton: list[tuple[int, int]] = field(default_factory=list)
    swaps: list[int] | None = None
    layouts: dict[str, Layout] = field(default_factory=dict)
    has_stuff: bool = False
    left_out: Tally = field(default_factory=Tally)
    changed: Tally = field(default_factory=Tally)
    colours: dict[Any, int] | None = None
    seen: set[Path] = field(default_factory=set)

    def class_of(self, name: str) -> str:
        """Adds a class if it is new; returns its name, stripped.

        Raises:
            UserError: there are more classes than a data set has.
        """
        name = name.strip()
        if name not in self.classes:
            self.classes.append(name)
            if len(self.classes) > MOST_CLASSES:
                self.require_names()
        return name

    def merge_samples(self) -> None:
        """Merges the samples of one image, which several files or tasks may annotate; of equal
        instances one is kept."""
        first: dict[Path, Sample] = {}
        for sample in self.samples:
            kept = first.setdefault(sample.file, sample)
            if kept is sample:
                continue
            known = [one.shape for one in kept.instances]
            new = [one for one in sample.instances if one.shape not in known]
            self.changed.add('images annotated in several places, merged', sample.file)
            if equal := len(sample.instances) - len(new):
                self.left_out.add('repeated annotations of an image', sample.file, equal)
            kept.instances += new
            kept.split = kept.split or sample.split
        self.samples = list(first.values())

    def use_layout(self, label: str | None) -> None:
        """Takes the keypoints of a class, if it has its own."""
        if label in self.layouts:
            self.keypoints = self.layouts[label].names
            self.skeleton = self.layouts[label].skeleton

    def require_names(self) -> None:
        """Checks the number and the lengths of the names of classes and keypoints.

        Raises:
            UserError: one exceeds what a config can hold.
        """
        for what, names, most in (
            ('classes', self.classes, MOST_CLASSES),
            ('keypoints', self.keypoints, MOST_KEYPOINTS),
        ):
            if len(names) > most:
                raise UserError(f'expected up to {most} {what}, found {len(names)} or more')
            if long := [name for name in names if len(name) > LONGEST_NAME]:
                raise UserError(
                    f'expected names of {what} of up to {LONGEST_NAME} characters, found '
                    f'{long[0][:20]}... of {len(long[0])}'
                )

    def tasks(self) -> list[str]:
        """What can be trained on it, the most specific first."""
        if any(sample.labels for sample in self.samples):
            return ['labels']
        instances = [one for sample in self.samples for one in sample.instances]
        things = [one for one in instances if not one.stuff]
        found = []
        if self.keypoints and any(one.keypoints for one in instances):
            found.append('keypoints')
        if any(one.polygons or one.runs for one in things):
            found.append('masks')
        if any(one.polygons or one.runs for one in instances):
            found.append('labels')
        return [*found, 'boxes'] if things else found

    def share(self, task: str) -> Share:
        """The share of instances with keypoints, among those of the classes that have some, or
        with an outline.

        Args:
            task: 'keypoints' or 'masks'.
        """
        pairs = [(sample, one) for sample in self.samples for one in sample.instances
                 if not one.stuff]  # fmt: skip
        if task == 'keypoints':
            having = [(s, one) for s, one in pairs if any((one.keypoints or ())[2::3])]
            labels = {one.label for _, one in having}
            pairs = [(s, one) for s, one in pairs if one.label in labels]
        else:
            having = [(s, one) for s, one in pairs if one.polygons or one.runs]
        return Share(len(having), len(pairs), len({sample.file for sample, _ in having}))

    def usual_task(self) -> str:
        """The most specific task that at least half of the instances are annotated for,
        of a data set with annotations."""
        tasks = self.tasks()
        for task in ('keypoints', 'masks'):
            if task in tasks and self.share(task).usual:
                return task
        return tasks[-1]
