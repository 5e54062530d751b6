"""The first Ctrl-C waits, the second does not."""

from __future__ import annotations

import signal
import threading

import pytest

from plm.training.interrupt import Interrupt


def test_the_first_ctrl_c_only_asks() -> None:
    with Interrupt() as interrupt:
        signal.raise_signal(signal.SIGINT)
        assert interrupt.requested


def test_the_second_ctrl_c_raises() -> None:
    def press_twice() -> None:
        with Interrupt():
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        press_twice()


def test_the_old_handler_comes_back() -> None:
    before = signal.getsignal(signal.SIGINT)
    with Interrupt():
        assert signal.getsignal(signal.SIGINT) != before
    assert signal.getsignal(signal.SIGINT) == before


def test_other_threads_may_enter_it() -> None:
    entered: list[bool] = []

    def enter() -> None:
        with Interrupt() as interrupt:
            entered.append(not interrupt.requested)

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    assert entered == [True]
