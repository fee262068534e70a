"""A web page on which a model looks at images; docs/demo.md tells what it promises."""

import os
import socket
from collections.abc import Sequence

from ..utils.errors import UserError
from .model_cache import Shelf


def serve(
    models: Sequence[str],
    host: str = '127.0.0.1',
    port: int = 7860,
    allow_hosts: Sequence[str] = (),
    cuda_graphs: bool = True,
) -> None:
    """Serves the page until it is interrupted; writes no file of its own.

    Args:
        models: see :meth:`Shelf.of`.
        host: address, or name of it, to listen at.
        port: 0 takes a free one; the address is printed.
        cuda_graphs: see :func:`~moganet_dense.inference.predictor.load_model`.
        allow_hosts: names by which browsers reach the page, beside its address: of a proxy before
            it, or of this machine in the network.

    Raises:
        UserError: the libraries are missing, a model is not known, or the address is taken.
    """
    try:
        import uvicorn

        from .connections import CONNECTIONS, Connection
        from .guard import host_name, host_names
        from .server import Server
    except ModuleNotFoundError as error:
        raise UserError(f"the page needs {error.name}: pip install 'moganet_dense[demo]'") from None
    allowed = host_names(allow_hosts) | {host_name(f'[{host}]' if ':' in host else host)} - {''}
    app = Server(Shelf.of(models, cuda_graphs), allowed).app()
    family = socket.AF_INET6 if ':' in host else socket.AF_INET
    try:
        listening = socket.create_server((host, port), family=family)
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno > 0 else error.strerror  # of a name
        raise UserError(f'cannot listen at {host}, port {port}: {reason}') from None
    with listening:
        port = listening.getsockname()[1]
        print(f'open http://{f"[{host}]" if ":" in host else host}:{port}/', flush=True)
        if not _is_loopback(host):
            print('anyone who reaches this machine can use the page: it asks for no password')
        config = uvicorn.Config(
            app,
            http=Connection,
            log_level='warning',
            limit_concurrency=CONNECTIONS,
            server_header=False,
            timeout_graceful_shutdown=3,  # browsers keep their connections open
        )
        uvicorn.Server(config).run(sockets=[listening])


def _is_loopback(host: str) -> bool:
    return host in ('localhost', '::1') or host.startswith('127.')
