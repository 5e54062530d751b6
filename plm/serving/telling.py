"""Whatever goes wrong becomes an answer in the one shape of errors."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from plm.errors import (
    ConfigError,
    DataError,
    PlmError,
    PoemError,
    ShapeError,
    TokenizerError,
    UnknownNameError,
    optional_import,
)
from plm.serving.errors import ServiceError

if TYPE_CHECKING:
    import fastapi
    import fastapi.exceptions
    import fastapi.responses
    import starlette.exceptions
else:
    fastapi = optional_import("fastapi", extra="serve", purpose="plm serve")
    optional_import("fastapi.exceptions", extra="serve", purpose="plm serve")
    optional_import("fastapi.responses", extra="serve", purpose="plm serve")
    starlette = optional_import("starlette", extra="serve", purpose="plm serve")
    optional_import("starlette.exceptions", extra="serve", purpose="plm serve")

logger = logging.getLogger(__name__)

# What can be wrong with a text or a wish; other errors are the service's own.
_OF_THE_REQUEST = (ConfigError, DataError, PoemError, ShapeError, TokenizerError, UnknownNameError)

_OF_HTTP = {404: "not_found", 405: "method_not_allowed", 415: "wrong_content_type"}
_MOST_FAULTS = 5


def answer(error: ServiceError) -> fastapi.Response:
    """The response for an error; what JSON or HTTP cannot say of a message is escaped."""
    headers = {} if error.retry_after is None else {"Retry-After": str(math.ceil(error.retry_after))}
    if error.kind == "unauthorized":
        headers["WWW-Authenticate"] = "Bearer"
    return fastapi.Response(
        json.dumps(error.to_dict()), status_code=error.status, media_type="application/json", headers=headers
    )


def as_service_error(error: Exception) -> ServiceError:
    """The error that a client is told. What is not the client's fault is logged here, and told without details."""
    if isinstance(error, ServiceError):
        return error
    if isinstance(error, _OF_THE_REQUEST):
        return ServiceError("invalid_request", str(error))
    logger.error("a request failed: %s", error, exc_info=error)
    return ServiceError("internal", "the service failed; its log says more")


def install(app: fastapi.FastAPI) -> None:
    """Let an application answer all errors so."""

    async def service(_request: fastapi.Request, error: Exception) -> fastapi.Response:
        return answer(as_service_error(error))

    async def invalid(_request: fastapi.Request, error: Exception) -> fastapi.Response:
        assert isinstance(error, fastapi.exceptions.RequestValidationError)
        return answer(_invalid(error.errors()))

    async def http(_request: fastapi.Request, error: Exception) -> fastapi.Response:
        assert isinstance(error, starlette.exceptions.HTTPException)
        if error.status_code == 400:  # FastAPI's word for a body that json.loads does not take
            return answer(ServiceError("invalid_json", "the body is not JSON in UTF-8"))
        kind = _OF_HTTP.get(error.status_code, "internal")
        told = answer(ServiceError(kind, str(error.detail), status=error.status_code))
        told.headers.update(error.headers or {})
        return told

    app.add_exception_handler(PlmError, service)
    app.add_exception_handler(Exception, service)
    app.add_exception_handler(fastapi.exceptions.RequestValidationError, invalid)
    app.add_exception_handler(starlette.exceptions.HTTPException, http)


def _invalid(faults: Sequence[Mapping[str, Any]]) -> ServiceError:
    """Where and what, without the input itself: it may be huge, or no text at all."""
    if faults and faults[0]["type"] == "json_invalid":
        reason = faults[0].get("ctx", {}).get("error", "")
        return ServiceError("invalid_json", f"the body is not JSON: {reason} at character {faults[0]['loc'][-1]}")
    told = [f"{_place(fault['loc'])}: {_reason(fault)}" for fault in faults[:_MOST_FAULTS]]
    more = len(faults) - len(told)
    return ServiceError("invalid_request", "; ".join(told) + (f"; and {more} more" if more else ""))


def _place(path: Sequence[str | int]) -> str:
    """("body", "inputs", 1, "<words>", 0) -> inputs[1][0]"""
    told = ""
    for part in path[1:]:
        if isinstance(part, int):
            told += f"[{part}]"
        elif not part.startswith("<"):
            told += f".{part[:80]}" if told else part[:80]
    return told or "body"


def _reason(fault: Mapping[str, Any]) -> str:
    reason = str(fault["msg"]).removeprefix("Value error, ")
    return reason[:1].lower() + reason[1:]
