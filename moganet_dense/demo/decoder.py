"""Decodes uploads in a separate process, which is killed if it takes too long.

A file of a few hundred kilobytes can keep a decoder busy for minutes: a progressive JPEG may have
any number of passes over the image. A process can be killed, a thread cannot; and memory corruption
by a decoder does not reach the server.
"""

import json
import signal
import subprocess
from contextlib import suppress
from multiprocessing import Pipe
from multiprocessing.connection import Connection

import numpy as np

from ..utils.errors import UserError, shortage
from ..utils.python_process import python
from ..utils.system import IS_WINDOWS, limit_memory
from .uploads import open_image

SECONDS = 10
STARTING = 120  # maximum seconds until a new process is ready
MEMORY = 4 * 2**30  # address space of the process; an image of MAX_PIXELS takes 0.6 GB


class Decoder:
    """Decodes images from bytes, one at a time.

    Args:
        seconds: time limit of one image.
    """

    def __init__(self, seconds: float = SECONDS) -> None:
        self.seconds = seconds
        self._process: subprocess.Popen | None = None
        self._pipe: Connection | None = None

    def __call__(self, content: bytes) -> tuple[np.ndarray, tuple[int, int]]:
        """As :func:`~moganet_dense.demo.uploads.open_image`.

        Raises:
            UserError: as there; or it takes too long, or crashes the process.
        """
        if IS_WINDOWS:  # which passes no file descriptors to other processes
            return open_image(content)
        try:
            self._start()
            self._pipe.send_bytes(content)
            if not self._pipe.poll(self.seconds):
                raise UserError(
                    f'decoding the image takes more than {self.seconds:g} seconds; save it in '
                    'another program and try again'
                )
            response = json.loads(self._pipe.recv_bytes())
            pixels = self._pipe.recv_bytes() if 'shape' in response else b''
        except UserError:
            self.close()
            raise
        except (EOFError, OSError) as error:
            self.close()
            if reason := shortage(error):
                raise UserError(f'the server cannot decode the image: {reason}') from error
            raise UserError('the image cannot be decoded: the decoder crashed') from None
        if 'error' in response:
            raise UserError(response['error'])
        image = np.frombuffer(pixels, np.uint8).reshape(response['shape'])
        return image, tuple(response['stored'])

    def close(self) -> None:
        """Stops the process; the next image starts another one."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._pipe.close()
            self._process = self._pipe = None

    def _start(self) -> None:
        if self._process is not None and self._process.poll() is None:
            return
        self.close()
        pipe, other = Pipe()
        with other:
            handle = other.fileno()
            # neither a fork, which would have the models' memory, nor multiprocessing's spawn,
            # which would run the user's script again
            code = f'import {__name__} as it; it.serve_pixels({handle})'
            self._process = subprocess.Popen(
                python(code), pass_fds=[handle], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL
            )
        self._pipe = pipe
        if not pipe.poll(STARTING) or pipe.recv_bytes() != b'ready':
            raise EOFError


def serve_pixels(handle: int) -> None:
    """Responds until the other end is closed: metadata as JSON, and the pixels.

    Args:
        handle: file descriptor of the pipe.
    """
    limit_memory(MEMORY)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the server handles Ctrl-C and closes the pipe
    pipe = Connection(handle)
    with suppress(EOFError, OSError):
        pipe.send_bytes(b'ready')
        while True:
            content = pipe.recv_bytes()
            try:
                image, stored = open_image(content)
            except (UserError, MemoryError) as error:
                said = str(error) or 'the image needs more memory than allowed'
                pipe.send_bytes(json.dumps(dict(error=said)).encode())
                continue
            pipe.send_bytes(json.dumps(dict(shape=image.shape, stored=stored)).encode())
            pipe.send_bytes(image.tobytes())
