"""Counts and times of a service, in the text format of Prometheus."""

from __future__ import annotations

import time
from collections.abc import Collection
from typing import TYPE_CHECKING

from plm.errors import optional_import
from plm.serving.gate import App, Message, Receive, Send

if TYPE_CHECKING:
    import prometheus_client as prometheus
else:
    prometheus = optional_import("prometheus_client", extra="serve", purpose="plm serve")

# Of the text format that every Prometheus reads.
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_TEXTS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
_SECONDS = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60)


class Metrics:
    """The figures of one service; several in a process do not share any."""

    def __init__(self) -> None:
        self.registry = prometheus.CollectorRegistry()
        to = self.registry
        self.requests = prometheus.Counter("plm_requests", "Requests answered", ["path", "status"], registry=to)
        self.seconds = prometheus.Histogram(
            "plm_request_seconds", "From a request to its answer", ["path"], buckets=_SECONDS, registry=to
        )
        self.waiting = prometheus.Gauge("plm_waiting_texts", "Texts in the queue", ["model"], registry=to)
        self.batches = prometheus.Histogram(
            "plm_batch_texts", "Texts computed together", ["model"], buckets=_TEXTS, registry=to
        )
        self.tokens = prometheus.Counter("plm_tokens", "Tokens computed", ["model"], registry=to)
        self.busy = prometheus.Counter("plm_busy_seconds", "Time spent computing", ["model"], registry=to)

    def watch(self, model: str) -> ModelWatch:
        """What the batcher of a model tells."""
        return ModelWatch(self, model)

    def text(self) -> bytes:
        """What GET /metrics answers."""
        return bytes(prometheus.generate_latest(self.registry))


class ModelWatch:
    """See plm.serving.batcher.Watch."""

    def __init__(self, metrics: Metrics, model: str) -> None:
        self._waiting = metrics.waiting.labels(model)
        self._batches, self._tokens = metrics.batches.labels(model), metrics.tokens.labels(model)
        self._busy = metrics.busy.labels(model)

    def queued(self, texts: int) -> None:
        """See Watch."""
        self._waiting.set(texts)

    def computed(self, *, texts: int, tokens: int, seconds: float) -> None:
        """See Watch."""
        self._batches.observe(texts)
        self._tokens.inc(tokens)
        self._busy.inc(seconds)


class Measured:
    """ASGI middleware that counts answers. paths: those that are told apart; any other is "other"."""

    def __init__(self, app: App, *, metrics: Metrics, paths: Collection[str]) -> None:
        self._app, self._metrics, self._paths = app, metrics, frozenset(paths)

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """See ASGI."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        path, status, started = scope["path"] if scope["path"] in self._paths else "other", 500, time.perf_counter()

        async def noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, noting)
        finally:
            self._metrics.requests.labels(path, str(status)).inc()
            self._metrics.seconds.labels(path).observe(time.perf_counter() - started)
