"""predict: what comes out as files, compared with pycocotools, OpenCV and images drawn here."""

import io
import json
import os
import signal
import subprocess
import sys
import threading
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
from moganet_dense.cli import main
from moganet_dense.data.sources import Frame, find
from moganet_dense.inference.person_boxes import DetectedBoxes, WholeImage, WrittenBoxes
from moganet_dense.inference.predict import SKIPPED, predict
from moganet_dense.results import Classification, Detections, Poses, Segmentation
from moganet_dense.results.coco_classes import CLASSES
from moganet_dense.results.polygons import run_lengths
from moganet_dense.utils.errors import INTERRUPTED, UserError
from moganet_dense.visualization.drawing import colours, draw

HERE = Path(__file__).parent
RED = (0, 0, 255)  # BGR


class RedBoxes:
    """Finds the red pixels of an image: one 'cat' around them, with its mask."""

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
    """A folder with two images, a broken one, a text and a hidden file."""
    monkeypatch.chdir(tmp_path)
    with_red(tmp_path / 'photos/a.png', 10, 20, 30, 15)
    with_red(tmp_path / 'photos/more/b.png', 0, 0, 8, 40)
    (tmp_path / 'photos/broken.jpg').write_bytes(b'\xff\xd8 no image')
    (tmp_path / 'photos/notes.txt').write_text('x')
    (tmp_path / 'photos/.hidden.png').write_bytes(b'')
    return Path('photos')


def test_boxes_masks_and_drawings_of_a_folder(photos, capsys):
    code = predict(RedBoxes(), [str(photos), 'absent.png'], Path('photos/out'))
    assert code == SKIPPED == 3
    said = capsys.readouterr().err
    assert 'skipped: photos/broken.jpg' in said and 'expected an image at absent.png' in said
    assert 'processed 2 images, skipped 2 files' in said
    coco = COCO('photos/out/predictions.json')  # pycocotools can read it
    (cat,) = coco.getCatIds(['cat'])
    assert cat == 17 and len(coco.getCatIds()) == 80  # COCO's own number
    found = {coco.imgs[a['image_id']]['file_name']: a for a in coco.anns.values()}
    assert found['a.png']['bbox'] == [10, 20, 30, 15]
    assert found['more/b.png']['bbox'] == [0, 0, 8, 40]
    assert coco.annToMask(found['a.png']).sum() == 450 == found['a.png']['area']
    drawn = cv2.imread('photos/out/drawn/a.jpg')
    assert drawn.shape == (60, 80, 3)
    assert cv2.imread('photos/out/drawn/more/b.jpg') is not None
    # a second look does not look at its own results, and leaves nothing half-written
    assert predict(RedBoxes(), [str(photos)], Path('photos/out')) == SKIPPED
    assert 'processed 2 images' in capsys.readouterr().err
    assert not list(Path().rglob('*.part*'))


def test_an_image_that_the_model_does_not_take_is_skipped(photos, capsys):
    class Choosy(RedBoxes):
        def look(self, image: np.ndarray) -> Detections:
            if min(image.shape[:2]) < 10:
                raise UserError('too thin')
            return super().look(image)

    with_red(photos / 'b.png', 0, 0, 20, 2, size=(80, 5))
    files = [f'photos/{name}.png' for name in ('a', 'b', 'more/b')]
    assert predict(Choosy(), files, Path('out'), batch_size=3) == SKIPPED
    assert 'skipped: photos/b.png: too thin' in capsys.readouterr().err
    content = json.loads(Path('out/predictions.json').read_text())
    assert [image['file_name'] for image in content['images']] == [files[0], files[2]]
    assert [row['bbox'] for row in content['annotations']] == [[10, 20, 30, 15], [0, 0, 8, 40]]


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


WAITING = """
import signal, sys
from pathlib import Path
signal.signal(signal.SIGINT, signal.default_int_handler)  # a parent in the background ignores it
from test_predict import RedBoxes, predict
class Waiting(RedBoxes):
    def __call__(self, images, **options):
        if len(self.calls) == 3:
            sys.stdin.read()  # until the test has sent its signal
        return super().__call__(images, **options)
sys.exit(predict(Waiting(), sys.argv[1:], Path('out'), sys.stdout))
"""


