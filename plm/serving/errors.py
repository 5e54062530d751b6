"""What a service answers when it cannot do what was asked, in one shape, for the server and for its clients."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from plm.errors import PlmError

# Type of an error -> HTTP status.
STATUSES: Mapping[str, int] = {
    "invalid_json": 400,
    "unauthorized": 401,
    "not_found": 404,
    "unknown_model": 404,
    "method_not_allowed": 405,
    "slow_request": 408,
    "body_too_large": 413,
    "wrong_content_type": 415,
    "wrong_host": 421,
    "invalid_request": 422,
    "overloaded": 429,
    "client_gone": 499,
    "internal": 500,
    "not_ready": 503,
    "timeout": 504,
}


class ServiceError(PlmError):
    """A request that was not answered.

    kind: a name in STATUSES, or what another server sent. retry_after: seconds after which to ask again, or None.
    status: of HTTP; by default that of the kind.
    """

    def __init__(self, kind: str, message: str, *, status: int | None = None, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message
        self.status = STATUSES[kind] if status is None else status
        self.retry_after = retry_after

    def to_dict(self) -> dict[str, Any]:
        """The body of the answer: {"error": {"type", "message", ...}}."""
        error: dict[str, Any] = {"type": self.kind, "message": self.message}
        if self.retry_after is not None:
            error["retry_after"] = self.retry_after
        return {"error": error}
