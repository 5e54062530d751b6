"""Serving: models behind HTTP, and a client for them.

create_app in plm.serving.app makes the application, for `plm serve` or any ASGI server: pip install "plm[serve]".
The client needs nothing: Client("http://127.0.0.1:8000").classify("a good day").
"""

from __future__ import annotations

from plm.serving.client import Client
from plm.serving.errors import ServiceError

__all__ = ["Client", "ServiceError"]
