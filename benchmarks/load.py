"""Many clients at once against an HTTP server: one event loop, the standard library, connections that are kept open.

Each client sends a request, waits for the whole answer, and goes on with the next; a request costs this process some
0.1 ms, which is below what any of the measured servers needs for it.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import time
import urllib.parse
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

# Seconds that a client waits after it was refused.
PAUSE = 0.1


@dataclass
class Outcome:
    """What came back. times: seconds of each answer with status 200. lost: sent, and not answered in whole."""

    statuses: Counter[int] = field(default_factory=Counter)
    times: list[float] = field(default_factory=list)
    lost: int = 0
    seconds: float = 0.0

    @property
    def rate(self) -> float:
        """Good answers a second."""
        return self.statuses[200] / self.seconds

    def figures(self) -> dict[str, float]:
        """Throughput, and percentiles of the times in ms."""
        percentiles = np.percentile(self.times, [50, 95, 99]).tolist()
        told = {f"p{number}_ms": round(1e3 * value, 1) for number, value in zip((50, 95, 99), percentiles, strict=True)}
        return {"requests_per_second": round(self.rate, 1), **told}


def post(path: str, body: object) -> bytes:
    """A request as it goes over the line, in one piece."""
    data = json.dumps(body).encode()
    head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
    return f"{head}Content-Length: {len(data)}\r\n\r\n".encode() + data


def get(path: str) -> bytes:
    """The same for GET."""
    return f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode()


def drive(url: str, requests: Sequence[bytes], *, clients: int, seconds: float) -> Outcome:
    """Send the requests round and round for so many seconds, and wait for the last answers."""
    end = time.perf_counter() + seconds
    return asyncio.run(driven(url, requests, clients=clients, goes_on=lambda: time.perf_counter() < end))


async def driven(url: str, requests: Sequence[bytes], *, clients: int, goes_on: Callable[[], bool]) -> Outcome:
    """The same inside an event loop, as long as `goes_on`."""
    outcome, queue, started = Outcome(), itertools.cycle(requests), time.perf_counter()
    await asyncio.gather(*(_client(url, queue, outcome, goes_on) for _ in range(clients)))
    outcome.seconds = time.perf_counter() - started
    return outcome


async def ask(url: str, request: bytes) -> tuple[int, bytes]:
    """Status and body of one answer, on a connection of its own."""
    reader, writer = await _connect(url)
    try:
        writer.write(request)
        return await _answer(reader)
    finally:
        writer.close()


async def _client(url: str, requests: Iterator[bytes], outcome: Outcome, goes_on: Callable[[], bool]) -> None:
    reader, writer = await _connect(url)
    try:
        while goes_on():
            started = time.perf_counter()
            writer.write(next(requests))
            status, _ = await _answer(reader)
            outcome.statuses[status] += 1
            if status == 200:
                outcome.times.append(time.perf_counter() - started)
            else:
                await asyncio.sleep(PAUSE)
    except (OSError, asyncio.IncompleteReadError):
        outcome.lost += 1
    finally:
        writer.close()


async def _connect(url: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    parts = urllib.parse.urlsplit(url)
    return await asyncio.open_connection(parts.hostname, parts.port)


async def _answer(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    size = int(head.partition(b"content-length:")[2].partition(b"\r\n")[0])
    return int(head.split(b" ", 2)[1]), await reader.readexactly(size)
