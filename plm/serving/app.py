"""The application: models, endpoints, the page, and what watches over them, as one ASGI object.

from plm.serving.app import create_app
app = create_app({"reviews": "runs/reviews"})        # for any ASGI server, with one process
"""

from __future__ import annotations

import asyncio
import functools
import logging
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import plm
from plm.errors import ConfigError, optional_import
from plm.serving import schemas
from plm.serving.endpoints import Endpoints
from plm.serving.errors import STATUSES, ServiceError
from plm.serving.gate import Gate
from plm.serving.limits import Limits
from plm.serving.metrics import CONTENT_TYPE, Measured, Metrics
from plm.serving.opening import open_folder
from plm.serving.page import add_page
from plm.serving.served import Opener, Shelf
from plm.serving.telling import install

if TYPE_CHECKING:
    import fastapi
    import fastapi.responses
else:
    fastapi = optional_import("fastapi", extra="serve", purpose="plm serve")
    optional_import("fastapi.responses", extra="serve", purpose="plm serve")

logger = logging.getLogger(__name__)


def create_app(
    models: Mapping[str, str | Path | Opener],
    *,
    limits: Limits | None = None,
    token: str | None = None,
    hosts: Collection[str] | None = None,
    backend: str = "torch",
    dtype: str = "float32",
    can_reload: bool = True,
) -> fastapi.FastAPI:
    """A service for these models. They are loaded when the server starts it; /ready tells when they are.

    models: by name: a folder, a name on the hub, or a function that loads a model.
    token: that requests below /v1 and to /metrics must carry; None = none. Without token nobody can ask for a reload.
    hosts: names that requests may be addressed to; None = any.
    backend, dtype: of folders, as in plm.serving.opening.open_folder.
    can_reload: False = there is no /v1/reload, even with a token.
    The application keeps its models in `app.state.shelf`. Raises ConfigError when there is nothing to serve.
    """
    limits = limits or Limits()
    if not models:
        raise ConfigError("nothing to serve: name at least one folder")
    load = functools.partial(open_folder, backend=backend, dtype=dtype, batch_tokens=limits.batch_tokens)
    openers: dict[str, Opener] = {
        name: functools.partial(load, model) if isinstance(model, str | Path) else model
        for name, model in models.items()
    }
    metrics = Metrics()
    app = fastapi.FastAPI(
        title="plm",
        version=plm.__version__,
        description="Classes, entities, answers, vectors, words and texts of the models that are served here.",
        docs_url=None,  # both pages load scripts from elsewhere
        redoc_url=None,
        lifespan=_lifespan,
    )
    app.state.shelf = Shelf(openers, limits=limits, watch=metrics.watch)
    app.state.failure = None
    install(app)
    _add_endpoints(app, Endpoints(app.state.shelf, limits))
    _add_watching(app, metrics, can_reload=can_reload and token is not None)
    add_page(app)
    app.add_middleware(Gate, limits=limits, token=token, hosts=hosts)
    app.add_middleware(Measured, metrics=metrics, paths=[getattr(route, "path", "") for route in app.routes])
    return app


@asynccontextmanager
async def _lifespan(app: fastapi.FastAPI) -> AsyncIterator[None]:
    """Load beside the requests that come already, and end when the last work is done."""
    loading = asyncio.get_running_loop().create_task(_load(app))
    try:
        yield
    finally:
        loading.cancel()
        await asyncio.gather(loading, return_exceptions=True)
        await app.state.shelf.close()


async def _load(app: fastapi.FastAPI) -> None:
    try:
        await app.state.shelf.load()
    except Exception as error:
        logger.error("the models cannot be loaded: %s", error)
        app.state.failure = error


def _add_endpoints(app: fastapi.FastAPI, endpoints: Endpoints) -> None:
    answers: Mapping[str, tuple[Any, type]] = {
        "/v1/classify": (endpoints.classify, schemas.Answers),
        "/v1/tag": (endpoints.tag, schemas.Answers),
        "/v1/answer": (endpoints.answer, schemas.Answers),
        "/v1/embed": (endpoints.embed, schemas.Answers),
        "/v1/fill-mask": (endpoints.fill_mask, schemas.Answers),
        "/v1/generate": (endpoints.generate, schemas.Answers),
        "/v1/poem": (endpoints.poem, schemas.Poems),
    }
    refused: dict[int | str, dict[str, Any]] = {
        status: {"model": schemas.ErrorAnswer} for status in sorted(set(STATUSES.values()))
    }
    app.get("/v1/models", responses={200: {"model": schemas.Models}, **refused})(endpoints.models)
    for path, (handler, answer) in answers.items():
        good: dict[str, Any] = {"model": answer}
        if handler == endpoints.generate:
            good["content"] = {"text/event-stream": {"schema": {"type": "string"}}}
        app.post(path, responses={200: good, **refused})(handler)


def _add_watching(app: fastapi.FastAPI, metrics: Metrics, *, can_reload: bool) -> None:
    """Endpoints for whoever runs the service."""

    async def health() -> Any:
        """The process lives."""
        return {"status": "ok"}

    async def ready() -> Any:
        """The models are loaded."""
        if app.state.failure is not None:
            raise ServiceError("not_ready", f"the models cannot be loaded: {app.state.failure}")
        if not app.state.shelf.is_ready:
            raise ServiceError("not_ready", "the models are being loaded", retry_after=1)
        return {"status": "ready"}

    async def figures() -> Any:
        """Counts and times, for Prometheus."""
        return fastapi.Response(metrics.text(), media_type=CONTENT_TYPE)

    async def reload() -> Any:
        """Read all models again; requests meanwhile are answered by those that were there."""
        await app.state.shelf.load()
        return {"models": [model.name for model in app.state.shelf.models()]}

    app.get("/health")(health)
    app.get("/ready", responses={503: {"model": schemas.ErrorAnswer}})(ready)
    app.get("/metrics", response_class=fastapi.responses.PlainTextResponse)(figures)
    if can_reload:
        app.post("/v1/reload")(reload)
