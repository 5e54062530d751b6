"""Work for a client, as long as the client waits and the time allows."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from typing import Any, TypeVar

from plm.serving.errors import ServiceError
from plm.serving.telling import as_service_error

Result = TypeVar("Result")


async def attended(
    work: Coroutine[Any, Any, Result], *, receive: Callable[[], Awaitable[Any]], timeout: float
) -> Result:
    """The result of work, which is cancelled when the client goes or the time is over.

    receive: of ASGI, after the body was read. timeout: seconds. Raises ServiceError for both, and what the work raises.
    """
    task, gone = asyncio.ensure_future(work), asyncio.ensure_future(_disconnected(receive))
    try:
        done, _ = await asyncio.wait({task, gone}, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
        if task in done:
            return _result(task)
        if gone in done:
            raise ServiceError("client_gone", "the client closed the connection")
        raise ServiceError("timeout", f"no answer within {timeout:g} seconds; send less at once, or ask again later")
    finally:
        for future in (task, gone):
            future.cancel()
        await asyncio.gather(task, gone, return_exceptions=True)


async def events(first: str | None, pieces: AsyncIterator[str], *, until: float) -> AsyncIterator[str]:
    """Pieces of a text as server-sent events, {"text": ...} each, and [DONE]; an {"error": ...} may come instead.

    first: the piece that came already; None = the text is empty. until: time of the event loop when it has to end.
    """
    try:
        if first is not None:
            yield _event({"text": first})
            async with asyncio.timeout_at(until):
                async for piece in pieces:
                    yield _event({"text": piece})
        yield "data: [DONE]\n\n"
    except TimeoutError:
        yield _event(ServiceError("timeout", "the text is not finished, and the time is over").to_dict())
    except Exception as error:
        yield _event(as_service_error(error).to_dict())


def _result(task: asyncio.Future[Result]) -> Result:
    try:
        return task.result()
    except Exception as error:
        raise as_service_error(error) from error


def _event(data: dict[str, Any]) -> str:
    return f"data: {json.dumps(data)}\n\n"


async def _disconnected(receive: Callable[[], Awaitable[Any]]) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
