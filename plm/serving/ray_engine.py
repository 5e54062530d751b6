"""`plm serve` as an application of Ray Serve, on one machine or many: pip install "plm[ray,serve]".

    with ray_serving({"reviews": "runs/reviews"}, replicas=Replicas(1, 4), port=8000) as url:
        ...

Every replica is a process with the whole application: all models, their queues, limits and figures are its own.
"""

from __future__ import annotations

import functools
import logging
import os
import signal
import threading
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from plm.blocks.kernel_cache import bound_kernels
from plm.errors import ConfigError, optional_import
from plm.serving.app import create_app
from plm.serving.limits import Limits
from plm.serving.opening import Opened, open_folder
from plm.serving.server import listen, url_of

APPLICATION = "plm"

_PURPOSE = "plm serve --engine ray"

# Requests in progress that a replica should have: above it replicas are added. Half a batch of sentences.
_TARGET_REQUESTS = 32


@dataclass(frozen=True)
class Replicas:
    """How many replicas: from `least` when it is quiet to `most` when requests pile up. cpus: of each."""

    least: int = 1
    most: int = 1
    cpus: float = 1.0

    def __post_init__(self) -> None:
        if not 1 <= self.least <= self.most:
            raise ConfigError(f"replicas: expected N or MIN:MAX with 1 <= MIN <= MAX, got {self.least}:{self.most}")
        if not self.cpus > 0:
            raise ConfigError(f"replicas: each needs a share of a CPU, got {self.cpus}")

    @classmethod
    def parse(cls, text: str, *, cpus: float = 1.0) -> Replicas:
        """From "3" or "1:4". Raises ConfigError for anything else."""
        least, _, most = text.partition(":")
        try:
            return cls(int(least), int(most or least), cpus)
        except ValueError as error:
            raise ConfigError(f"replicas: expected N or MIN:MAX, as 2 or 1:4, got {text!r}") from error


def run(
    models: Mapping[str, str],
    *,
    replicas: Replicas,
    host: str,
    port: int,
    limits: Limits,
    token: str | None,
    hosts: Collection[str] | None,
    backend: str,
    dtype: str,
    on_start: Callable[[str], None],
) -> None:
    """Serve until SIGTERM or Ctrl-C; then everything that was accepted is answered. See ray_serving."""
    ray = _ray()
    with (
        _connected(ray),
        _told_of_the_end() as ended,  # Ray has its own mind about SIGTERM, and sets it when it connects
        ray_serving(
            models,
            replicas=replicas,
            host=host,
            port=port,
            limits=limits,
            token=token,
            hosts=hosts,
            backend=backend,
            dtype=dtype,
        ) as url,
    ):
        on_start(url)
        while not ended.wait(timeout=1.0):  # a wait without end would keep signals out
            pass


@contextmanager
def ray_serving(
    models: Mapping[str, str],
    *,
    replicas: Replicas = Replicas(),
    host: str = "127.0.0.1",
    port: int = 8000,
    limits: Limits | None = None,
    token: str | None = None,
    hosts: Collection[str] | None = None,
    backend: str = "torch",
    dtype: str = "float32",
) -> Iterator[str]:
    """The URL of a service with all models loaded; it ends, with what it accepted answered, at the end.

    models: name -> a folder that every machine has, or a name on the hub. port: 0 = any that is free.
    limits: of each replica. token, hosts, backend, dtype: as in create_app. There is no /v1/reload, which would reach
    one replica alone.
    The cluster is the one that this process is connected to, else that of RAY_ADDRESS or one that runs on this machine,
    else a new one of this machine alone. In one that was there before, host and port are those with which Ray Serve was
    started, if it was. Raises ConfigError for addresses and models that cannot be used, BackendUnavailable without Ray.
    """
    ray = _ray()
    limits = limits or Limits()
    places = {name: str(Path(model).resolve()) if Path(model).exists() else model for name, model in models.items()}
    build = _builder(places, limits=limits, token=token, hosts=hosts, backend=backend, dtype=dtype)
    with listen(host, port) as listening:  # so that what is taken is told now
        url, port = url_of(listening), listening.getsockname()[1]
    logging.getLogger("ray.serve").setLevel(logging.WARNING)  # it tells all that it does
    with _connected(ray):
        ray.serve.start(http_options={"host": host, "port": port}, logging_config={"log_level": "WARNING"})
        try:
            _deploy(ray, build, replicas=replicas, limits=limits)
            yield url
        finally:
            _end(ray)


def _ray() -> ModuleType:
    optional_import("ray.serve", extra="ray", purpose=_PURPOSE)
    return optional_import("ray", extra="ray", purpose=_PURPOSE)


@contextmanager
def _told_of_the_end() -> Iterator[threading.Event]:
    """An event that SIGTERM and Ctrl-C set."""
    ended = threading.Event()
    before = {one: signal.signal(one, lambda *_: ended.set()) for one in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield ended
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)


def _builder(
    models: Mapping[str, str], *, limits: Limits, backend: str, dtype: str, **options: Any
) -> Callable[[], Any]:
    """A function that makes the application in a replica, once its models are loaded: nobody is sent there before."""

    def build() -> Any:
        bound_kernels()
        load = functools.partial(open_folder, backend=backend, dtype=dtype, batch_tokens=limits.batch_tokens)
        opened = {name: load(place) for name, place in models.items()}
        openers = {name: functools.partial(_same, one) for name, one in opened.items()}
        return create_app(openers, limits=limits, can_reload=False, **options)

    return build


def _same(opened: Opened) -> Opened:
    return opened


def _deploy(ray: ModuleType, build: Callable[[], Any], *, replicas: Replicas, limits: Limits) -> None:
    """Start the replicas and wait until they are ready. Raises ConfigError when they do not start."""
    options: dict[str, Any] = {
        "name": APPLICATION,
        "ray_actor_options": {"num_cpus": replicas.cpus},
        "max_ongoing_requests": limits.queue,  # the queue of the application refuses, with a time to wait
        "graceful_shutdown_timeout_s": limits.timeout,
    }
    if replicas.least == replicas.most:
        options["num_replicas"] = replicas.least
    else:
        options["autoscaling_config"] = {
            "min_replicas": replicas.least,
            "max_replicas": replicas.most,
            "target_ongoing_requests": _TARGET_REQUESTS,
        }
    deployment = ray.serve.deployment(**options)(ray.serve.ingress(build)())
    try:
        ray.serve.run(deployment.bind(), name=APPLICATION)
    except RuntimeError as error:
        deployments = ray.serve.status().applications[APPLICATION].deployments.values()
        told = "\n".join(one.message for one in deployments) or error
        raise ConfigError(f"the replicas do not start: {told}") from error


def _end(ray: ModuleType) -> None:
    """Let the replicas finish; end Ray Serve, too, when nobody else uses it."""
    while True:
        try:
            ray.serve.delete(APPLICATION)
            break
        except TimeoutError:  # Ray waits for a minute; the replicas' own time to finish is bounded
            continue
    if not ray.serve.status().applications:
        ray.serve.shutdown()


@contextmanager
def _connected(ray: ModuleType) -> Iterator[None]:
    """A connection to a cluster; one that was there before is used, and stays."""
    if ray.is_initialized():
        yield
        return
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # else a new cluster tells its makers about itself
    try:
        ray.init(include_dashboard=False, logging_level=logging.WARNING)
    except (ConnectionError, ValueError) as error:
        raise ConfigError(f"no Ray cluster can be reached: {error}; see RAY_ADDRESS") from error
    try:
        yield
    finally:
        ray.shutdown()