def clip(path: str, frames: int = 5, size: tuple[int, int] = (80, 60)) -> str:
    """A video of noise with a red corner."""
    writer = cv2.VideoWriter(path, cv2.VideoWriter_fourcc(*'MJPG'), 10, size)
    noise = np.random.default_rng(0).integers(0, 255, (frames, *size[::-1], 3), np.uint8)
    noise[:, :20, :20] = RED
    for frame in noise:
        writer.write(frame)
    writer.release()
    return path


def frames_of(path: str) -> int:
    video = cv2.VideoCapture(path)
    return sum(iter(lambda: video.read()[0], False))


@pytest.mark.slow
@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_process_has_written_what_it_saw(number, photos):
    files = ['photos/a.png', clip('clip.avi', 9)]
    process = subprocess.Popen(
        [sys.executable, '-c', WAITING, *files], text=True, stdin=subprocess.PIPE,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env=dict(os.environ, PYTHONPATH=os.pathsep.join(map(str, [ROOT, ROOT / 'tests', HERE]))),
    )  # fmt: skip
    lines = [process.stdout.readline() for _ in range(3)]
    process.send_signal(number)
    rest, said = process.communicate(timeout=600)
    lines += rest.splitlines()
    assert process.returncode == INTERRUPTED == 130
    assert 3 <= len(lines) <= 4 and 'Traceback' not in said  # the image that it was at
    line = f'interrupted: processed {len(lines)} images; results in out'
    assert [row for row in said.splitlines() if row.startswith('interrupted')] == [line]
    content = json.loads(Path('out/predictions.json').read_text())
    rows = [json.loads(row) for row in lines]
    assert [row['file_name'] for row in rows] == ['photos/a.png'] + ['clip.avi'] * (len(rows) - 1)
    for image, row in zip(content['images'], rows, strict=True):
        assert {k: image[k] for k in ('height', 'width')} == {
            k: row[k] for k in ('height', 'width')
        }
        if 'frame' in row:
            assert image['frame'] == row['frame'] and image['video'] == 'clip.avi'
            assert image['file_name'] == f'clip.frames/{row["frame"]:06d}.jpg'
    assert frames_of('out/drawn/clip.mp4') == len(lines) - 1
    assert not list(Path().rglob('*.part*'))


class Impatient(RedBoxes):
    """Meets so many signals while it looks at the second image."""

    def __init__(self, signals: int) -> None:
        super().__init__()
        self.signals, self.finished = signals, 0

    def __call__(self, images, **options):
        if len(self.calls) == 1:
            for _ in range(self.signals):
                os.kill(os.getpid(), signal.SIGINT)
        self.finished += 1
        return super().__call__(images, **options)


@pytest.mark.parametrize('signals, seen', [(1, 2), (2, 1)])
def test_a_second_signal_does_not_wait_for_the_image(signals, seen, photos, capsys):
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        model = Impatient(signals)
        assert predict(model, [clip('clip.avi')], Path('out')) == INTERRUPTED
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)
    assert model.finished == seen
    said = f'interrupted: processed {seen} image' + 's' * (seen > 1) + '; results in out'
    assert said in capsys.readouterr().err
    assert len(json.loads(Path('out/predictions.json').read_text())['images']) == seen


def test_what_the_parent_ignores_stays_ignored_and_threads_may_predict(photos):
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # as under nohup
    try:
        assert predict(Impatient(2), [clip('clip.avi')], Path('out')) == 0
    finally:
        signal.signal(signal.SIGINT, before)
    codes = []
    thread = threading.Thread(
        target=lambda: codes.append(predict(RedBoxes(), ['photos/a.png'], Path('out2')))
    )
    thread.start()
    thread.join()
    assert codes == [0]


class Failing(RedBoxes):
    def __call__(self, images, **options):
        if len(self.calls) == 2:
            raise RuntimeError('out of\n memory')
        return super().__call__(images, **options)


