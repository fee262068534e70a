"""Annotations in COCO's format: pycocotools' reader, with what xtcocotools adds."""

import itertools
import json
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pycocotools.coco


class COCO(pycocotools.coco.COCO):
    """A set of annotated images.

    Args:
        annotation_file: JSON file, or None.
        test_index: indices of the keypoints to keep in each annotation; None: all.
        ann_data: the content of the file, if it was read already.

    Annotations without ``iscrowd`` are no crowd.
    """

    def __init__(
        self,
        annotation_file: str | None = None,
        test_index: Sequence[int] | None = None,
        ann_data: dict | None = None,
    ) -> None:
        super().__init__()
        self.anno_file: list = [annotation_file]
        self.test_index = test_index
        if annotation_file is None and ann_data is None:
            return
        if ann_data is None:
            with open(annotation_file) as file:
                ann_data = json.load(file)
        if not isinstance(ann_data, dict):
            raise AssertionError(f'annotation file format {type(ann_data)} not supported')
        self.dataset = ann_data
        for annotation in self.dataset.get('annotations', []):
            annotation.setdefault('iscrowd', False)
            if test_index is not None:
                keypoints = np.reshape(annotation['keypoints'], (-1, 3))
                annotation['keypoints'] = keypoints[test_index].ravel().tolist()
        self.createIndex()

    def getAnnIds(
        self,
        imgIds: Any = (),
        catIds: Any = (),
        areaRng: Sequence[float] = (),
        iscrowd: bool | None = None,
    ) -> list:
        """Ids of annotations that satisfy all conditions; an empty one is none.

        Args:
            imgIds: of these images; one id or some.
            catIds: of these categories; one id or some.
            areaRng: of an area from the first of these up to, but not including, the second.
            iscrowd: whether they are a crowd.
        """
        images, categories = _some(imgIds), _some(catIds)
        if len(images):
            of_images = [self.imgToAnns[i] for i in images if i in self.imgToAnns]
            found = list(itertools.chain.from_iterable(of_images))
        else:
            found = self.dataset['annotations']
        if len(categories):
            found = [a for a in found if a['category_id'] in categories]
        if len(areaRng):
            found = [a for a in found if areaRng[0] <= a['area'] < areaRng[1]]
        if iscrowd is not None:
            found = [a for a in found if a['iscrowd'] == iscrowd]
        return [a['id'] for a in found]

    def getCatIds(self, catNms: Any = (), supNms: Any = (), catIds: Any = ()) -> list:
        """Ids of categories by name, name of the group and id; one of each or some."""
        return super().getCatIds(_some(catNms), _some(supNms), _some(catIds))

    def getImgIds(self, imgIds: Any = (), catIds: Any = ()) -> list:
        """Ids of images that show all the categories; one of each or some."""
        return super().getImgIds(_some(imgIds), _some(catIds))

    def loadRes(self, resFile: Any, resData: list | None = None) -> 'COCO':
        """Predictions, as a set of annotations on the same images.

        Args:
            resFile: JSON file, array of boxes, or a list of predictions, which may be empty.
            resData: the content of the file, if it was read already.
        """
        if len(self.anno_file) == 1:
            self.anno_file.append(resFile)
        result = COCO()
        rows = resData if isinstance(resFile, str) and resData is not None else resFile
        if isinstance(rows, str):
            with open(rows) as file:
                rows = json.load(file)
        if isinstance(rows, list) and not rows:
            result.dataset = dict(images=list(self.dataset['images']), annotations=[])
            result.createIndex()
            return result
        for name, value in vars(super().loadRes(rows)).items():
            setattr(result, name, value)
        return result


def _some(ids: Any) -> Sequence:
    """What was given as some ids, or one: a string is one."""
    if isinstance(ids, Iterable) and hasattr(ids, '__len__') and not isinstance(ids, str):
        return ids
    return [ids]
