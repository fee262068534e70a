"""predict: what comes out as files, held against pycocotools, OpenCV and pictures drawn here."""

import io
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from conftest import ROOT
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools import mask as rle
from pycocotools.coco import COCO
from small import small

from moganet_dense import load_model
from moganet_dense.apis.predict import SKIPPED, WrittenBoxes, predict, whole_pictures
from moganet_dense.cli import main
from moganet_dense.data.coco import CLASSES
from moganet_dense.data.inputs import Frame, find
from moganet_dense.drawing import colours, draw
from moganet_dense.errors import UserError
from moganet_dense.results import Classification, Detections, Poses, Segmentation
from moganet_dense.writing import rows, run_lengths

RED = (0, 0, 255)  # BGR


class RedBoxes:
    """Finds the red pixels of a picture: one 'cat' around them, with its mask."""

    task, classes = 'instance segmentation', CLASSES

    def __init__(self) -> None:
        self.calls: list[int] = []

    def __call__(self, images, *, order, batch_size):
        assert order == 'bgr'
        self.calls.append(len(images))
        return [self.look(image) for image in images]

    def look(self, image: np.ndarray) -> Detections:
        mask = (image.astype(int) - RED).__abs__().sum(2) < 150
        y, x = np.nonzero(mask)
        box = [[x.min(), y.min(), x.max() + 1, y.max() + 1]] if len(x) else np.zeros((0, 4))
        n = len(box)
        masks = np.repeat(mask[None], n, axis=0)
        ones = np.full(n, 0.9, np.float32)
        return Detections(np.float32(box), ones, np.full(n, 15), CLASSES, masks)


def with_red(path: Path, x: int, y: int, width: int, height: int, size=(80, 60)) -> Path:
    image = np.full((size[1], size[0], 3), 90, np.uint8)
    image[y : y + height, x : x + width] = RED
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), image)
    return path


@pytest.fixture
def photos(tmp_path, monkeypatch) -> Path:
    """A folder with two pictures, a broken one, a text and a hidden file."""
    monkeypatch.chdir(tmp_path)
    with_red(tmp_path / 'photos/a.png', 10, 20, 30, 15)
    with_red(tmp_path / 'photos/more/b.png', 0, 0, 8, 40)
    (tmp_path / 'photos/broken.jpg').write_bytes(b'\xff\xd8 no picture')
    (tmp_path / 'photos/notes.txt').write_text('x')
    (tmp_path / 'photos/.hidden.png').write_bytes(b'')
    return Path('photos')


def test_boxes_masks_and_drawings_of_a_folder(photos, capsys):
    code = predict(RedBoxes(), [str(photos), 'absent.png'], Path('photos/out'))
    assert code == SKIPPED == 3
    said = capsys.readouterr().err
    assert 'skipped: photos/broken.jpg' in said and 'expected a picture at absent.png' in said
    assert 'looked at 2 pictures, skipped 2 files' in said
    coco = COCO('photos/out/predictions.json')  # pycocotools can read it
    (cat,) = coco.getCatIds(['cat'])
    assert cat == 17 and len(coco.getCatIds()) == 80  # COCO's own number
    found = {coco.imgs[a['image_id']]['file_name']: a for a in coco.anns.values()}
    assert found['photos/a.png']['bbox'] == [10, 20, 30, 15]
    assert found['photos/more/b.png']['bbox'] == [0, 0, 8, 40]
    assert coco.annToMask(found['photos/a.png']).sum() == 450 == found['photos/a.png']['area']
    drawn = cv2.imread('photos/out/drawn/a.jpg')
    assert drawn.shape == (60, 80, 3)
    assert cv2.imread('photos/out/drawn/more/b.jpg') is not None
    # a second look does not look at its own results, and leaves nothing half-written
    assert predict(RedBoxes(), [str(photos)], Path('photos/out')) == SKIPPED
    assert 'looked at 2 pictures' in capsys.readouterr().err
    assert not list(Path().rglob('*.part*'))