def test_after_an_error_what_was_seen_is_written(photos, capsys):
    files = [str(with_red(photos / f'{k}.png', 0, 0, 9, 9)) for k in range(4)]
    with pytest.raises(UserError) as caught:
        predict(Failing(), files, Path('out'))
    assert str(caught.value).startswith(
        'photos/2.png: the model fails on this image (RuntimeError: out of'
    )
    assert '\n' not in str(caught.value)
    assert 'processed 2 images; results in out' in capsys.readouterr().err
    assert len(json.loads(Path('out/predictions.json').read_text())['images']) == 2
    with pytest.raises(UserError, match=r'photos/2.png: .* or on one of the 1 after it'):
        model = Failing()
        model.calls = [0, 0]
        predict(model, files[2:], Path('out'), batch_size=2)


def test_a_full_disk_leaves_what_was_written(photos, full_disk, capfd):
    noise = np.random.default_rng(0).integers(0, 255, (240, 320, 3), np.uint8)
    cv2.imwrite('noise.png', noise)
    video = clip('noise.avi', 30, (320, 240))
    full_disk(20_000)
    with pytest.raises(UserError, match=r'out/drawn/noise.jpg cannot be written \(File too large'):
        predict(RedBoxes(), ['photos/a.png', 'noise.png'], Path('out'))
    assert len(json.loads(Path('out/predictions.json').read_text())['images']) == 1
    assert 'processed 1 image; results in out' in capfd.readouterr().err
    with pytest.raises(UserError, match=r'noise.mp4 cannot be written: expected 30 frames'):
        predict(RedBoxes(), [video], Path('out2'))  # OpenCV does not raise
    assert len(json.loads(Path('out2/predictions.json').read_text())['images']) == 30
    assert not list(Path().rglob('*.part*'))


def test_the_folder_is_tried_before_anything_is_computed(photos, capsys):
    model = RedBoxes()
    Path('file').touch()
    for out in ('file', 'file/below'):
        with pytest.raises(UserError, match=f'expected a folder to write to at {out} '):
            predict(model, ['photos/a.png'], Path(out))
    assert model.calls == [] and capsys.readouterr().err == ''


def test_without_rich_there_is_no_bar(photos, monkeypatch, capfd):
    for name in ('rich', 'rich.progress', 'rich.console'):
        monkeypatch.setitem(sys.modules, name, None)
    assert predict(RedBoxes(), [str(photos)], Path('out')) == SKIPPED
    skipped, *_, summary = capfd.readouterr().err.splitlines()  # between them the counts
    assert skipped.startswith('skipped: photos/broken.jpg')
    assert summary.startswith('processed 2 images, skipped 1 file; results in out; ')
    assert summary.endswith(' images per second')


def test_odd_files(photos, capfd):
    """Of 16 bits, grey, with alpha, a pixel, more than a JPEG takes; videos of odd frames."""
    noise = np.random.default_rng(0).integers(0, 255, (60, 80, 4), np.uint8)
    odd = dict(
        deep=noise[..., :3].astype(np.uint16) * 257, grey=noise[..., 0], alpha=noise,
        pixel=noise[:1, :1], wide=np.zeros((3, 70000, 3), np.uint8),
    )  # fmt: skip
    for name, pixels in odd.items():
        cv2.imwrite(f'{name}.png', pixels)
    model, seen = RedBoxes(), []
    model.look = lambda image: seen.append(image) or RedBoxes.look(model, image)
    Path('empty.mp4').touch()
    latin = os.fsdecode(b'caf\xe9')  # a name that is not UTF-8, which crashes OpenCV's videos
    Path(f'{latin}.avi').write_bytes(Path(clip('clip.avi', 3, (81, 61))).read_bytes())
    Path(f'{latin}.png').write_bytes(Path('grey.png').read_bytes())
    files = [*(f'{name}.png' for name in odd), f'{latin}.png', 'clip.avi', 'empty.mp4']
    assert predict(model, [*files, f'{latin}.avi'], Path('out')) == SKIPPED
    said = capfd.readouterr().err
    assert 'processed 9 images, skipped 2 files' in said
    assert 'skipped: empty.mp4: expected a video that OpenCV reads' in said
    deep, grey, alpha = seen[:3]
    assert (deep == noise[..., :3]).all() and (alpha == noise[..., :3]).all()
    assert (grey == noise[..., :1]).all()
    assert cv2.imread('out/drawn/wide.jpg').shape[1] == 65500
    assert frames_of('out/drawn/clip.mp4') == 3
    assert Path(f'out/drawn/{latin}.jpg').is_file()


