"""The course of a run from its middle is the rest of the whole course."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from plm.data import Batches, batches_by_count
from plm.training.course import Course, Place
from tests.training.tiny import TinyBatches, config


class Stream(TinyBatches):
    """Epochs that only know how to go on."""

    def epoch(self, number: int) -> Iterator[dict[str, Tensor]]:  # type: ignore[override]
        return iter(super().epoch(number))


@settings(deadline=None, max_examples=30)
@given(st.sampled_from([TinyBatches, Stream]), st.integers(1, 3), st.integers(0, 9))
def test_the_rest_from_any_place_is_that_of_the_whole(kind: type[TinyBatches], accumulation: int, done: int) -> None:
    course = Course(kind(), config(gradient_accumulation_steps=accumulation))
    groups = list(islice(course.groups(Place()), 12))
    start = groups[done - 1].place if done else Place()
    rest = list(islice(course.groups(start), 12 - done))
    assert [(group.epoch, group.place, group.closes_epoch) for group in rest] == [
        (group.epoch, group.place, group.closes_epoch) for group in groups[done:]
    ]
    for group, other in zip(rest, groups[done:], strict=True):
        assert [batch["index"].tolist() for batch in group.batches] == [
            batch["index"].tolist() for batch in other.batches
        ]


def test_batches_before_the_place_are_not_made() -> None:
    made: list[int] = []

    def collate(chosen: object) -> dict[str, Tensor]:
        made.append(len(made))
        return {}

    batches = Batches(range(40), plan=lambda epoch: batches_by_count([1] * 40, batch_size=4), collate=collate)
    groups = Course(batches, config()).groups(Place(epoch=0, batch=8))
    ninth, tenth = next(groups), next(groups)
    assert ninth.place == Place(0, 9)
    assert tenth.closes_epoch
    assert made == []
    assert list(ninth.batches) == list(tenth.batches) == [{}]
    assert len(made) == 2
    assert next(groups).place == Place(1, 1)