def test_a_result_can_be_evaluated_by_coco(photos):
    """COCO's numbered file names become its numbers."""
    for k in (785, 40083):
        with_red(photos / f'coco/{k:012d}.png', k % 30, 5, 20, 20)
    predict(RedBoxes(), [str(photos / 'coco')], Path('out'))
    content = json.loads(Path('out/predictions.json').read_text())
    assert sorted(image['id'] for image in content['images']) == [785, 40083]
    truth = dict(content, annotations=[dict(a) for a in content['annotations']])
    Path('truth.json').write_text(json.dumps(truth))
    loaded = COCO('truth.json').loadRes(content['annotations'])
    assert len(loaded.anns) == 2


def test_a_video_is_drawn_as_a_video(photos):
    writer = cv2.VideoWriter('clip.avi', cv2.VideoWriter_fourcc(*'MJPG'), 10, (80, 60))
    for k in range(5):
        image = np.full((60, 80, 3), 90, np.uint8)
        image[10:40, 10 * k : 10 * k + 20] = RED
        writer.write(image)
    writer.release()
    model = RedBoxes()
    assert predict(model, ['clip.avi', str(photos / 'a.png')], Path('out'), batch_size=4) == 0
    assert model.calls == [4, 2]
    content = json.loads(Path('out/predictions.json').read_text())
    places = [(i.get('frame'), a['bbox'][0]) for i, a in
              zip(content['images'], content['annotations'], strict=True)]  # fmt: skip
    assert [frame for frame, _ in places] == [0, 1, 2, 3, 4, None]
    np.testing.assert_allclose([x for _, x in places], [0, 10, 20, 30, 40, 10], atol=2)
    drawn = cv2.VideoCapture('out/drawn/clip.mp4')
    assert drawn.get(cv2.CAP_PROP_FPS) == 10
    assert sum(iter(lambda: drawn.read()[0], False)) == 5
    Path('none.mp4').write_bytes(b'no video')
    assert predict(model, ['none.mp4'], Path('out2')) == SKIPPED


def test_a_list_on_standard_input_and_lines_of_json(photos, monkeypatch):
    monkeypatch.setattr('sys.stdin', io.StringIO('photos/a.png\n\nphotos/more/b.png\n'))
    lines = io.StringIO()
    assert predict(RedBoxes(), ['-'], None, lines) == 0
    found = [json.loads(line) for line in lines.getvalue().splitlines()]
    assert [line['file_name'] for line in found] == ['photos/a.png', 'photos/more/b.png']
    assert found[0]['height'] == 60 and found[0]['found'][0]['bbox'] == [10, 20, 30, 15]
    with pytest.raises(UserError, match='no pictures or videos'):
        predict(RedBoxes(), ['-'], None)


def test_files_are_found_once_and_named_apart(photos):
    with_red(photos / 'a.bmp', 0, 0, 2, 2)
    found = find(['photos/*.png', 'photos', 'photos/a.png', 'nothing*'])
    assert [(s.file, s.name) for s in found] == [
        ('photos/a.png', 'a'), ('photos/a.bmp', 'a_2'), ('photos/broken.jpg', 'broken'),
        ('photos/more/b.png', 'more/b'), ('nothing*', 'nothing*'),
    ]  # fmt: skip


masks = st.tuples(
    st.integers(1, 40), st.integers(1, 40), st.integers(0, 2**32 - 1), st.floats(0, 1)
)


@given(masks)
@settings(max_examples=60, deadline=None)
def test_run_lengths_are_pycocotools(drawn):
    height, width, seed, share = drawn
    mask = np.random.RandomState(seed).rand(height, width) < share
    wanted = rle.encode(np.asfortranarray(mask.astype(np.uint8)))
    assert run_lengths(mask) == dict(size=[height, width], counts=wanted['counts'].decode())


def test_long_runs_are_pycocotools():
    mask = np.zeros((700, 900), bool)
    mask[3:650, 5:7], mask[:, 100:800] = True, True
    wanted = rle.encode(np.asfortranarray(mask.astype(np.uint8)))
    assert run_lengths(mask)['counts'] == wanted['counts'].decode()


