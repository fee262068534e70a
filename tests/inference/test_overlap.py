"""Decoding, the network and writing overlap: each waits here for what only overlapping starts."""

import threading

import cv2
import numpy as np

from moganet_dense.data import sources
from moganet_dense.inference.predict import predict
from moganet_dense.results import Detections
from moganet_dense.writer import Writer

SECONDS = 30
"""That nobody waits where the parts overlap; without, they end one after the other, late."""


class Waiting:
    """A detector that ends with an image when the next one is being decoded."""

    task, classes = 'detection', ('thing',)

    def __init__(self, count: int) -> None:
        self.count, self.overlapped = count, []
        self.decoding = [threading.Event() for _ in range(count)]
        self.started = [threading.Event() for _ in range(count)]

    def __call__(self, images, *, order, batch_size):
        number = int(images[0][0, 0, 0])  # its grey
        self.started[number].set()
        if number + 1 < self.count:
            self.overlapped.append(self.decoding[number + 1].wait(SECONDS))
        empty = np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, np.int64)
        return [Detections(*empty, self.classes)]


def test_the_next_image_is_decoded_and_the_last_one_written_meanwhile(tmp_path, monkeypatch):
    count = 4
    for k in range(count):
        cv2.imwrite(str(tmp_path / f'{k}.png'), np.full((8, 8, 3), k, np.uint8))
    model, written_meanwhile = Waiting(count), []
    decode, add = sources.decode, Writer.add

    def noted_decode(file, *rest):
        model.decoding[int(file[-5])].set()
        return decode(file, *rest)

    def noted_add(writer, frame, result):
        number = int(frame.image[0, 0, 0])
        if number + 1 < count:
            written_meanwhile.append(model.started[number + 1].wait(SECONDS))
        return add(writer, frame, result)

    monkeypatch.setattr(sources, 'decode', noted_decode)
    monkeypatch.setattr(Writer, 'add', noted_add)
    assert predict(model, [str(tmp_path)], tmp_path / 'out') == 0
    assert model.overlapped == [True] * (count - 1)
    assert written_meanwhile == [True] * (count - 1)
    assert sorted(p.stem for p in (tmp_path / 'out/drawn').iterdir()) == ['0', '1', '2', '3']