def test_a_list_on_standard_input_and_lines_of_json(photos, monkeypatch):
    monkeypatch.setattr('sys.stdin', io.StringIO('photos/a.png\n\nphotos/more/b.png\n'))
    lines = io.StringIO()
    assert predict(RedBoxes(), ['-'], None, lines) == 0
    found = [json.loads(line) for line in lines.getvalue().splitlines()]
    assert [line['file_name'] for line in found] == ['photos/a.png', 'photos/more/b.png']
    assert found[0]['height'] == 60 and found[0]['found'][0]['bbox'] == [10, 20, 30, 15]
    with pytest.raises(UserError, match='no images or videos'):
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
@settings(max_examples=60)
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


def test_drawing_marks_the_place_and_leaves_the_image():
    image = np.full((100, 120, 3), 50, np.uint8)
    before = image.copy()
    found = Detections(
        np.float32([[30, 40, 90, 80], [0, 0, 20, 20]]), np.float32([0.9, 0.1]),
        np.array([3, 0]), CLASSES,
    )  # fmt: skip
    drawn = draw(image, found, 0.3)
    colour = colours(80)[3][::-1]
    assert (drawn[60, 30] == colour).all() and (drawn[80, 60] == colour).all()
    assert (drawn[60, 60] == 50).all() and (drawn[10, 20] == 50).all()  # inside; below the score
    assert (image == before).all()
    assert (draw(image, found, 0.05)[10, 20] != 50).any()

    poses = Poses(
        np.float32([[[20, 50], [100, 50], [60, 90]]]), np.float32([[1, 1, 0.1]]),
        np.float32([[0, 0, 120, 100]]), ('a', 'b', 'c'), ((0, 1), (0, 2)),
    )  # fmt: skip
    drawn = draw(image, poses)
    assert (drawn[50, 60] != 50).any() and (drawn[50, 20] == 255).all()
    assert (drawn[90, 60] == 50).all() and (drawn[70, 40] == 50).all()

    labels = np.zeros((100, 120), np.int64)
    labels[:, 60:] = 1
    palette = np.uint8([[10, 20, 30], [200, 100, 0]])
    drawn = draw(image, Segmentation(labels, ('x', 'y'), palette))
    np.testing.assert_allclose(drawn[90, 20], [40, 35, 30], atol=1)  # halves of 50 and BGR
    np.testing.assert_allclose(drawn[90, 100], [25, 75, 125], atol=1)

    cls = Classification(np.float32([0.2, 0.8]), 1, 'y', ('x', 'y'))
    assert (draw(image, cls) != 50).any()
    assert cls.rows() == [dict(label=1, name='y', score=0.8), dict(label=0, name='x', score=0.2)]


def test_labels_give_way_to_each_other():
    """Two objects in one place: both are named, neither name hides the other."""
    image = np.full((200, 300, 3), 50, np.uint8)
    boxes, scores = np.float32([[60, 80, 200, 160]] * 2), np.float32([0.9, 0.8])
    found = Detections(boxes, scores, np.array([3, 0]), CLASSES)
    drawn = draw(image, found)
    first, second = colours(80)[[3, 0]][:, ::-1]
    above, inside = drawn[67:79, 61:150], drawn[82:93, 62:127]
    assert (above == first).all(2).mean() > 0.3 and not (above == second).all(2).any()
    assert (inside == second).all(2).mean() > 0.3
    alone = draw(image, found.where(0.85))
    assert (drawn[:79] == alone[:79]).all() and (alone[82:93, 62:127] == 50).all()