def test_drawing_marks_the_place_and_leaves_the_picture():
    picture = np.full((100, 120, 3), 50, np.uint8)
    before = picture.copy()
    found = Detections(
        np.float32([[30, 40, 90, 80], [0, 0, 20, 20]]), np.float32([0.9, 0.1]),
        np.array([3, 0]), CLASSES,
    )  # fmt: skip
    drawn = draw(picture, found, 0.3)
    colour = colours(80)[3][::-1]
    assert (drawn[60, 30] == colour).all() and (drawn[80, 60] == colour).all()
    assert (drawn[60, 60] == 50).all() and (drawn[10, 20] == 50).all()  # inside; below the score
    assert (picture == before).all()
    assert (draw(picture, found, 0.05)[10, 20] != 50).any()

    poses = Poses(
        np.float32([[[20, 50], [100, 50], [60, 90]]]), np.float32([[1, 1, 0.1]]),
        np.float32([[0, 0, 120, 100]]), ('a', 'b', 'c'), ((0, 1), (0, 2)),
    )  # fmt: skip
    drawn = draw(picture, poses)
    assert (drawn[50, 60] != 50).any() and (drawn[50, 20] == 255).all()
    assert (drawn[90, 60] == 50).all() and (drawn[70, 40] == 50).all()

    labels = np.zeros((100, 120), np.int64)
    labels[:, 60:] = 1
    palette = np.uint8([[10, 20, 30], [200, 100, 0]])
    drawn = draw(picture, Segmentation(labels, ('x', 'y'), palette))
    np.testing.assert_allclose(drawn[90, 20], [40, 35, 30], atol=1)  # halves of 50 and BGR
    np.testing.assert_allclose(drawn[90, 100], [25, 75, 125], atol=1)

    cls = Classification(np.float32([0.2, 0.8]), 1, 'y', ('x', 'y'))
    assert (draw(picture, cls) != 50).any()
    assert rows(cls) == [dict(label=1, name='y', score=0.8), dict(label=0, name='x', score=0.2)]


def test_labels_give_way_to_each_other():
    """Two objects in one place: both are named, neither name hides the other."""
    picture = np.full((200, 300, 3), 50, np.uint8)
    boxes, scores = np.float32([[60, 80, 200, 160]] * 2), np.float32([0.9, 0.8])
    found = Detections(boxes, scores, np.array([3, 0]), CLASSES)
    drawn = draw(picture, found)
    first, second = colours(80)[[3, 0]][:, ::-1]
    above, inside = drawn[67:79, 61:150], drawn[82:93, 62:127]
    assert (above == first).all(2).mean() > 0.3 and not (above == second).all(2).any()
    assert (inside == second).all(2).mean() > 0.3
    alone = draw(picture, found.where(0.85))
    assert (drawn[:79] == alone[:79]).all() and (alone[82:93, 62:127] == 50).all()


def test_masks_of_one_class_have_an_edge_between_them():
    picture = np.full((100, 120, 3), 50, np.uint8)
    masks = np.zeros((2, 100, 120), bool)
    masks[0, 40:80, 20:60] = masks[1, 40:80, 60:100] = True
    boxes = np.float32([[20, 40, 60, 80], [60, 40, 100, 80]])
    drawn = draw(picture, Detections(boxes + [0, -30, 0, 10], np.float32([0.9, 0.8]),
                                     np.array([0, 0]), CLASSES, masks))  # fmt: skip
    colour = colours(80)[0][::-1]
    assert np.abs(drawn[50:70, 59:61] - colour.astype(int)).max() < 30  # smoothed
    np.testing.assert_allclose(drawn[60, 40], (colour.astype(int) + 50) / 2, atol=1)


def test_left_and_right_of_a_person_have_their_colours():
    """As mmpose draws COCO's persons: left green, right orange, what joins them blue."""
    picture = np.zeros((400, 400, 3), np.uint8)
    points = np.float32([[[200, 40], [300, 40], [100, 40], [300, 340], [100, 340]]])
    names = ('nose', 'left_eye', 'right_eye', 'left_hip', 'right_hip')
    links = ((0, 1), (0, 2), (1, 3), (2, 4), (3, 4))
    box, places = (
        np.float32([[0, 0, 400, 400]]),
        ([40, 40, 200, 200, 340], [250, 150, 300, 100, 200]),
    )
    poses = Poses(points, np.ones((1, 5), np.float32), box, names, links)
    green, orange, blue = (0, 255, 0), (255, 128, 0), (51, 153, 255)
    seen = draw(picture, poses)[places][:, ::-1]
    np.testing.assert_allclose(seen, [green, orange, green, orange, blue], atol=30)  # smoothed
    other = draw(picture, replace(poses, names=tuple('abcde')))  # no sides: each limb its own
    assert len({tuple(colour) for colour in other[places].tolist()}) == 5


