"""The page's server: static files, a list of models, and one image at a time."""

import asyncio
import logging
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from ..inference.look import is_finite
from ..results import Detections
from ..runtime.outputs import NOT_FINITE
from ..utils.errors import UserError, reason_of, shortage
from ..utils.printable import printable
from .decoder import Decoder
from .examples import read_example
from .guard import Guard, error_response
from .model_cache import ModelCache
from .responses import answer
from .uploads import MAX_BYTES

PAGE = Path(__file__).parent / 'page'
WAITING = 16  # images at once, the one that runs among them
ARRIVING = 16  # uploads at once; the slowest is dropped for a new one
SECONDS = 60  # for an image to arrive
GONE = 499  # without a listener: the page has sent another request since
PERSON_SCORE = 0.3  # threshold of person boxes for pose


class Server:
    """The ASGI application of the page.

    Args:
        cache: the available models.
        allowed: accepted host names, besides the address of the server.
        embedders: sites that may show the page in a frame.
    """

    def __init__(
        self, cache: ModelCache, allowed: Iterable[str] = (), embedders: Iterable[str] = ()
    ) -> None:
        self.cache, self.allowed, self.embedders = cache, frozenset(allowed), tuple(embedders)
        self.decode = Decoder()
        self.in_flight = 0
        self.arriving: list[asyncio.Future] = []  # bodies, the oldest first
        self.turn = asyncio.Lock()
        self.worker = ThreadPoolExecutor(max_workers=1)

    def app(self) -> Starlette:
        """The ASGI interface."""
        return Starlette(
            routes=[
                Route('/models', self.models),
                Route('/samples/{model:int}/{number:int}', self.sample),
                Route('/predict', self.predict, methods=['POST']),
                Mount('/', StaticFiles(directory=PAGE, html=True)),
            ],
            middleware=[Middleware(Guard, allowed=self.allowed, embedders=self.embedders)],
        )

    async def models(self, request: Request) -> Response:
        """The available models with the number of examples of each, and the maximum file size."""
        choices = self.cache.choices.values()
        listed = [dict(name=c.name, task=c.task, examples=len(c.examples)) for c in choices]
        return JSONResponse(dict(models=listed, max_bytes=MAX_BYTES))

    async def sample(self, request: Request) -> Response:
        """An example of a model, both by their number."""
        model, number = (request.path_params[name] for name in ('model', 'number'))
        choices = list(self.cache.choices.values())
        if model >= len(choices) or number >= len(choices[model].examples):
            return error_response(404, 'no such example')
        try:
            content, kind = await run_in_threadpool(read_example, choices[model].examples[number])
        except UserError:
            return error_response(404, 'this example is no image any more')
        return Response(content, media_type=kind)

    async def predict(self, request: Request) -> Response:
        """The prediction of ``?model=`` for the image in the body.

        ``&detector=`` names the detector that finds people for a pose estimator; without it the
        image shows one person.
        """
        if request.headers.get('content-type') != 'application/octet-stream':
            return error_response(415, 'expected an image as application/octet-stream')
        try:
            return await self._predict(request)
        except UserError as error:
            return error_response(422, printable(reason_of(error)))
        except Exception as error:
            if reason := shortage(error):
                return error_response(503, f'the server has {reason}')
            logging.getLogger('moganet_dense').exception('the model failed')
            return error_response(
                500, 'the model failed on this image; see the output of the server'
            )

    async def _predict(self, request: Request) -> Response:
        content = None if self._is_full() else await self._upload(request)
        if isinstance(content, Response):
            return content
        if self._is_full():
            return error_response(503, 'too many images are waiting; try again in a moment')
        if content is None:
            return error_response(
                413, f'expected at most {MAX_BYTES >> 20} MB, found a larger file'
            )
        asked = request.query_params
        run = (content, asked.get('model', ''), asked.get('detector'))
        self.in_flight += 1
        try:
            async with self.turn:  # first come, first served
                if await request.is_disconnected():
                    return Response(status_code=GONE)
                loop = asyncio.get_running_loop()
                return JSONResponse(await loop.run_in_executor(self.worker, self._look, *run))
        finally:
            self.in_flight -= 1

    def _is_full(self) -> bool:
        return self.in_flight >= WAITING

    async def _upload(self, request: Request) -> bytes | Response | None:
        """The body; None if it is too large; a response if it does not arrive."""
        if len(self.arriving) >= ARRIVING:
            self.arriving.pop(0).cancel()
        body = asyncio.ensure_future(_body(request))
        self.arriving.append(body)
        try:
            await asyncio.wait([body], timeout=SECONDS)
            return body.result()
        except asyncio.InvalidStateError:
            return error_response(408, f'the image did not arrive within {SECONDS} seconds')
        except ClientDisconnect:
            return Response(status_code=GONE)
        except asyncio.CancelledError:
            if not body.cancelled():  # the server stops
                raise
            return error_response(408, 'the image arrives slowly, and others wait; try again')
        finally:
            body.cancel()
            if body in self.arriving:
                self.arriving.remove(body)

    def _look(self, content: bytes, model: str, detector: str | None) -> dict[str, Any]:
        """Runs in the only worker thread, which also decodes the image."""
        image, stored = self.decode(content)
        predictor = self.cache.get(model)
        options = {}
        if detector and predictor.task == 'pose':
            options['boxes'] = self._people(image, detector)
        start = time.perf_counter()
        result = predictor(image, order='rgb', **options)
        seconds = round(time.perf_counter() - start, 3)
        if not is_finite(result):
            raise UserError(NOT_FINITE)
        about = dict(model=model, task=predictor.task, stored_size=stored, seconds=seconds)
        return dict(about, **answer(result, (image.shape[1], image.shape[0])))

    def _people(self, image: np.ndarray, detector: str) -> Detections:
        finder = self.cache.get(detector)
        if self.cache.choices[detector].task != 'detection' or 'person' not in finder.classes:
            raise UserError(f'{detector} does not find people; choose another detector')
        return finder(image, order='rgb').where(PERSON_SCORE, 'person')


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
