"""NEZHA computes what Huawei's code computes, on texts of any length, with one small table."""

from __future__ import annotations

import pytest
import torch

from plm.blocks.kernels import Relative
from plm.blocks.tap import Tap
from plm.errors import ConfigError
from plm.heads.model import Model, build_model
from plm.heads.output import PretrainingOutput
from plm.models.nezha import NezhaConfig
from tests.models.closed_form import IDS, MASK, TYPES, fill, golden
from tests.tiny_models import packing, random_ids, tiny_model
from tests.tolerances import assert_close

# The numbers below come from NEZHA-PyTorch's modeling_nezha.py with the same weights and inputs.
LABELS = torch.full((2, 8), -100)
LABELS[0, 1], LABELS[0, 3], LABELS[1, 2], LABELS[1, 5] = 5, 9, 8, 12
NEXT_SENTENCE = torch.tensor([0, 1])


@pytest.fixture(scope="module")
def model() -> Model:
    """Two layers, distances clipped at 3, both pretraining heads."""
    config = NezhaConfig(
        vocab_size=20,
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_relative_position=3,
    )
    return fill(build_model(config, ("pretraining",)))


def test_the_golden_model_has_the_parameters_of_the_original(model: Model) -> None:
    assert len(list(model.named_parameters())) == 45


@pytest.mark.parametrize("inside", [True, False], ids=["packed", "padded"])
def test_hidden_states_and_predictions_are_those_of_the_original(model: Model, inside: bool) -> None:
    tap = Tap(model, "embeddings", "blocks.1.output")
    with packing(inside=inside):
        output = model(IDS, MASK, TYPES, tap=tap)
        pooled = model.backbone(IDS, MASK, TYPES).pooled
    assert_close(tap["embeddings"][0, 1, :4], golden("1.925801 1.956401 1.675036 1.152297"))
    assert_close(tap["blocks.1.output"][0, 0, :4], golden("-1.756261 -.380315 1.130114 1.944674"))
    assert_close(tap["blocks.1.output"][1, 7, :4], golden("-2.039161 -1.01308 .477506 1.574668"))
    assert_close(pooled[:, :4].flatten(), golden(".264106 -.13027 -.47308 -.679824 .188579 -.056273 -.286507 -.457011"))
    assert isinstance(output, PretrainingOutput)
    assert_close(output.prediction_logits[0, 1, :5], golden("2.371011 1.800797 .994739 .057643 -.88842"))
    assert_close(output.seq_relationship_logits.flatten(), golden("-2.28289 -2.24835 -1.662659 -1.637183"))


def test_scores_are_those_of_the_original_before_its_mask(model: Model) -> None:
    tap = Tap(model, "blocks.0.scores", "blocks.1.scores")
    model(IDS, MASK, TYPES, tap=tap)
    first = "-15.994621 -9.994681 -4.37562 .278049 -15.701592 -12.216463 -10016.679688 -10016.679688"
    second = ".225901 .188797 .178282 .217488 .865055 .908517 .545928 -.004844"
    masked = tap["blocks.0.scores"][0, 0, 1] - 10000.0 * (1 - MASK[0])
    assert_close(masked[:6], golden(first)[:6])
    assert_close(masked[6:], golden(first)[6:])  # within 1e-5 of ten thousand
    assert_close(tap["blocks.1.scores"][1, 1, 7], golden(second))


@pytest.mark.parametrize("inside", [True, False], ids=["packed", "padded"])
def test_the_pretraining_loss_is_that_of_the_original(model: Model, inside: bool) -> None:
    with packing(inside=inside):
        output = model(IDS, MASK, TYPES, labels=LABELS, next_sentence_label=NEXT_SENTENCE)
    assert_close(output["loss"], torch.tensor(7.096484))


def test_no_length_is_too_long_and_far_tokens_still_count() -> None:
    model = tiny_model("nezha", pooler=False, max_position_embeddings=8).eval()
    ids = random_ids(1, 40)  # beyond max_position_embeddings, and far beyond the clip distance
    changed = ids.clone()
    changed[0, -1] = (ids[0, -1] + 1) % 31
    hidden = model(ids)["last_hidden_state"]
    assert not torch.allclose(hidden[0, 0], model(changed)["last_hidden_state"][0, 0], atol=1e-6)


def test_order_matters_only_through_distances() -> None:
    """The same text shifted to the right by padding is the same text."""
    model = tiny_model("nezha").eval()
    ids, shifted = random_ids(1, 9), torch.zeros(1, 30, dtype=torch.int64)
    shifted[:, 21:] = ids
    with packing(inside=False):
        output = model(shifted, shifted.ne(0).long())
    assert_close(output["last_hidden_state"][:, 21:], model(ids)["last_hidden_state"])


def test_all_blocks_share_one_table() -> None:
    model = tiny_model("nezha", num_hidden_layers=3)
    assert len({id(block.attention.kernel) for block in model.backbone.blocks}) == 1
    assert sum(isinstance(part, Relative) for part in model.modules()) == 1
    assert not [name for name in model.state_dict() if "table" in name or "position" in name]


def test_a_head_of_odd_size_works() -> None:
    model = tiny_model("nezha", hidden_size=9, num_attention_heads=3).eval()
    assert model(random_ids(2, 5))["last_hidden_state"].isfinite().all()


def test_distances_are_told_apart_up_to_the_clip_at_least_one() -> None:
    with pytest.raises(ConfigError, match="max_relative_position: expected a positive integer, got 0"):
        tiny_model("nezha", max_relative_position=0)