def test_masks_of_one_class_have_an_edge_between_them():
    image = np.full((100, 120, 3), 50, np.uint8)
    masks = np.zeros((2, 100, 120), bool)
    masks[0, 40:80, 20:60] = masks[1, 40:80, 60:100] = True
    boxes = np.float32([[20, 40, 60, 80], [60, 40, 100, 80]])
    drawn = draw(image, Detections(boxes + [0, -30, 0, 10], np.float32([0.9, 0.8]),
                                     np.array([0, 0]), CLASSES, masks))  # fmt: skip
    colour = colours(80)[0][::-1]
    assert np.abs(drawn[50:70, 59:61] - colour.astype(int)).max() < 30  # smoothed
    np.testing.assert_allclose(drawn[60, 40], (colour.astype(int) + 50) / 2, atol=1)


def test_left_and_right_of_a_person_have_their_colours():
    """As mmpose draws COCO's people: left green, right orange, what joins them blue."""
    image = np.zeros((400, 400, 3), np.uint8)
    points = np.float32([[[200, 40], [300, 40], [100, 40], [300, 340], [100, 340]]])
    names = ('nose', 'left_eye', 'right_eye', 'left_hip', 'right_hip')
    links = ((0, 1), (0, 2), (1, 3), (2, 4), (3, 4))
    box, places = (
        np.float32([[0, 0, 400, 400]]),
        ([40, 40, 200, 200, 340], [250, 150, 300, 100, 200]),
    )
    poses = Poses(points, np.ones((1, 5), np.float32), box, names, links)
    green, orange, blue = (0, 255, 0), (255, 128, 0), (51, 153, 255)
    seen = draw(image, poses)[places][:, ::-1]
    np.testing.assert_allclose(seen, [green, orange, green, orange, blue], atol=30)  # smoothed
    other = draw(image, replace(poses, names=tuple('abcde')))  # no sides: each limb its own
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


class Keypoints:
    """One keypoint, in the middle of each box."""

    task, classes = 'pose', ('middle',)

    def __call__(self, images, *, order, batch_size, boxes):
        return [self.look(image, own) for image, own in zip(images, boxes, strict=True)]

    def look(self, image, own) -> Poses:
        height, width = image.shape[:2]
        places = np.float32([[0, 0, width, height]]) if own is None else own.boxes
        middle = (places[:, :2] + places[:, 2:])[:, None] / 2
        sure = None if own is None else own.scores
        return Poses(middle, np.full(middle.shape[:2], 0.5), places, self.classes, (), sure)


def test_people_of_a_coco_file(photos):
    with_red(photos / 'coco/000000000007.png', 0, 0, 2, 2)
    Path('found.json').write_text(json.dumps(BOXES))
    files = ['photos/coco/000000000007.png', 'photos/a.png']
    code = predict(Keypoints(), files, Path('out'), boxes=WrittenBoxes('found.json', 0.3))
    assert code == SKIPPED  # of a.png nothing is known
    content = json.loads(Path('out/predictions.json').read_text())
    (row,) = content['annotations']
    assert row['image_id'] == 7 and row['bbox'] == [10, 20, 30, 40]
    assert row['keypoints'] == [25, 40, 0.5] and row['score'] == pytest.approx(0.45)
    images = [dict(id=7, file_name='a.png'), dict(id=8, file_name='b.png')]
    Path('set.json').write_text(json.dumps(dict(images=images, annotations=BOXES)))
    files = ['photos/a.png', 'photos/more/b.png']
    assert predict(Keypoints(), files, Path('out'), boxes=WrittenBoxes('set.json', 0.3)) == 0
    assert predict(Keypoints(), files, Path('whole'), boxes=WholeImage()) == 0
    content = json.loads(Path('whole/predictions.json').read_text())
    assert content['annotations'][0]['keypoints'] == [40, 30, 0.5]
    assert content['categories'][0]['keypoints'] == ['middle']
    # a data set that numbers people otherwise, of the frames of a video
    images = [dict(id=k + 1, file_name='clip.avi', frame=k) for k in range(2)]
    rows = [dict(image_id=2, category_id=4, bbox=[10, 10, 20, 20]), BOXES[0] | dict(image_id=1)]
    categories = [dict(id=1, name='dog'), dict(id=4, name='person')]
    Path('set.json').write_text(
        json.dumps(dict(images=images, annotations=rows, categories=categories))
    )
    written, source = WrittenBoxes('set.json', 0.3), find(['clip.avi'])[0]
    first, second, third = written([Frame(source, None, k, 25) for k in range(3)])
    assert len(first) == 0 and second.boxes.tolist() == [[10, 10, 30, 30]]
    assert third == 'clip.avi: no boxes for it in set.json'
    big = json.dumps([dict(BOXES[0], bbox=[10**400, 1, 2, 3])])
    for text in ('{', '{}', '[{"bbox": 3}]', '[[1]]', '[' * 10**5, big):
        Path('bad.json').write_text(text)
        with pytest.raises(UserError, match=r'bad.json: expected boxes in the format of COCO'):
            WrittenBoxes('bad.json', 0.3)


