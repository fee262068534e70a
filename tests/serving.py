"""The web page's server in a thread, with models whose answers are written down."""

import json
import threading
import time
from collections.abc import Callable
from contextlib import contextmanager, suppress
from http.client import HTTPConnection
from types import SimpleNamespace

import numpy as np
import uvicorn

from moganet_dense.demo.connections import CONNECTIONS, Connection
from moganet_dense.demo.model_cache import Choice, ModelCache
from moganet_dense.demo.server import Server
from moganet_dense.results import Classification, Detections, Poses, Poses3D, Segmentation

NAMES = ('person', '<b>bold</b>')
COLOURS = np.array([[200, 30, 30], [30, 30, 200]], np.uint8)


def detected(image) -> Detections:
    """Two objects, the second of which is a rectangle of pixels."""
    masks = np.zeros((2, *image.shape[:2]), bool)
    masks[0, 10:30, 5:25] = True
    masks[1, 40:60, 50:90] = True
    boxes = np.array([[5, 10, 25, 30], [50, 40, 90, 60]], np.float32)
    return Detections(boxes, np.array([0.9, 0.4], np.float32), np.array([0, 1]), NAMES, masks)


def segmented(image) -> Segmentation:
    """The first class on the left, with certainty; the second on the right, without much."""
    labels = np.zeros(image.shape[:2], np.int64)
    labels[:, image.shape[1] // 2 :] = 1
    scores = np.where(labels == 0, 0.8, 0.2).astype(np.float32)
    return Segmentation(labels, NAMES, COLOURS, scores)


def posed(image, boxes) -> Poses:
    """Two keypoints for each box: its upper left and its lower right corner."""
    corners = boxes.boxes.reshape(-1, 2, 2)
    scores = np.tile(np.array([0.9, 0.5], np.float32), (len(corners), 1))
    return Poses(corners, scores, boxes.boxes, ('head', 'foot'), ((0, 1),), boxes.scores)


def posed_in_space(image) -> Poses3D:
    """A bone of a metre from the upper left corner to the right, straight away from the camera."""
    keypoints = np.array([[[10, 20], [60, 20]]], np.float32)
    box = np.array([[0, 0, 100, 80]], np.float32)
    points = np.array([[[0, 0, 0], [0, 0, 1]]], np.float32)
    return Poses3D(keypoints, np.full((1, 2), 0.9, np.float32), box, ('head', 'foot'), ((0, 1),),
                   category='figure', points=points)  # fmt: skip


def classified(image) -> Classification:
    return Classification(np.array([0.25, 0.75], np.float32), 1, NAMES[1], NAMES)


def broken(image):
    raise RuntimeError('secret of the server')


ANSWERS = {
    'detector': ('detection', detected),
    'segmentor': ('segmentation', segmented),
    'poser': ('pose', posed),
    'poser in space': ('pose3d', posed_in_space),
    'classifier': ('classification', classified),
    'broken': ('detection', broken),
}


class Watched:
    """Loads predictors that note what they were given and how many ran at once.

    Args:
        pause: is called while one runs.
    """

    def __init__(self, pause: Callable[[], object] = bool) -> None:
        self.pause, self.running, self.most = pause, 0, 0
        self.given, self.loaded = [], []

    def load(self, model, weights):
        self.loaded.append(model)
        task, answer = ANSWERS[model]

        def look(image, order, **options):
            self.running += 1
            self.most = max(self.most, self.running)
            self.given.append((image, order))
            self.pause()
            self.running -= 1
            return answer(image, **options)

        predictor = SimpleNamespace(task=task, classes=NAMES)
        return _Callable(predictor, look)


class _Callable:
    def __init__(self, predictor, look) -> None:
        self.task, self.classes, self.look = predictor.task, predictor.classes, look

    def __call__(self, image, *, order, **options):
        return self.look(image, order, **options)


@contextmanager
def served(watched: Watched | None = None, allowed=(), cache: ModelCache | None = None):
    """The port of a server that runs until the block ends, with its models those of ANSWERS."""
    choices = [Choice(name, task, name) for name, (task, _) in ANSWERS.items()]
    found = Server(cache or ModelCache(choices, watched.load), allowed)
    config = uvicorn.Config(
        found.app(), port=0, log_level='critical', log_config=None, http=Connection,
        limit_concurrency=CONNECTIONS,
    )  # fmt: skip
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield server.servers[0].sockets[0].getsockname()[1]
    server.should_exit = True
    thread.join(10)
    found.decode.close()


def ask(port: int, method: str, path: str, body=None, chunked=False, **headers):
    """(status, headers, body) of a request."""
    connection = HTTPConnection('127.0.0.1', port, timeout=60)
    headers = {name.replace('_', '-'): value for name, value in headers.items()}
    try:
        with suppress(BrokenPipeError, ConnectionResetError):  # refused before all was sent
            connection.request(method, path, body, headers, encode_chunked=chunked)
        response = connection.getresponse()
        return response.status, dict(response.getheaders()), response.read()
    finally:
        connection.close()


def predict(port: int, content, model: str = 'detector', query: str = '', **headers):
    """(status, answer) about an image's bytes."""
    headers = {'Content_Type': 'application/octet-stream', **headers}
    chunked = not isinstance(content, bytes)
    if chunked:
        headers['Transfer_Encoding'] = 'chunked'
    path = f'/predict?model={model}{query}'
    status, _, body = ask(port, 'POST', path, content, chunked, **headers)
    return status, json.loads(body)
