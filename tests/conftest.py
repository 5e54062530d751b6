"""What holds for every test: one thread, no network, and a known place for golden files."""

from __future__ import annotations

import ipaddress
import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.golden_files import checkpoint as find_checkpoint
from tests.golden_files import checkpoints_root as find_checkpoints_root

# Before anything imports torch: tiny tensors gain nothing from threads. Processes that tests start inherit both lines.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["HF_HUB_OFFLINE"] = "1"


@pytest.fixture(scope="session", autouse=True)
def no_network() -> Iterator[None]:
    """Fail any test that looks up or connects to a host other than this one."""
    connect, look_up = socket.socket.connect, socket.getaddrinfo

    def guarded_connect(self: socket.socket, address: Any) -> None:
        if self.family != socket.AF_UNIX:
            _require_loopback(address[0])
        connect(self, address)

    def guarded_look_up(host: str | bytes | None, *arguments: Any, **options: Any) -> Any:
        _require_loopback(host)
        return look_up(host, *arguments, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", guarded_connect)
        patch.setattr(socket, "getaddrinfo", guarded_look_up)
        yield


def _require_loopback(host: str | bytes | None) -> None:
    name = host.decode() if isinstance(host, bytes) else host
    if name is None or name == "localhost":
        return
    try:
        allowed = ipaddress.ip_address(name).is_loopback
    except ValueError:
        allowed = False
    if not allowed:
        pytest.fail(f"a test reached for the network: {name}")


@pytest.fixture
def checkpoints_root() -> Path:
    """The folder of golden checkpoints (`tests.golden_files.checkpoints_root`)."""
    return find_checkpoints_root()


@pytest.fixture
def checkpoint() -> Callable[[str], Path]:
    """Name to folder of a golden checkpoint; skips the test where it is not there."""
    return find_checkpoint
