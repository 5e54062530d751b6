"""Entries of the history are means over their updates."""

from __future__ import annotations

from plm.training import Record
from plm.training.window import Window


def update(number: int, **values: float) -> Record:
    return Record("train", number, number / 10, 10 * number, 2.0 * number, {"learning_rate": number / 10, **values})


def test_a_record_holds_means_the_last_learning_rate_and_the_speed() -> None:
    window = Window(2)
    assert window.add(update(1, loss=1.0)) is None
    record = window.add(update(2, loss=3.0, accuracy=0.5))
    assert record == Record(
        "train", 2, 0.2, 20, 4.0, {"learning_rate": 0.2, "loss": 2.0, "accuracy": 0.5, "tokens_per_second": 5.0}
    )
    assert window.close() is None


def test_a_window_closes_early_when_asked() -> None:
    window = Window(5)
    window.add(update(1, loss=1.0))
    record = window.close()
    assert record is not None
    assert record.update == 1


def test_a_window_goes_on_in_the_middle() -> None:
    window, other = Window(3), Window(3)
    for number in range(1, 5):
        window.add(update(number, loss=float(number)))
    other.load_state_dict(window.state_dict())
    for number in (5, 6):
        expected = window.add(update(number, loss=float(number)))
        assert other.add(update(number, loss=float(number))) == expected
    assert expected is not None
    assert expected.values["loss"] == 5.0
