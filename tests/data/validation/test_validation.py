"""The checks before training: each trap, on data made by hand, and none where there is none."""

import re
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT
from handmade import boxes, keypoints, scenes, write_coco
from mmengine.config import Config

from moganet_dense.config.mini_config import apply_mini
from moganet_dense.data.validation import all_findings, check_before_training
from moganet_dense.data.validation.common import sample
from moganet_dense.data.validation.label_maps import Rule
from moganet_dense.utils.errors import UserError


def finding(cfg: Config) -> str:
    """The message of the check, which has to be one line."""
    with pytest.raises(UserError) as raised:
        check_before_training(cfg)
    assert '\n' not in str(raised.value)
    return str(raised.value)


def test_boxes_that_fit_pass(tmp_path):
    write_coco(tmp_path)
    assert list(all_findings(boxes(tmp_path))) == []
    cfg = boxes(tmp_path)
    wrapped = dict(type='RepeatDataset', times=2, dataset=cfg.train_dataloader.dataset)
    cfg.train_dataloader.dataset = wrapped
    check_before_training(cfg)


@pytest.mark.parametrize(
    'classes, said',
    [
        (('Cat', 'dog'), "classes 'Cat' in .*boxes.json, found 'cat', 'dog'; did you mean 'cat'?"),
        (('cat', 'unicorn'), "expected the classes 'unicorn' in .*, found 'cat', 'dog'; set"),
        (('dog', 'cat'), "order of .*, 'cat', 'dog', found 'dog', 'cat': .*wrong names"),
        ('cat', r"found the string 'cat'; write classes=\('cat',\), with the comma"),
        (None, r"'person' \(COCO's, as the config names none\) in .*, found 'cat', 'dog'"),
    ],
)
def test_class_names_that_do_not_match(tmp_path, classes, said):
    if classes is None:  # neither of the file's names is one of COCO's
        write_coco(tmp_path, categories=[dict(id=3, name='gnu'), dict(id=5, name='yak')])
        said = said.replace("'cat', 'dog'", "'gnu', 'yak'")
    else:
        write_coco(tmp_path)
    message = finding(boxes(tmp_path, classes))
    assert message.startswith('train_dataloader: expected') and re.search(said, message)


def test_built_in_names_may_continue_where_the_file_ends(tmp_path):
    """COCO's 80 start with person, bicycle, car."""
    first = [dict(id=3, name='person'), dict(id=5, name='bicycle')]
    write_coco(tmp_path, categories=first)
    check_before_training(boxes(tmp_path, None, 80))
    write_coco(tmp_path)  # cats would be called people
    message = finding(boxes(tmp_path, None, 80))
    assert "expected the classes 'person', 'bicycle' (COCO's" in message


@pytest.mark.parametrize('loader', ['train_dataloader', 'val_dataloader'])
def test_both_data_sets_are_looked_at(tmp_path, loader):
    write_coco(tmp_path)
    cfg = boxes(tmp_path)
    cfg[loader].dataset.metainfo.classes = ('cow', 'dog')
    assert finding(cfg).startswith(f"{loader}: expected the classes 'cow'")


@pytest.mark.parametrize(
    'changes, said',
    [
        (dict(images=[]), 'is empty: .* found 0 images'),
        (dict(annotations=[]), 'usable annotations in .*2 images and 0 usable of 0'),
        (dict(annotations=[dict(id=1, image_id=1, category_id=0)]), r'\{3, 5\}|3, 5, found 0'),
    ],
)
def test_empty_annotations(tmp_path, changes, said):
    write_coco(tmp_path, **changes)
    assert re.search(said, finding(boxes(tmp_path)))


def test_a_file_of_another_format(tmp_path):
    (tmp_path / 'images').mkdir()
    for text, said in [('[]', 'found a list'), ('{"shapes": 1}', "'shapes'"), ('{', 'found: Exp')]:
        (tmp_path / 'boxes.json').write_text(text)
        assert re.search(f"expected .*COCO's format.*{said}", finding(boxes(tmp_path)))


def test_images_that_are_not_there(tmp_path):
    write_coco(tmp_path)
    (tmp_path / 'images/2.jpg').unlink()
    assert re.search(r'such as .*images/2.jpg, found 1 of the 2 looked', finding(boxes(tmp_path)))


@pytest.mark.parametrize(
    'model, named',
    [
        (dict(bbox_head=dict(num_classes=80)), 'model.bbox_head.num_classes=2.*found 80'),
        (dict(roi_head=dict(bbox_head=[dict(num_classes=2), dict(num_classes=3)])),
         r'model.roi_head.bbox_head\[1\].num_classes=2.*found 3'),
        (dict(roi_head=dict(bbox_head=dict(num_classes=2), mask_head=dict(num_classes=80))),
         'model.roi_head.mask_head.num_classes=2.*found 80'),
    ],
)  # fmt: skip
def test_a_head_for_another_number_of_classes(tmp_path, model, named):
    write_coco(tmp_path)
    assert re.search(f'expected {named}', finding(boxes(tmp_path, model=model)))


