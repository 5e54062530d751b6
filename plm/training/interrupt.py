"""Ctrl-C and SIGTERM that wait for a good moment."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any

REASONS: Mapping[int, str] = {signal.SIGINT: "interrupted", signal.SIGTERM: "terminated"}
"""Signal -> why the run stops. Systems that hand out machines send SIGTERM before they take one away."""


class CutShort(BaseException):
    """Raised by the first signal inside `Interrupt.at_once`."""


class Interrupt:
    """While entered, the first Ctrl-C or SIGTERM only sets `reason`.

    A Ctrl-C after that raises KeyboardInterrupt as usual; a SIGTERM after that changes nothing, as those who send it
    have a stronger one. Python delivers signals to the main thread alone: entered in another, this does nothing.
    """

    def __init__(self) -> None:
        self.reason: str | None = None
        self._may_cut = False
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> Interrupt:
        if threading.current_thread() is threading.main_thread():
            self._previous = {number: signal.signal(number, self._on_signal) for number in REASONS}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    @contextmanager
    def at_once(self) -> Iterator[None]:
        """Inside, the first signal raises CutShort: for work that may be long and can be done again."""
        self._may_cut = True
        try:
            yield
        finally:
            self._may_cut = False

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        is_first = self.reason is None
        self.reason = self.reason or REASONS[number]
        if is_first and self._may_cut:
            raise CutShort
        if not is_first and number == signal.SIGINT:
            raise KeyboardInterrupt
