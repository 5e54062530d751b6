"""A tap shows the inner values of a forward pass under exact names and changes nothing."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from plm.blocks.layout import Packed
from plm.blocks.tap import Tap
from plm.errors import ShapeError, UnknownNameError
from plm.heads.model import Model
from tests.tiny_models import FAMILY_NAMES, gradients, mask_of, packing, random_ids, tiny_model
from tests.tolerances import assert_close

IDS = random_ids(3, 7)
MASK = mask_of(7, (0, 7), (0, 4), (2, 7))

every_family = pytest.mark.parametrize("family", FAMILY_NAMES)


def taken(model: Model, *names: str, **arguments: Any) -> tuple[Any, Tap]:
    """The last hidden state of a pass with a tap, and the tap."""
    tap = Tap(model, *names)
    return model(IDS, MASK, tap=tap, **arguments)["last_hidden_state"], tap


@every_family
def test_the_names_follow_the_computation(family: str) -> None:
    inner = ["query", "key", "scores", "probabilities", "output"]
    assert list(tiny_model(family).tap_names()) == ["embeddings", *(f"blocks.{n}.{i}" for n in (0, 1) for i in inner)]
    with pytest.raises(UnknownNameError, match=r"at 'blocks\.2\.scores'; did you mean 'blocks\.[01]\.scores'"):
        Tap(tiny_model(family), "blocks.2.scores")


@every_family
@pytest.mark.parametrize("inside", [True, False], ids=["packed", "padded"])
@pytest.mark.parametrize("names", [("embeddings", "blocks.0.output"), ("blocks.1.scores",), None])
def test_a_tap_changes_no_result(family: str, inside: bool, names: tuple[str, ...] | None) -> None:
    model = tiny_model(family)
    with packing(inside=inside):
        states, tap = taken(model, *(names or model.tap_names()))
        assert_close(states[MASK == 1], model(IDS, MASK)["last_hidden_state"][MASK == 1])
    assert set(tap) == set(names or model.tap_names())


@every_family
def test_the_last_output_is_the_last_hidden_state(family: str) -> None:
    states, tap = taken(tiny_model(family), "blocks.1.output")
    assert torch.equal(tap["blocks.1.output"], states)


@every_family
def test_packed_and_padded_passes_show_the_same_states_by_the_callers_tokens(family: str) -> None:
    model, shown = tiny_model(family), []
    for inside in (True, False):
        with packing(inside=inside):
            shown.append(taken(model, "embeddings", "blocks.0.output")[1])
    for name, states in shown[0].items():
        assert states.shape == (3, 7, 12)
        assert_close(states[MASK == 1], shown[1][name][MASK == 1])


@every_family
def test_probabilities_are_the_softmax_of_the_live_scores(family: str) -> None:
    model = tiny_model(family)
    _, tap = taken(model, "blocks.0.scores", "blocks.0.probabilities", pattern="causal")
    scores, probabilities = tap["blocks.0.scores"], tap["blocks.0.probabilities"]
    allowed = (MASK == 1)[:, None, None, :] & torch.ones(7, 7, dtype=torch.bool).tril()
    expected = scores.masked_fill(~allowed, -math.inf).softmax(-1).nan_to_num(0.0)  # rows without a live key: zero
    assert_close(probabilities, expected)
    assert scores[~allowed.expand_as(scores)].abs().min() > 0  # before the mask


def test_scores_are_scaled_products() -> None:
    model = tiny_model("bert")
    _, tap = taken(model, "embeddings", "blocks.0.scores")
    attention = model.backbone.blocks[0].attention
    query, key = (
        part(tap["embeddings"]).unflatten(-1, (3, 4)).transpose(1, 2) for part in (attention.query, attention.key)
    )
    assert_close(tap["blocks.0.scores"], query @ key.transpose(-1, -2) / 2.0)


@every_family
@pytest.mark.parametrize("inside", [True, False], ids=["packed", "padded"])
def test_scores_follow_from_queries_and_keys(family: str, inside: bool) -> None:
    model = tiny_model(family)
    with packing(inside=inside):
        _, tap = taken(model, "blocks.1.query", "blocks.1.key")
    query, key = (tap[name].transpose(1, 2) for name in ("blocks.1.query", "blocks.1.key"))
    assert query.shape == (3, 3, 7, 4)
    live = (MASK == 1)[:, None, :, None] & (MASK == 1)[:, None, None, :]
    scores = model.backbone.blocks[1].attention.kernel.scores(query, key)
    expected = taken(model, "blocks.1.scores")[1]["blocks.1.scores"]
    assert_close(scores[live.expand_as(scores)], expected[live.expand_as(expected)])


@every_family
@pytest.mark.parametrize(
    "name", ["embeddings", "blocks.0.query", "blocks.0.scores", "blocks.1.probabilities", "blocks.0.output"]
)
@pytest.mark.parametrize("recomputed", [False, True], ids=["plain", "checkpointed"])
def test_gradients_flow_through_what_was_taken(family: str, name: str, recomputed: bool) -> None:
    model, expected = tiny_model(family), tiny_model(family)
    if recomputed:
        model.gradient_checkpointing_enable()
    losses = []
    for each in (model, expected):
        states, tap = taken(each, name)
        losses.append(tap[name].square().sum() + states[MASK == 1].sum())
    assert_close(*losses)
    found, wanted = (gradients(each, loss) for each, loss in zip((model, expected), losses, strict=True))
    assert found.keys() == wanted.keys()
    for key, gradient in found.items():
        assert_close(gradient, wanted[key], factor=3)
    assert found["backbone.embeddings.word.weight"].abs().sum() > 0


def test_texts_packed_by_the_caller_show_states_but_have_no_scores() -> None:
    model, layout = tiny_model("nezha"), Packed.from_lengths([4, 3])
    tap = Tap(model, "blocks.0.output")
    model(IDS[0], layout=layout, tap=tap)
    assert tap["blocks.0.output"].shape == (7, 12)
    with pytest.raises(ShapeError, match=r"blocks\.0\.scores is a rectangle"):
        model(IDS[0], layout=layout, tap=Tap(model, "blocks.0.scores"))


@torch.no_grad()
def test_scores_behind_a_cache_have_a_column_for_every_key() -> None:
    model = tiny_model("openai-gpt").eval()
    cache, tap = model.new_cache(7), Tap(model, "blocks.1.scores", "blocks.1.probabilities")
    whole = Tap(model, *tap.names)
    model(IDS, tap=whole)
    for part in (slice(0, 4), slice(4, 7)):
        model(IDS[:, part], cache=cache, tap=tap)
    for name in tap:
        assert_close(tap[name], whole[name][:, :, 4:])
