"""A tap knows its names, keeps what it was asked for and nothing else, and explains misses."""

from __future__ import annotations

import pytest
import torch

from plm.blocks.tap import Tap
from plm.errors import UnknownNameError


class TwoPlaces:
    """Something that can be tapped."""

    def tap_names(self) -> tuple[str, ...]:
        return ("embeddings", "blocks.0.scores", "blocks.0.probabilities", "blocks.0.output", "blocks.1.output")


def test_a_name_that_the_model_lacks_is_refused_at_once() -> None:
    with pytest.raises(UnknownNameError, match=r"nothing to tap at 'blocks.0.score'; did you mean 'blocks.0.scores'\?"):
        Tap(TwoPlaces(), "embeddings", "blocks.0.score")


def test_only_what_was_asked_for_is_kept() -> None:
    tap, value = Tap(TwoPlaces(), "embeddings", "blocks.1.output"), torch.zeros(1)
    tap.put("embeddings", value)
    tap.put("blocks.0.output", torch.ones(1))
    assert tap["embeddings"] is value
    assert dict(tap) == {"embeddings": value}
    assert (len(tap), "blocks.0.output" in tap, "blocks.1.output" in tap) == (1, False, False)


def test_a_later_pass_replaces_the_values() -> None:
    tap = Tap(TwoPlaces(), "embeddings")
    for number in range(2):
        tap.put("embeddings", torch.full((1,), float(number)))
    assert tap["embeddings"].item() == 1


def test_a_value_that_is_not_there_is_explained() -> None:
    tap = Tap(TwoPlaces(), "blocks.0.scores")
    with pytest.raises(UnknownNameError, match=r"'blocks\.0\.scores' holds no value yet: pass the tap to a forward"):
        tap["blocks.0.scores"]
    with pytest.raises(UnknownNameError, match=r"was not asked for; did you mean 'blocks\.0\.scores'\?"):
        tap["blocks.0.output"]
    assert tap.get("blocks.0.scores") is None


def test_wants_is_true_for_any_of_the_names() -> None:
    tap = Tap(TwoPlaces(), "blocks.0.scores")
    assert tap.wants("blocks.0.scores", "blocks.0.probabilities")
    assert not tap.wants("blocks.0.probabilities", "blocks.0.output")


@pytest.mark.parametrize(
    ("name", "expected"),
    [("blocks.0.scores", True), ("blocks.0.probabilities", True), ("blocks.0.output", False), ("embeddings", False)],
)
def test_only_scores_and_probabilities_need_attention_step_by_step(name: str, expected: bool) -> None:
    assert Tap(TwoPlaces(), name).wants_attention is expected