def test_heads_without_classes_of_their_own_pass(tmp_path):
    write_coco(tmp_path)
    roi = dict(bbox_head=dict(num_classes=2), mask_head=dict(class_agnostic=True, num_classes=80))
    check_before_training(boxes(tmp_path, model=dict(rpn_head=dict(num_classes=1), roi_head=roi)))


def test_a_metric_that_reads_another_file(tmp_path):
    write_coco(tmp_path)
    cfg = boxes(tmp_path)
    cfg.val_evaluator.ann_file = 'data/coco/annotations/instances_val2017.json'
    assert re.search(
        'val_evaluator: expected ann_file=.*boxes.json.*found .data/coco', finding(cfg)
    )


def test_unknown_data_sets_are_left_alone(tmp_path):
    write_coco(tmp_path)
    cfg = boxes(tmp_path, ('cow',))
    for loader in (cfg.train_dataloader, cfg.val_dataloader):
        loader.dataset.type = 'LVISV1Dataset'
    check_before_training(cfg)


# --- label maps


FROM_0, FROM_1 = [[0, 1], [2, 255]], [[1, 2], [3, 255]]


def test_label_maps_that_fit_pass(tmp_path):
    check_before_training(scenes(tmp_path, [FROM_0]))
    check_before_training(scenes(tmp_path, [FROM_0, [[0, 0], [1, 1]]]))
    check_before_training(scenes(tmp_path, [FROM_1, [[0, 0], [1, 1]]], zero=True))


def test_reduce_zero_label_off_by_one(tmp_path):
    message = finding(scenes(tmp_path, [FROM_1]))
    assert 'expected labels 0 to 2 (255: ignored), for 3 classes' in message
    assert 'found 3 in 1 label maps, 25.0% of the pixels' in message
    assert message.endswith('set reduce_zero_label=True in the data set, as 0 never occurs')
    message = finding(scenes(tmp_path, [FROM_0], zero=True))  # nothing is out of range
    assert 'expected labels 1 to 3 (0 and 255: ignored), for reduce_zero_label=True' in message
    assert 'found 0 to 2 and never 3 in 1 label maps; set reduce_zero_label=False' in message
    message = finding(scenes(tmp_path, [[[4, 9], [1, 0]]], zero=True))
    assert 'found 4, 9 in 1' in message and message.endswith('or name all classes')
    assert (
        'label_map={3: 255, 8: 255} in all data sets (numbers after reduce_zero_label)' in message
    )
    names = ['sky', 'ground', 'thing']
    assert Rule(names, reduced=True).no_class({4, 9, 1, 0}) == {4, 9}
    assert not Rule(names, True, {3: 255, 8: 255}).no_class({4, 9, 1, 0})
    message = finding(scenes(tmp_path, [[[0, 1], [2, 3]]]))
    assert "3 is not a class (void?): set type='LabelMapDataset', label_map={3: 255}" in message
    assert 'set reduce_zero_label' not in message  # which would shift every class
    assert not Rule(names, False, {3: 255}).no_class({0, 1, 2, 3})


def test_a_rare_last_class_is_no_fault(tmp_path):
    """It is in one label map of 60, which the sample of 20 does not hold."""
    maps = [[[0, 1], [2, 2]]] * 59 + [[[3, 3], [3, 3]]]
    assert 59 not in sample(range(60))
    check_before_training(scenes(tmp_path, maps, zero=True))


def test_two_rules_for_label_zero(tmp_path):
    steps = [dict(type='LoadAnnotations', reduce_zero_label=True)]
    message = finding(scenes(tmp_path, [FROM_0], pipeline=steps))
    assert 'reduce_zero_label=False of the data set and True of LoadAnnotations' in message


@pytest.mark.parametrize('heads, name', [((150, 3), 'decode_head'), ((3, 150), 'auxiliary_head')])
def test_a_segmentation_head_for_another_number_of_classes(tmp_path, heads, name):
    message = finding(scenes(tmp_path, [FROM_0], heads=heads))
    assert f'expected model.{name}.num_classes=3' in message and 'found 150' in message


