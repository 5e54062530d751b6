"""A process that serves: a socket, uvicorn, and what signals mean.

SIGTERM and SIGINT: nothing new is accepted, what was accepted is answered, then the process ends. SIGHUP: the models
are read again.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import signal
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING

from plm.errors import ConfigError, PlmError, optional_import

if TYPE_CHECKING:
    import fastapi
    import uvicorn
else:
    uvicorn = optional_import("uvicorn", extra="serve", purpose="plm serve")

logger = logging.getLogger(__name__)

# Seconds between two looks at whether loading failed.
_LOOK = 0.1

# What requests may be addressed to where only this machine is listened to.
LOOPBACK_HOSTS = ("localhost", "127.0.0.1", "::1")


def is_loopback(host: str) -> bool:
    """True for names and addresses that only this machine reaches."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def run(app: fastapi.FastAPI, *, host: str, port: int, grace: float, on_start: Callable[[str], None]) -> None:
    """Serve until a signal ends it; everything that was accepted is answered.

    port: 0 = any that is free. grace: seconds that answers may still take at the end.
    on_start: told the URL once connections are accepted; models may still be loading.
    Raises ConfigError for an address that cannot be used, and the error of models that cannot be loaded.
    """
    listening = listen(host, port)
    # uvicorn ends gracefully on SIGTERM, and then sends the signal again, for whoever was there before.
    before = signal.signal(signal.SIGTERM, _ended)
    try:
        asyncio.run(_serve(app, listening, grace=grace, on_start=on_start))
    finally:
        signal.signal(signal.SIGTERM, before)
        listening.close()
    if app.state.failure is not None:
        raise app.state.failure


def _ended(_signal: int, _frame: object) -> None:
    """The end has come already."""


def listen(host: str, port: int) -> socket.socket:
    """A socket whose connections send at once. Raises ConfigError for an address that cannot be used.

    uvicorn writes the head and the body of an answer apart. Without TCP_NODELAY, which asyncio leaves alone on sockets
    that others made, the body waits until the client confirms the head: 40 ms on a connection that is kept open.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listening = socket.create_server((host, port), family=family, backlog=2048)
    except OSError as error:
        raise ConfigError(
            f"cannot listen at {host}, port {port}: {error.strerror}; take another --host or --port"
        ) from error
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # handed on to connections
    return listening


async def _serve(
    app: fastapi.FastAPI, listening: socket.socket, *, grace: float, on_start: Callable[[str], None]
) -> None:
    server = uvicorn.Server(
        uvicorn.Config(
            app,
            ws="none",
            lifespan="on",
            log_level="warning",
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_graceful_shutdown=max(1, round(grace)),
        )
    )
    hang_up = getattr(signal, "SIGHUP", None)  # Windows has none
    if hang_up is not None:
        asyncio.get_running_loop().add_signal_handler(hang_up, lambda: reloads.add(_reloading(app)))
    reloads: set[asyncio.Task[None]] = set()
    watching = asyncio.create_task(_watch(app, server, lambda: on_start(url_of(listening))))
    try:
        await server.serve(sockets=[listening])
    finally:
        for task in (watching, *reloads):
            task.cancel()
        await asyncio.gather(watching, *reloads, return_exceptions=True)


async def _watch(app: fastapi.FastAPI, server: uvicorn.Server, started: Callable[[], None]) -> None:
    """Tell of the start, and end a server whose models cannot be loaded."""
    while not server.started:
        await asyncio.sleep(_LOOK / 10)
    started()
    while app.state.failure is None:
        if app.state.shelf.is_ready:
            return
        await asyncio.sleep(_LOOK)
    server.should_exit = True


def _reloading(app: fastapi.FastAPI) -> asyncio.Task[None]:
    async def reload() -> None:
        try:
            await app.state.shelf.load()
        except PlmError as error:
            logger.error("the models were not read again: %s", error)
        else:
            logger.warning("the models were read again")

    return asyncio.get_running_loop().create_task(reload())


def url_of(listening: socket.socket) -> str:
    """The URL at which a socket listens."""
    host, port = listening.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
