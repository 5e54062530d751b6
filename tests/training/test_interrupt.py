"""The first signal waits, a second Ctrl-C does not."""

from __future__ import annotations

import signal
import threading

import pytest

from plm.training.interrupt import REASONS, CutShort, Interrupt


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_only_asks(number: signal.Signals) -> None:
    with Interrupt() as interrupt:
        assert interrupt.reason is None
        signal.raise_signal(number)
        assert interrupt.reason == REASONS[number]


def test_a_second_ctrl_c_raises() -> None:
    def press_twice() -> None:
        with Interrupt():
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        press_twice()


def test_a_second_sigterm_changes_nothing() -> None:
    with Interrupt() as interrupt:
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGTERM)
        assert interrupt.reason == "terminated"


def test_work_that_can_be_done_again_is_cut_short_once() -> None:
    with Interrupt() as interrupt:
        with pytest.raises(CutShort), interrupt.at_once():
            signal.raise_signal(signal.SIGTERM)
        assert interrupt.reason == "terminated"
        with interrupt.at_once():
            signal.raise_signal(signal.SIGTERM)


def test_the_old_handlers_come_back() -> None:
    before = [signal.getsignal(number) for number in REASONS]
    with Interrupt():
        assert all(signal.getsignal(number) != old for number, old in zip(REASONS, before, strict=True))
    assert [signal.getsignal(number) for number in REASONS] == before


def test_other_threads_may_enter_it() -> None:
    entered: list[bool] = []

    def enter() -> None:
        with Interrupt() as interrupt:
            entered.append(interrupt.reason is None)

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    assert entered == [True]
