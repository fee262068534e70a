"""Keypoints of any object: whose boxes are taken, and what the results are called."""

import json

import numpy as np
import pytest

from moganet_dense.data.sources import Frame, Source
from moganet_dense.inference.person_boxes import WholeImage, WrittenBoxes, category_of
from moganet_dense.results import Poses
from moganet_dense.results.coco_rows import categories
from moganet_dense.utils.errors import UserError


def written(folder, *names: str):
    content = dict(
        images=[dict(id=1, file_name='a.jpg')],
        annotations=[dict(image_id=1, category_id=2, bbox=[1, 2, 3, 4])],
        categories=[dict(id=i, name=name) for i, name in enumerate(names, 2)],
    )
    (folder / 'boxes.json').write_text(json.dumps(content))
    return str(folder / 'boxes.json')


FRAME = Frame(Source('a.jpg', 'a'), np.zeros((9, 9, 3), np.uint8))


def test_the_only_class_is_taken(tmp_path):
    boxes = WrittenBoxes(written(tmp_path, 'tube'), 0.3)
    assert boxes.category == 'tube'
    (found,) = boxes([FRAME])
    assert found.boxes.tolist() == [[1, 2, 4, 6]] and found.names == ('tube',)


def test_of_several_one_is_chosen(tmp_path):
    file = written(tmp_path, 'tube', 'rod')
    with pytest.raises(UserError, match="--boxes-class: 'tube', 'rod'"):
        WrittenBoxes(file, 0.3)
    assert WrittenBoxes(file, 0.3, 'rod')([FRAME])[0].boxes.tolist() == []
    assert len(WrittenBoxes(file, 0.3, 'tube')([FRAME])[0]) == 1


def test_people_are_taken_where_there_are_some():
    assert category_of(['car', 'person'], None, 'it') == 'person'
    assert category_of(['car', 'person'], 'car', 'it') == 'car'


def test_a_tube_is_no_person():
    empty = np.zeros((0, 2, 2), np.float32)
    result = Poses(empty, empty[..., 0], empty[:, 0], ('top', 'end'), (), category='tube')
    assert categories(result)[0]['name'] == 'tube'
    assert WholeImage('tube').category == 'tube'