def test_neighbouring_colours_differ():
    table = colours(200).astype(int)
    assert np.abs(np.diff(table, axis=0)).sum(1).min() > 60
    assert len({tuple(row) for row in table.tolist()}) > 190


BOXES = [
    dict(image_id=7, category_id=1, bbox=[10, 20, 30, 40], score=0.9),
    dict(image_id=7, category_id=1, bbox=[1, 2, 3, 4], score=0.1),
    dict(image_id=7, category_id=18, bbox=[5, 5, 5, 5], score=0.9),
]


class Joints:
    """One joint, in the middle of each box."""

    task, classes = 'pose', ('middle',)

    def __call__(self, images, *, order, batch_size, boxes):
        return [self.look(image, own) for image, own in zip(images, boxes, strict=True)]

    def look(self, image, own) -> Poses:
        height, width = image.shape[:2]
        places = np.float32([[0, 0, width, height]]) if own is None else own.boxes
        middle = (places[:, :2] + places[:, 2:])[:, None] / 2
        sure = None if own is None else own.scores
        return Poses(middle, np.full(middle.shape[:2], 0.5), places, self.classes, (), sure)


def test_persons_of_a_coco_file(photos):
    with_red(photos / 'coco/000000000007.png', 0, 0, 2, 2)
    Path('found.json').write_text(json.dumps(BOXES))
    files = ['photos/coco/000000000007.png', 'photos/a.png']
    code = predict(Joints(), files, Path('out'), boxes=WrittenBoxes('found.json', 0.3))
    assert code == SKIPPED  # of a.png nothing is known
    content = json.loads(Path('out/predictions.json').read_text())
    (row,) = content['annotations']
    assert row['image_id'] == 7 and row['bbox'] == [10, 20, 30, 40]
    assert row['keypoints'] == [25, 40, 0.5] and row['score'] == pytest.approx(0.45)
    images = [dict(id=7, file_name='a.png'), dict(id=8, file_name='b.png')]
    Path('set.json').write_text(json.dumps(dict(images=images, annotations=BOXES)))
    files = ['photos/a.png', 'photos/more/b.png']
    assert predict(Joints(), files, Path('out'), boxes=WrittenBoxes('set.json', 0.3)) == 0
    assert predict(Joints(), files, Path('whole'), boxes=whole_pictures) == 0
    content = json.loads(Path('whole/predictions.json').read_text())
    assert content['annotations'][0]['keypoints'] == [40, 30, 0.5]
    assert content['categories'][0]['keypoints'] == ['middle']
    # a data set that numbers persons otherwise, of the frames of a video
    images = [dict(id=k + 1, file_name='clip.avi', frame=k) for k in range(2)]
    rows = [dict(image_id=2, category_id=4, bbox=[10, 10, 20, 20]), BOXES[0] | dict(image_id=1)]
    told = [dict(id=1, name='dog'), dict(id=4, name='person')]
    Path('set.json').write_text(json.dumps(dict(images=images, annotations=rows, categories=told)))
    written, source = WrittenBoxes('set.json', 0.3), find(['clip.avi'])[0]
    first, second, third = written([Frame(source, None, k, 25) for k in range(3)])
    assert len(first) == 0 and second.boxes.tolist() == [[10, 10, 30, 30]]
    assert third == 'clip.avi: no boxes for it in set.json'
    for text in ('{', '{}', '[{"bbox": 3}]', '[[1]]'):
        Path('bad.json').write_text(text)
        with pytest.raises(UserError, match=r'bad.json: expected boxes in the format of COCO'):
            WrittenBoxes('bad.json', 0.3)


