"""Security headers of every response, and the check of the origin of requests."""

import ipaddress
import logging
import re
from collections.abc import Iterable
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from ..utils.errors import UserError, shortage
from ..utils.printable import printable

HEADERS = {
    'content-security-policy': "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self' blob:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    'frame-ancestors {frames}',
    'x-content-type-options': 'nosniff',
    'referrer-policy': 'no-referrer',
    'cross-origin-opener-policy': 'same-origin',
    'cross-origin-resource-policy': 'same-origin',
    'cache-control': 'no-store',
}

LOOPBACK = ('localhost', '127.0.0.1', '::1')

_HOST = re.compile(
    r'(\[[0-9a-fA-F:.]+\]|[0-9a-zA-Z](?:[0-9a-zA-Z.-]*[0-9a-zA-Z])?)(?::[0-9]{1,5})?'
)
"""A name or an address, in brackets if it has colons, and a port; nothing before or after."""


class Guard:
    """Adds HEADERS to every response, and rejects requests of other sites.

    A foreign ``Host`` is a sign of DNS rebinding; an ``Origin`` other than the ``Host`` of a
    request from another site without rebinding. Accepted are the address at which a request
    arrives, the names of the loopback if it arrives there, and the allowed names.

    Args:
        app: the ASGI application.
        allowed: further names, see :func:`host_names`.
        embedders: sites that may show the page in a frame, see :func:`origins`; (): none.
    """

    def __init__(
        self, app: Any, allowed: Iterable[str] = (), embedders: Iterable[str] = ()
    ) -> None:
        self.app, self.allowed = app, frozenset(allowed)
        frames = ' '.join(embedders) or "'none'"
        self.headers = [
            (name.encode(), text.replace('{frames}', frames).encode())
            for name, text in HEADERS.items()
        ]

    async def __call__(self, scope: dict, receive: Any, send: Any) -> None:
        if scope['type'] != 'http':
            return await self.app(scope, receive, send)

        started = False

        async def send_guarded(message: dict) -> None:
            nonlocal started
            if message['type'] == 'http.response.start':
                started = True
                message = dict(message, headers=[*message.get('headers', []), *self.headers])
            await send(message)

        request = Request(scope)
        host, origin = request.headers.get('host', ''), request.headers.get('origin')
        respond = self.app
        if host_name(host) not in self.allowed | _own_names(scope):
            words = 'expected the address of this server as Host; allow a name by --allow-host'
            respond = error_response(421, words)
        elif origin is not None and origin not in (f'http://{host}', f'https://{host}'):
            respond = error_response(403, 'requests from other sites are not allowed')
        try:
            await respond(scope, receive, send_guarded)
        except OSError as error:  # too many open files, where a part of the page is read
            if (reason := shortage(error)) is None:
                raise
            if not started:
                await error_response(503, f'the server has {reason}')(scope, receive, send_guarded)
            logging.getLogger('moganet_dense').error('a request failed: %s', reason)


def origins(texts: Iterable[str]) -> list[str]:
    """Origins that ``--allow-embed`` gives, such as ``https://example.org:8888``; ``*``: all.

    Raises:
        UserError: one is none.
    """
    found = list(texts)
    for text in found:
        scheme, _, rest = text.partition('://')
        if text != '*' and (scheme not in ('http', 'https') or not _HOST.fullmatch(rest)):
            raise UserError(
                f'--allow-embed: expected an origin as https://example.org or *, found {text!r}'
            )
    return found


def host_name(host: str) -> str:
    """The name or address in a ``Host`` header, in lower case; '' if it is malformed."""
    found = _HOST.fullmatch(host)
    return found[1].strip('[]').lower() if found else ''


def host_names(names: Iterable[str]) -> set[str]:
    """The names of ``--allow-host``, as returned by :func:`host_name`.

    Raises:
        UserError: one is not a name or address, such as a URL.
    """
    found = set()
    for name in names:
        try:
            plain = str(ipaddress.ip_address(name.strip('[]')))
        except ValueError:
            plain = '' if ':' in name else host_name(name)
        if not plain:
            raise UserError(
                f'--allow-host: expected a name or address without a port, such as '
                f'demo.example.org, found {printable(name)!r}'
            )
        found.add(plain)
    return found


def error_response(status: int, words: str) -> Response:
    """An error response with one line for the page."""
    return JSONResponse(dict(error=words), status)


def _own_names(scope: dict) -> set[str]:
    """The address at which a request arrived, and the names of the loopback if it is one."""
    address = (scope.get('server') or ('',))[0] or ''
    try:
        loopback = ipaddress.ip_address(address).is_loopback
    except ValueError:
        return set()
    return {address.lower(), *(LOOPBACK if loopback else ())}
