"""A service in a thread of its own, behind a real port, and models that are made up."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

uvicorn = pytest.importorskip("uvicorn", reason='the service needs pip install "plm[serve]"')
pytest.importorskip("fastapi", reason='the service needs pip install "plm[serve]"')

from plm.errors import DataError, PoemError  # noqa: E402  (after the skip)
from plm.generation.config import GenerationConfig  # noqa: E402
from plm.poetry.request import PoemRequest  # noqa: E402
from plm.serving import Client  # noqa: E402
from plm.serving.app import create_app  # noqa: E402
from plm.serving.limits import Limits  # noqa: E402
from plm.serving.opening import Door, Opened  # noqa: E402
from plm.serving.server import listen  # noqa: E402

_LONGEST_WAIT = 30.0


@dataclass
class Running:
    """A service that answers. stop: ends it as SIGTERM does, and waits."""

    url: str
    app: Any
    client: Client
    stop: Callable[[], None]


@contextmanager
def serving(
    models: Mapping[str, str | Path | Callable[[], Opened]],
    *,
    limits: Limits | None = None,
    token: str | None = None,
    hosts: Sequence[str] | None = None,
    retries: int = 0,
) -> Iterator[Running]:
    """A service whose models are loaded; it is stopped at the end."""
    app = create_app(models, limits=limits, token=token, hosts=hosts)
    server = uvicorn.Server(uvicorn.Config(app, log_level="critical", lifespan="on", ws="none"))
    with listen("127.0.0.1", 0) as listening:
        thread = threading.Thread(target=lambda: asyncio.run(server.serve(sockets=[listening])))
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"

        def stop() -> None:
            server.should_exit = True
            thread.join(_LONGEST_WAIT)
            assert not thread.is_alive()

        thread.start()
        try:
            client = Client(url, token=token, retries=retries, timeout=_LONGEST_WAIT)
            until(lambda: server.started and (client.is_ready() or app.state.failure is not None))
            yield Running(url, app, client, stop)
        finally:
            stop()


def until(condition: Callable[[], bool]) -> None:
    """Wait until something holds."""
    end = time.monotonic() + _LONGEST_WAIT
    while not condition():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.005)


@dataclass
class Echo:
    """A model that answers every text with its length, one token for each letter, and notes its batches.

    gate: where it is closed, batches wait.
    """

    name: str = "echo"
    batches: list[list[str]] = field(default_factory=list)
    gate: threading.Event = field(default_factory=threading.Event)
    opened: int = 0

    def __post_init__(self) -> None:
        self.gate.set()

    def open(self) -> Opened:
        """What create_app takes."""
        self.opened += 1
        version = self.opened

        def work(values: list[str]) -> list[dict[str, Any]]:
            self.batches.append(values)
            assert self.gate.wait(_LONGEST_WAIT)
            for value in values:
                if value == "bad":
                    raise DataError("text 0: is bad")
                if value == "broken":
                    raise RuntimeError("secrets of the house")
            return [{"label": value, "score": len(value), "version": version} for value in values]

        door = Door(work=work, count=lambda values: [len(value) for value in values], cuts_at=20)
        return Opened(doors={"classify": door}, max_tokens=20)


class Letters:
    """A TextWriter that goes on with the letters of the alphabet.

    free: pieces that it makes at once; each later one waits until the gate is open.
    """

    def __init__(self, free: int = 0) -> None:
        self.gate = threading.Event()
        if not free:
            self.gate.set()
        self.free = free
        self.batches: list[list[str]] = []
        self.pieces = 0
        self.ended = 0

    def count(self, prompt: str) -> int:
        """See TextWriter."""
        return len(prompt)

    def write(self, prompts: Sequence[str], config: GenerationConfig) -> list[list[dict[str, Any]]]:
        """See TextWriter."""
        self.batches.append(list(prompts))
        return [
            [{"text": "".join(self.stream(prompt, config)), "score": 0.0, "ending": "length"}] for prompt in prompts
        ]

    def stream(self, prompt: str, config: GenerationConfig) -> Generator[str, None, None]:
        """See TextWriter."""
        if prompt == "bad":
            raise DataError("prompt 0: is bad")
        try:
            for number in range(config.max_new_tokens):
                assert self.pieces < self.free or self.gate.wait(_LONGEST_WAIT)
                if prompt == "breaks" and number == 2:
                    raise RuntimeError("secrets of the house")
                self.pieces += 1
                yield chr(ord("a") + number % 26)
        finally:
            self.ended += 1


class Rhymer:
    """A PoemWriter that repeats what it was asked."""

    def write_all(self, requests: Sequence[PoemRequest]) -> list[list[dict[str, Any]]]:
        """See PoemWriter."""
        for one in requests:
            if one.form == "sonnet":
                raise PoemError("form: 'sonnet' is not one of 五绝, 七绝")
        return [
            [{"lines": [one.text], "form": one.form, "title": "", "score": -1.0, "report": {}}] * one.n
            for one in requests
        ]