def test_images_of_one_name_have_boxes_of_their_own(photos):
    """What predict writes of two folders is distinguished by their paths."""
    files = [f'photos/{folder}/x.png' for folder in 'ab']
    for file in files:
        with_red(Path(file), 0, 0, 2, 2)
    images = [dict(id=k, file_name=file) for k, file in enumerate(files, 1)]
    listed = [BOXES[0] | dict(image_id=k, bbox=[k, 0, 10, 10]) for k in (1, 2)]
    Path('set.json').write_text(json.dumps(dict(images=images, annotations=listed)))
    written = WrittenBoxes('set.json', 0.3)
    frames = [Frame(source, None) for source in find(files)]
    assert [found.boxes[0, 0] for found in written(frames)] == [1, 2]
    with_red(Path('elsewhere/x.png'), 0, 0, 2, 2)
    (fault,) = written([Frame(find(['elsewhere/x.png'])[0], None)])
    assert fault == 'elsewhere/x.png: set.json has several of this name; pass paths as in the file'


class Finder:
    """A detector of people: one in the middle, one without an area, none in a thin image."""

    task, classes = 'detection', CLASSES

    def __call__(self, images, *, order, batch_size):
        if min(min(image.shape[:2]) for image in images) < 10:
            raise UserError('too thin')
        boxes = np.float32([[10, 10, 30, 40], [5, 5, 5, 9]])
        return [Detections(boxes, np.float32([0.9, 0.8]), np.array([0, 0]), CLASSES)] * len(images)


def test_images_that_a_detector_does_not_take_are_skipped(photos, capsys):
    with_red(photos / 'thin.png', 0, 0, 20, 2, size=(80, 5))
    files = [f'photos/{name}.png' for name in ('a', 'thin', 'more/b')]
    boxes = DetectedBoxes(Finder(), 0.3, 2)
    assert predict(Keypoints(), files, Path('out'), batch_size=3, boxes=boxes) == SKIPPED
    assert 'skipped: photos/thin.png: too thin' in capsys.readouterr().err
    content = json.loads(Path('out/predictions.json').read_text())
    assert [row['bbox'] for row in content['annotations']] == [[10, 10, 20, 30]] * 2


def test_frames_that_are_skipped_leave_videos_apart(photos, capsys):
    for name in ('one', 'two'):
        writer = cv2.VideoWriter(f'{name}.avi', cv2.VideoWriter_fourcc(*'MJPG'), 10, (80, 60))
        for _ in range(5):
            writer.write(np.full((60, 80, 3), 90, np.uint8))
        writer.release()
    images = [dict(id=k, file_name=f'{name}.avi', frame=k % 5) for k, name in
              [*((k, 'one') for k in range(5)), *((k, 'two') for k in range(6, 10))]]  # fmt: skip
    Path('set.json').write_text(json.dumps(dict(images=images, annotations=[])))
    boxes = WrittenBoxes('set.json', 0.3)
    assert predict(Keypoints(), ['one.avi', 'two.avi'], Path('out'), boxes=boxes) == SKIPPED
    assert 'two.avi: no boxes for it in set.json' in capsys.readouterr().err
    for name, count in [('one', 5), ('two', 4)]:
        drawn = cv2.VideoCapture(f'out/drawn/{name}.mp4')
        assert sum(iter(lambda video=drawn: video.read()[0], False)) == count


