"""The web page with little disk, threads, files or output: it goes on, or ends with one line."""

import io
import os
import resource
import sys
import threading
import time
from contextlib import suppress
from http.client import HTTPConnection

import pytest
import uvicorn
from forked import no_threads, of_bytes, run_command
from PIL import Image
from tiny_onnx import tiny_detector


def asked_for_a_prediction(files: int = 0):
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
            if files:
                leave_free(files)
            port = sockets[0].getsockname()[1]
            threading.Thread(target=ask, args=(self, port), daemon=True).start()
            run(self, sockets)

        uvicorn.Server.run = serve

    return before


def leave_free(number: int) -> None:
    """Takes all file descriptors but a few."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256))
    taken = []
    with suppress(OSError):
        while True:
            taken.append(os.dup(0))
    for each in taken[:number]:
        os.close(each)


def both(first, second):
    return lambda: (first(), second())


@pytest.mark.parametrize(
    ('stdout', 'before', 'code', 'said'),
    [
        ('closed', asked_for_a_prediction(), 0, ['answer 200', 'answer 200']),
        ('kept', both(of_bytes(0), asked_for_a_prediction()), 0, ['answer 200', 'answer 200']),
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


def test_the_page_with_few_files(tmp_path):
    """The image is refused with the reason; a part of the page is left out, with a line of it."""
    tiny_detector(tmp_path / 'tiny.onnx')
    arguments = ['demo', str(tmp_path / 'tiny.onnx'), '--port', '0']
    done = run_command(arguments, before=asked_for_a_prediction(5))
    assert done.code == 0 and 'Traceback' not in done.err, done
    (line,) = [text for text in done.err.splitlines() if text.startswith('answer 422')]
    assert 'the server cannot decode the image: too many open files (limit: 256)' in line