@pytest.fixture
def random_model(tmp_path):
    """Writes a config for small pictures and random weights; returns the two as arguments."""

    def make(base: str) -> list[str]:
        name = Path(base).stem
        config, weights = tmp_path / f'{name}.py', tmp_path / f'{name}.pth'
        small(base).dump(config)
        torch.manual_seed(0)
        model = load_model(config, 'random', device='cpu')
        torch.save({'state_dict': model.model.state_dict()}, weights)
        return [str(config), '--weights', str(weights), '--device', 'cpu']

    return make


def test_label_maps_by_command(photos, random_model):
    config, *rest = random_model('configs/seg/sem_fpn_moganet_xt.py')
    assert main(['predict', config, 'photos/a.png', *rest, '--out', 'out', '--deploy']) == 0
    labels = cv2.imread('out/labels/a.png', cv2.IMREAD_UNCHANGED)
    wanted = load_model(config, rest[1], device='cpu')('photos/a.png')
    assert labels.shape == (60, 80) and (labels == wanted.labels).mean() > 0.99
    table = json.loads(Path('out/classes.json').read_text())
    assert table[0] == dict(id=0, name='wall', colour=[120, 120, 120])  # ADE20K's own
    shown = cv2.imread('out/palette/a.png')[..., ::-1]
    np.testing.assert_array_equal(shown, np.array([row['colour'] for row in table])[labels])


def test_json_alone_is_on_standard_output(photos, random_model, capfd):
    config, *rest = random_model('configs/pose/topdown_moganet_xt_256x192.py')
    command = ['predict', config, 'photos/a.png', 'photos/broken.jpg', *rest, '--json']
    assert main([*command, '--boxes', 'whole', '--batch-size', '2']) == SKIPPED
    told = capfd.readouterr()
    (line,) = told.out.splitlines()
    assert len(json.loads(line)['found'][0]['keypoints']) == 51
    assert 'skipped: photos/broken.jpg' in told.err and not Path('predictions').exists()
    assert main(command) == 2  # pose without boxes
    assert 'a model of pose needs --boxes' in capfd.readouterr().err


def test_persons_that_a_detector_finds(photos, random_model, capfd):
    detector, _, weights, *_ = random_model('configs/det/retinanet_moganet_xt.py')
    config, *rest = random_model('configs/pose/topdown_moganet_xt_256x192.py')
    boxes = ['--boxes', detector, '--boxes-weights', weights, '--boxes-thr', '0']
    assert main(['predict', config, 'photos/a.png', *rest, *boxes]) == 0
    content = json.loads(Path('predictions/predictions.json').read_text())
    model = load_model(detector, weights, device='cpu')
    wanted = model('photos/a.png').where(name='person')
    assert len(content['annotations']) == len(wanted)
    boxes[1:4:2] = [config, rest[1]]
    assert main(['predict', config, 'photos/a.png', *rest, *boxes]) == 1
    assert '--boxes: expected a detector, found a model of pose' in capfd.readouterr().err


@pytest.mark.parametrize(
    'args, code, said',
    [
        (['retinanet_moganet_sx', 'a.png'], 1, 'no such model: retinanet_moganet_sx'),
        (['faster_rcnn_moganet_s', 'a.png'], 1, 'no weights are published'),
        (['retinanet_moganet_s'], 2, 'INPUT'),
        (['retinanet_moganet_s', 'a.png', '--score-thr', '7'], 2, 'not in the range'),
        (['retinanet_moganet_s', 'a.png', '--weights', 'random', '--device', 'x'], 1, 'device x'),
    ],
)
def test_a_mistake_is_one_line(args, code, said, capfd):
    assert main(['predict', *args]) == code
    assert said in capfd.readouterr().err


def test_the_core_needs_no_torch(photos):
    """apis/predict.py and what it stands on: for a runtime without the training stack."""
    code = (
        'import sys\n'
        'class Block:\n'
        '    def find_spec(self, name, path=None, target=None):\n'
        '        if name.split(".")[0] in ("torch", "mmengine", "mmcv", "mmdet", "pycocotools"):\n'
        '            raise ImportError(name)\n'
        'sys.meta_path.insert(0, Block())\n'
        'import moganet_dense.apis.predict, moganet_dense.data.images\n'
    )
    subprocess.run([sys.executable, '-c', code], cwd=ROOT, check=True)
