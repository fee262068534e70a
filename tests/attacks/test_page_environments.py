"""The web page with little disk, threads, files or output: it serves, or ends with one line."""

import asyncio
import errno
import io
import os
import subprocess
import sys
import threading
import time
from http.client import HTTPConnection

import pytest
import uvicorn
from forked import no_threads, of_bytes, of_files, run_command
from PIL import Image
from tiny_onnx import tiny_detector

from moganet_dense.demo.decoder import Decoder
from moganet_dense.demo.guard import Guard
from moganet_dense.utils.errors import UserError


def asked_for_a_prediction():
    """The server is asked for its page and a prediction, tells the answers and ends."""

    def before() -> None:
        content = io.BytesIO()
        Image.new('RGB', (64, 48)).save(content, 'PNG')
        run = uvicorn.Server.run

        def ask(server, port: int) -> None:
            while not server.started:
                time.sleep(0.02)
            head = {'Content-Type': 'application/octet-stream'}
            for method, path, body in [
                ('GET', '/', None),
                ('POST', '/predict?model=tiny', content.getvalue()),
            ]:
                connection = HTTPConnection('127.0.0.1', port)
                connection.request(method, path, body, head)
                found = connection.getresponse()
                text = found.read().decode() if method == 'POST' else ''
                print('answer', found.status, text, file=sys.stderr)
                connection.close()
            server.should_exit = True

        def serve(self, sockets):
            port = sockets[0].getsockname()[1]
            threading.Thread(target=ask, args=(self, port), daemon=True).start()
            run(self, sockets)

        uvicorn.Server.run = serve

    return before


def both(first, second):
    return lambda: (first(), second())


@pytest.mark.parametrize(
    ('stdout', 'before', 'code', 'said'),
    [
        ('closed', asked_for_a_prediction(), 0, ['answer 200', 'answer 200']),
        ('kept', both(of_bytes(0), asked_for_a_prediction()), 0, ['answer 200', 'answer 200']),
        ('kept', both(of_files(32), asked_for_a_prediction()), 0, ['answer 200', 'answer 200']),
        ('full', asked_for_a_prediction(), 1, ['error: standard output cannot be written']),
        ('kept', no_threads, 1, ['error: no more threads or processes may be started']),
    ],
)
def test_the_page_in_a_small_environment(stdout, before, code, said, tmp_path):
    tiny_detector(tmp_path / 'tiny.onnx')
    done = run_command(['demo', str(tmp_path / 'tiny.onnx'), '--port', '0'], stdout, before)
    assert done.code == code and 'Traceback' not in done.err, done
    lines = done.err.splitlines()
    assert len(lines) == len(said), done
    assert all(text in line for text, line in zip(said, lines, strict=True)), done


def out_of_files(*_, **__):
    raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))


def test_an_image_with_few_files_is_refused_with_the_reason(monkeypatch):
    monkeypatch.setattr(subprocess, 'Popen', out_of_files)
    with pytest.raises(UserError, match=r'cannot decode the image: too many open files .*ulimit'):
        Decoder()(b'image')


def test_a_part_of_the_page_with_few_files_is_answered():
    async def app(scope, receive, send) -> None:
        out_of_files()

    sent = []

    async def send(message: dict) -> None:
        sent.append(message)

    scope = dict(type='http', method='GET', path='/', headers=[(b'host', b'page')], server=None)
    asyncio.run(Guard(app, ['page'])(scope, None, send))
    assert sent[0]['status'] == 503 and b'too many open files' in sent[1]['body']
