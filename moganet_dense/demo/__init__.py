"""A web page that runs models on uploaded images; see docs/demo.md."""

import os
import socket
import threading
from collections.abc import Sequence

from ..utils.errors import UserError
from .model_cache import ModelCache


def serve(
    models: Sequence[str],
    host: str = '127.0.0.1',
    port: int = 7860,
    allow_hosts: Sequence[str] = (),
    cuda_graphs: bool = True,
    embedders: Sequence[str] = (),
) -> None:
    """Serves the page until it is interrupted; writes no files.

    Args:
        models: see :meth:`ModelCache.of`.
        host: address or host name to listen on.
        port: 0 selects a free port; the URL is printed.
        cuda_graphs: see :func:`~moganet_dense.inference.predictor.load_model`.
        allow_hosts: names by which browsers reach the page, beside its address: of a proxy before
            it, or of this machine in the network.
        embedders: sites that may show the page in a frame, as a notebook's; '*': all.

    Raises:
        UserError: the libraries are missing, a model is unknown, or the address is in use.
        RuntimeError: no thread may be started.
    """
    try:
        import uvicorn

        from .connections import CONNECTIONS, Connection
        from .guard import host_name, host_names, origins
        from .server import Server
    except ModuleNotFoundError as error:
        raise UserError(f"the page needs {error.name}: pip install 'moganet_dense[demo]'") from None
    allowed = host_names(allow_hosts) | {host_name(f'[{host}]' if ':' in host else host)} - {''}
    cache = ModelCache.of(models, cuda_graphs)
    cache.require_libraries()
    threading.Thread(target=bool).start()  # each request needs one: fails now where none may start
    app = Server(cache, allowed, origins(embedders)).app()
    family = socket.AF_INET6 if ':' in host else socket.AF_INET
    try:
        listening = socket.create_server((host, port), family=family)
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno > 0 else error.strerror  # of a name
        raise UserError(f'cannot listen on {host}, port {port}: {reason}') from None
    with listening:
        port = listening.getsockname()[1]
        print(f'open http://{f"[{host}]" if ":" in host else host}:{port}/', flush=True)
        if not _is_loopback(host):
            print('anyone who can reach this machine can use the page: it has no password')
        config = uvicorn.Config(
            app,
            http=Connection,
            log_level='warning',
            log_config=None,  # uvicorn's would close all log files of this process
            limit_concurrency=CONNECTIONS,
            server_header=False,
            timeout_graceful_shutdown=3,  # browsers keep their connections open
        )
        uvicorn.Server(config).run(sockets=[listening])


def _is_loopback(host: str) -> bool:
    return host in ('localhost', '::1') or host.startswith('127.')
