"""What a request has to pass before anybody looks at it: its host, its token, its size."""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Awaitable, Callable, Collection, MutableMapping
from typing import Any

from plm.serving.errors import ServiceError
from plm.serving.limits import Limits
from plm.serving.telling import answer

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]

# Of a body that is too large so much is read and thrown away: who sends first and listens later sees the answer.
_DRAINED = 32 << 20

# Paths that need no token: the page, which holds nothing, and what watches over processes.
OPEN_PATHS = ("/", "/static/", "/health", "/ready", "/openapi.json")


class Gate:
    """ASGI middleware. Bodies are read here, whole, and handed on in one piece.

    token: what requests have to carry as `Authorization: Bearer ...`; None = nothing.
    hosts: names that requests may be addressed to; None = any. A web page elsewhere that gives its own name this
        machine's address is so kept out of a service for this machine alone.
    """

    def __init__(self, app: App, *, limits: Limits, token: str | None, hosts: Collection[str] | None) -> None:
        self._app, self._limits = app, limits
        self._token = None if token is None else token.encode()
        self._hosts = None if hosts is None else {host.lower() for host in hosts}

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """See ASGI."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        try:
            self._check(scope)
            async with asyncio.timeout(self._limits.timeout):
                body = await self._read(scope, receive)
        except TimeoutError:
            error = ServiceError("slow_request", f"the body did not come within {self._limits.timeout:g} seconds")
            await answer(error)(scope, receive, send)
        except ServiceError as error:
            await answer(error)(scope, receive, send)
        else:
            if body is not None:
                await self._app(scope, _replaying(body, receive), send)

    def _check(self, scope: Message) -> None:
        headers = dict(scope["headers"])
        host = _without_port(headers.get(b"host", b"").decode("latin-1").lower())
        if self._hosts is not None and host not in self._hosts:
            raise ServiceError("wrong_host", "this service answers requests to this machine alone")
        if self._token is None or _is_open(scope["path"]):
            return
        scheme, _, given = headers.get(b"authorization", b"").partition(b" ")
        if scheme.lower() != b"bearer" or not hmac.compare_digest(given.strip(), self._token):
            raise ServiceError(
                "unauthorized", "needs the header `Authorization: Bearer TOKEN` with the service's token"
            )

    async def _read(self, scope: Message, receive: Receive) -> bytes | None:
        """The body; None when the client has gone. Raises ServiceError for one that is too large."""
        most = self._limits.body_bytes
        told = dict(scope["headers"]).get(b"content-length", b"0")
        body, size = bytearray(), 0
        while True:
            if max(size, int(told)) > max(most, _DRAINED):
                raise self._too_large()
            message = await receive()
            if message["type"] == "http.disconnect":
                return None
            chunk = message.get("body", b"")
            size += len(chunk)
            if size <= most:
                body += chunk
            if not message.get("more_body", False):
                break
        if size > most:
            raise self._too_large()
        return bytes(body)

    def _too_large(self) -> ServiceError:
        most = self._limits.body_bytes
        return ServiceError("body_too_large", f"the body is larger than {most} bytes; send fewer or shorter texts")


def _is_open(path: str) -> bool:
    return path in OPEN_PATHS or path.startswith("/static/")


def _without_port(host: str) -> str:
    """The name or address in a Host header; IPv6 addresses stand in brackets."""
    return host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]


def _replaying(body: bytes, receive: Receive) -> Receive:
    """A receive that gives the body first, and then goes on with the real one (which tells when the client goes)."""
    rest = [{"type": "http.request", "body": body, "more_body": False}]

    async def replayed() -> Message:
        return rest.pop() if rest else await receive()

    return replayed