def test_an_empty_folder_and_another_suffix(tmp_path):
    message = finding(scenes(tmp_path, []))
    assert 'is empty: expected images ending in' in message and 'ending in nothing' in message
    message = finding(scenes(tmp_path, [FROM_0], suffix='.png'))
    assert "ending in '.jpg'" in message and "found files ending in '.png'" in message
    check_before_training(scenes(tmp_path, [FROM_0], img_suffix='.png'))
    (tmp_path / 'labels/0.png').rename(tmp_path / 'labels/0.tif')
    assert re.search("expected .*labels/0.png, found '0.tif'.*set seg_map_suffix",
                     finding(scenes(tmp_path, [], img_suffix='.png')))  # fmt: skip


def test_coloured_label_maps(tmp_path):
    assert 'found 3 channels in' in finding(scenes(tmp_path, [np.zeros((2, 2, 3))]))


def test_names_of_ones_own_in_a_known_data_set(tmp_path):
    message = finding(scenes(tmp_path, [FROM_0], type='ADE20KDataset'))
    assert "some of the 150 classes of ADE20KDataset, found 'ground', 'thing'" in message
    assert message.endswith("set type='BaseSegDataset'")
    assert 'expected class names' in finding(scenes(tmp_path, [FROM_0], metainfo={}))


# --- keypoints


def test_keypoints_that_fit_pass(tmp_path):
    check_before_training(keypoints(tmp_path))
    check_before_training(keypoints(tmp_path, names=['a', 'b', 'c']))
    check_before_training(keypoints(tmp_path, names=['A', 'B', 'C']))  # spelt otherwise
    check_before_training(keypoints(tmp_path, outputs=9, decoder=dict(heatmap_type='combined')))


def test_keypoints_that_do_not_match(tmp_path):
    message = finding(keypoints(tmp_path, outputs=17))
    assert (
        'expected model.head.out_channels=3, the number of keypoints of the data, found 17'
        in message
    )
    message = finding(keypoints(tmp_path, count=5))
    assert 'expected 3 keypoints, as in the metainfo (9 numbers' in message
    assert 'found 5 (15 numbers) in annotation 7 of' in message
    message = finding(keypoints(tmp_path, names=['a', 'c', 'b']))
    assert "'a', 'c', 'b', found 'a', 'b', 'c' in the metainfo; use the order" in message
    assert '0 usable of 1 annotations: 1 without keypoints' in finding(keypoints(tmp_path, 0))
    cfg = keypoints(tmp_path)
    cfg.train_dataloader.dataset.metainfo.sigmas = [0.05] * 17
    assert 'expected 3 sigmas, one per keypoint of the metainfo, found 17' in finding(cfg)


# --- the configs that ship, and the command line

SHIPPED = {
    'boxes': ROOT / 'configs/det/retinanet_moganet_xt.py',
    'labels': ROOT / 'configs/seg/upernet_moganet_xt.py',
    'keypoints': ROOT / 'configs/pose/topdown_moganet_xt_256x192.py',
}


@pytest.mark.parametrize('name', SHIPPED)
def test_nothing_is_found_in_the_data_that_ship(name, workspace):
    cfg = Config.fromfile(SHIPPED[name])
    apply_mini(cfg)
    assert list(all_findings(cfg)) == []


@pytest.mark.parametrize('folder, kind', [('coco4', 'boxes'), ('ade3', 'labels')])
def test_nothing_is_found_in_real_data(photographs, folder, kind):
    cfg = Config.fromfile(SHIPPED[kind])
    cfg.val_dataloader = None
    part = cfg.train_dataloader.dataset
    part.data_root = str(photographs / folder)
    if kind == 'boxes':  # the file lists people only, COCO's first class
        part.update(ann_file='annotations/person_keypoints.json', data_prefix=dict(img='images/'))
    else:
        part.data_prefix = dict(img_path='images/validation', seg_map_path='annotations/validation')
    check_before_training(cfg)


def trapped(name: str, folder: Path) -> Config:
    """A config of each task with one of the traps in it."""
    if name == 'boxes':
        write_coco(folder)
        return boxes(folder, ('Cat', 'dog'))
    return scenes(folder, [FROM_1]) if name == 'labels' else keypoints(folder, outputs=17)


@pytest.mark.parametrize(
    'name, said',
    [
        ('boxes', "did you mean 'cat'"),
        ('labels', 'set reduce_zero_label=True'),
        ('keypoints', 'out_channels=3, .*found 17'),
    ],
)
def test_training_ends_in_one_line_before_it_starts(name, said, tmp_path, cli, monkeypatch):
    trapped(name, tmp_path).dump(tmp_path / 'mine.py')
    monkeypatch.chdir(tmp_path)
    printed = cli('train', 'mine.py', code=1)
    assert 'Traceback' not in printed
    (line,) = re.findall('^error: (.*)', printed, re.MULTILINE)
    assert line.startswith('train_dataloader: expected') and re.search(said, line)
    assert not (tmp_path / 'work_dirs').exists()  # no Runner was built