def test_boxes_that_are_none_are_reported_by_image(photos):
    for x in (float('nan'), 1e39):
        listed = [BOXES[0] | dict(bbox=[x, 1, 40, 80])]
        Path('found.json').write_text(json.dumps(listed))
        with pytest.raises(UserError, match=r'found\.json: .* of image 7 is not finite'):
            WrittenBoxes('found.json', 0.3)
    flat = [BOXES[0] | dict(bbox=[5, 1, 0, 80]), BOXES[1]]  # no area; below the score
    Path('found.json').write_text(json.dumps(flat))
    (found,) = WrittenBoxes('found.json', 0.3)([Frame(find(['7.png'])[0], None)])
    assert len(found) == 0
    sets = dict(
        images=[], annotations=[], categories=[dict(id=1, name='dog'), dict(id=2, name='cat')]
    )
    Path('dogs.json').write_text(json.dumps(sets))
    with pytest.raises(UserError, match="does not have the class 'person'"):
        WrittenBoxes('dogs.json', 0.3)


def test_answers_that_are_not_finite_are_no_answers(photos, capsys):
    class Lost(Keypoints):
        def look(self, image, own) -> Poses:
            found = super().look(image, own)
            found.scores[:] = np.nan
            return found

    lines = io.StringIO()
    code = predict(Lost(), ['photos/a.png'], None, lines, boxes=WholeImage())
    assert code == SKIPPED and not lines.getvalue()
    assert 'a.png: the model returned values that are not finite' in capsys.readouterr().err


def test_results_are_not_looked_at_again(photos):
    """Wherever they are: among the images, or matched by the same glob."""
    with_red(photos / 'labels/c.png', 0, 0, 2, 2)  # a folder of the user's, not of results
    pattern = ['photos/**/*.png']
    before = [source.file for source in find(pattern)]
    for out in ('.', 'photos', 'photos/out'):
        assert predict(RedBoxes(), ['photos'], Path(out)) == SKIPPED
    drawn = {Path(out).resolve() for out in ('drawn', 'photos/drawn', 'photos/out/drawn')}
    assert all(folder.is_dir() for folder in drawn)
    for source in find(['photos', '**/*.jpg'], results=Path('photos/out')):
        assert Path('photos/out').resolve() not in Path(source.file).resolve().parents
    assert [source.file for source in find(pattern, results=Path('photos/out'))] == before
    same = find(['photos/a.png', 'photos/../photos/a.png', str(Path('photos/a.png').resolve())])
    assert [source.file for source in same] == ['photos/a.png']


def test_nothing_to_look_at_tells_what_is_there(photos):
    Path('phone').mkdir()
    Path('phone/IMG_1.HEIC').write_bytes(b'x')
    with pytest.raises(UserError, match=r'no images or videos in phone; suffixes found: \.HEIC'):
        predict(RedBoxes(), ['phone'], None)
    for text, expected in [('', 'found an empty text'), ('a.png\0b.png', 'found a NUL character')]:
        with pytest.raises(UserError, match=expected):
            predict(RedBoxes(), [text], None)


