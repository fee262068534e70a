"""The page's server: static files, a list of models, and one picture at a time."""

import asyncio
import ipaddress
import logging
import socket
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from ..results import Detections
from ..utils.errors import UserError, reason_of
from .model_cache import Shelf
from .responses import answer
from .uploads import MAX_BYTES, open_picture

PAGE = Path(__file__).parent / 'page'
WAITING = 16  # requests at once, the one that runs among them
SECONDS = 60  # for a picture to arrive
GONE = 499  # whom nobody hears: the page has asked something else since
PERSON_SCORE = 0.3  # of persons whose joints are looked for

HEADERS = {
    'content-security-policy': "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self' blob:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    'x-content-type-options': 'nosniff',
    'referrer-policy': 'no-referrer',
    'cross-origin-opener-policy': 'same-origin',
    'cross-origin-resource-policy': 'same-origin',
    'cache-control': 'no-store',
}


class Server:
    """What answers the page.

    Args:
        shelf: the models on offer.
        own_names: names by which the page may be asked for, besides localhost and addresses.
    """

    def __init__(self, shelf: Shelf, own_names: Iterable[str] = ()) -> None:
        self.shelf = shelf
        self.own_names = {'localhost', socket.gethostname().lower(), *own_names}
        self.in_flight = 0
        self.turn = asyncio.Lock()
        self.worker = ThreadPoolExecutor(max_workers=1)

    def app(self) -> Starlette:
        """As ASGI has it."""
        return Starlette(
            routes=[
                Route('/models', self.models),
                Route('/predict', self.predict, methods=['POST']),
                Mount('/', StaticFiles(directory=PAGE, html=True)),
            ],
            middleware=[Middleware(Guard, own_names=self.own_names)],
        )

    async def models(self, request: Request) -> Response:
        """The models on offer, and how large a file may be."""
        listed = [dict(name=c.name, task=c.task) for c in self.shelf.choices.values()]
        return JSONResponse(dict(models=listed, max_bytes=MAX_BYTES))

    async def predict(self, request: Request) -> Response:
        """The answer of ``?model=`` about the picture in the body.

        ``&persons=`` names the detector that finds the persons for a pose estimator; without
        it the picture is one person's.
        """
        if request.headers.get('content-type') != 'application/octet-stream':
            return _error(415, 'expected a picture as application/octet-stream')
        if self.in_flight >= WAITING:
            return _error(503, 'too many pictures are waiting; try again in a moment')
        self.in_flight += 1
        try:
            return await self._predict(request)
        except UserError as error:
            return _error(422, reason_of(error))
        except Exception:
            logging.getLogger('moganet_dense').exception('the model failed')
            return _error(500, 'the model failed on this picture; the server has printed why')
        finally:
            self.in_flight -= 1

    async def _predict(self, request: Request) -> Response:
        try:
            content = await asyncio.wait_for(_body(request), SECONDS)
        except asyncio.TimeoutError:
            return _error(408, f'the picture did not arrive within {SECONDS} seconds')
        except ClientDisconnect:
            return Response(status_code=GONE)
        if content is None:
            return _error(413, f'expected at most {MAX_BYTES >> 20} MB, found a larger file')
        asked = request.query_params
        run = (content, asked.get('model', ''), asked.get('persons'))
        async with self.turn:  # the first to come is the first to have it
            if await request.is_disconnected():
                return Response(status_code=GONE)
            loop = asyncio.get_running_loop()
            return JSONResponse(await loop.run_in_executor(self.worker, self._look, *run))

    def _look(self, content: bytes, model: str, persons: str | None) -> dict[str, Any]:
        """Runs in the worker's one thread: a picture is decoded when its turn has come."""
        picture, stored = open_picture(content)
        predictor = self.shelf.get(model)
        options = {}
        if persons and predictor.task == 'pose':
            options['boxes'] = self._persons(picture, persons)
        start = time.perf_counter()
        result = predictor(picture, order='rgb', **options)
        seconds = round(time.perf_counter() - start, 3)
        about = dict(model=model, task=predictor.task, stored_size=stored, seconds=seconds)
        return dict(about, **answer(result, (picture.shape[1], picture.shape[0])))

    def _persons(self, picture: np.ndarray, detector: str) -> Detections:
        finder = self.shelf.get(detector)
        if self.shelf.choices[detector].task != 'detection' or 'person' not in finder.classes:
            raise UserError(f'{detector} does not find persons; choose another detector')
        return finder(picture, order='rgb').where(PERSON_SCORE, 'person')


async def _body(request: Request) -> bytes | None:
    """The body, or None as soon as it is too large."""
    said = request.headers.get('content-length', '')
    if said.isdigit() and int(said) > MAX_BYTES:
        return None
    content = bytearray()
    async for chunk in request.stream():
        content += chunk
        if len(content) > MAX_BYTES:
            return None
    return bytes(content)


def _error(status: int, words: str) -> Response:
    return JSONResponse(dict(error=words), status)


class Guard:
    """Puts HEADERS on every response, and refuses what other sites' pages send here.

    A name that is not this server's in ``Host`` is how a foreign page reaches a server in here
    (DNS rebinding); an ``Origin`` that is not the ``Host`` is how it sends without rebinding.
    """

    def __init__(self, app: Any, own_names: set[str]) -> None:
        self.app, self.own_names = app, own_names

    async def __call__(self, scope: dict, receive: Any, send: Any) -> None:
        if scope['type'] != 'http':
            return await self.app(scope, receive, send)

        async def send_guarded(message: dict) -> None:
            if message['type'] == 'http.response.start':
                ours = [(k.encode(), v.encode()) for k, v in HEADERS.items()]
                message = dict(message, headers=[*message.get('headers', []), *ours])
            await send(message)

        request = Request(scope)
        host, origin = request.headers.get('host', ''), request.headers.get('origin')
        respond = self.app
        if not self._is_own(host):
            respond = _error(421, 'expected the address of this server as Host')
        elif origin is not None and urlsplit(origin).netloc != host:
            respond = _error(403, "another site's page may not ask this server")
        await respond(scope, receive, send_guarded)

    def _is_own(self, host: str) -> bool:
        try:
            name = urlsplit(f'//{host}').hostname or ''
        except ValueError:
            return False
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return name in self.own_names
        return True