def test_a_truncated_video_is_reported(photos, capsys):
    writer = cv2.VideoWriter('clip.avi', cv2.VideoWriter_fourcc(*'MJPG'), 10, (80, 60))
    for _ in range(20):
        writer.write(np.random.RandomState(0).randint(0, 256, (60, 80, 3), np.uint8))
    writer.release()
    content = Path('clip.avi').read_bytes()
    Path('clip.avi').write_bytes(content[: len(content) // 2])
    assert predict(RedBoxes(), ['clip.avi'], Path('out')) == SKIPPED
    said = capsys.readouterr().err
    assert 'clip.avi: the video is truncated after ' in said and ' of 20 frames' in said
    assert json.loads(Path('out/predictions.json').read_text())['images']  # what there is


@pytest.fixture
def random_model(tmp_path):
    """Writes a config for small images and random weights; returns the two as arguments."""

    def make(base: str) -> list[str]:
        name = Path(base).stem
        config, weights = tmp_path / f'{name}.py', tmp_path / f'{name}.pth'
        small(base).dump(config)
        torch.manual_seed(0)
        model = load_model(config, 'random', device='cpu')
        torch.save({'state_dict': model.model.state_dict()}, weights)
        return [str(config), '--weights', str(weights), '--device', 'cpu']

    return make


@pytest.mark.slow
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


@pytest.mark.slow
def test_a_checkpoint_after_the_config_and_a_work_dir_in_place_of_both(photos, random_model, capfd):
    config, _, weights, *rest = random_model('configs/det/retinanet_moganet_xt.py')
    work_dir = Path('work')
    work_dir.mkdir()
    Path(config).rename(work_dir / 'saved.py')
    Path(weights).rename(work_dir / 'best_coco_bbox_mAP_epoch_1.pth')
    saved = [str(work_dir / 'saved.py'), str(work_dir / 'best_coco_bbox_mAP_epoch_1.pth')]
    found = []
    for model in (saved, [saved[0], '--weights', saved[1]], ['work']):
        command = ['predict', *model, 'photos/a.png', *rest, '--json', '--conf', '0']
        assert main(command) == 0
        found.append(capfd.readouterr().out.splitlines()[-1])
    assert len(json.loads(found[0])['found']) == 100
    assert found[0] == found[1] == found[2]
    assert main(['predict', *saved, *rest]) == 2
    assert 'expected INPUT' in capfd.readouterr().err


def test_json_alone_is_on_standard_output(photos, random_model, capfd):
    config, *rest = random_model('configs/pose/topdown_moganet_xt_256x192.py')
    command = ['predict', config, 'photos/a.png', 'photos/broken.jpg', *rest, '--json']
    assert main([*command, '--boxes', 'whole', '--batch-size', '2']) == SKIPPED
    captured = capfd.readouterr()
    (line,) = captured.out.splitlines()
    assert len(json.loads(line)['found'][0]['keypoints']) == 51
    assert 'skipped: photos/broken.jpg' in captured.err and not Path('predictions').exists()
    assert main(command) == 2  # pose without boxes
    assert 'a model of pose needs --boxes' in capfd.readouterr().err


@pytest.mark.slow
def test_people_that_a_detector_finds(photos, random_model, capfd):
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
        (['retinanet_moganet_s', 'a.png', '--score-thr', 'nan'], 2, 'not in the range'),
        (['retinanet_moganet_s', 'a.png', '--weights', 'random', '--device', 'x'], 1, 'device x'),
        (['retinanet_moganet_s', 'a.png', '--threads', '2'], 2, 'for PyTorch: OMP_NUM_THREADS=N'),
        (['docs/benchmarks', 'a.png'], 1, 'a work dir with the config of a training'),
        (['a', 'a.png', '--boxes', 'whole', '--boxes-weights', 'x'], 2, 'needs a detector'),
    ],
)
def test_a_mistake_is_one_line(args, code, said, capfd):
    assert main(['predict', *args]) == code
    assert said in capfd.readouterr().err


def test_the_core_needs_no_torch(photos):
    """inference/predict.py and what it stands on: for a runtime without the training stack."""
    code = (
        'import sys\n'
        'class Block:\n'
        '    def find_spec(self, name, path=None, target=None):\n'
        '        if name.split(".")[0] in ("torch", "mmengine", "mmcv", "mmdet", "pycocotools"):\n'
        '            raise ImportError(name)\n'
        'sys.meta_path.insert(0, Block())\n'
        'import moganet_dense.inference.predict, moganet_dense.data.image_array\n'
    )
    subprocess.run([sys.executable, '-c', code], cwd=ROOT, check=True)
