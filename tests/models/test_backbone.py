"""One forward pass for every family: recomputation, dtypes, norms, last tokens, and what it hands to heads."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from plm.blocks.layout import Padded
from plm.models.backbone import PACK_BELOW
from tests.tiny_models import FAMILY_NAMES, gradients, mask_of, packing, random_ids, tiny_model
from tests.tolerances import assert_close

IDS = random_ids(3, 7)
MASK = mask_of(7, (0, 7), (0, 4), (2, 7))

every_family = pytest.mark.parametrize("family", FAMILY_NAMES)
packed_and_padded = pytest.mark.parametrize("inside", [True, False], ids=["packed", "padded"])


# ---- recomputation in the backward pass


@every_family
@packed_and_padded
@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_recomputed_gradients_are_the_plain_ones(family: str, inside: bool, dropout: float) -> None:
    model, found = tiny_model(family, hidden_dropout_prob=dropout, attention_probs_dropout_prob=dropout), []
    for enabled in (False, True):
        model.backbone.gradient_checkpointing = enabled
        torch.manual_seed(0)
        with packing(inside=inside):
            states = model(IDS, MASK)["last_hidden_state"]
        found.append(gradients(model, states[MASK == 1].square().sum()))
    assert found[0].keys() == found[1].keys()
    for name, gradient in found[0].items():
        assert torch.equal(gradient, found[1][name])


@every_family
def test_recomputation_keeps_less_for_the_backward_pass(family: str) -> None:
    def kept(*, enabled: bool) -> int:
        model, sizes = tiny_model(family, num_hidden_layers=4), []
        model.backbone.gradient_checkpointing = enabled

        def note(tensor: Tensor) -> Tensor:
            sizes.append(tensor.numel())
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
            model(IDS)
        return sum(sizes)

    assert kept(enabled=True) < kept(enabled=False) / 3


# ---- numbers


@every_family
@packed_and_padded
@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
def test_every_dtype_computes_the_same_up_to_its_precision(family: str, inside: bool, dtype: torch.dtype) -> None:
    expected = tiny_model(family)(IDS, MASK)["last_hidden_state"]
    with packing(inside=inside):
        states = tiny_model(family).to(dtype)(IDS, MASK)["last_hidden_state"]
    assert states.dtype == dtype
    coarser = torch.float32 if dtype == torch.float64 else dtype
    assert_close(states[MASK == 1], expected[MASK == 1], dtype=coarser, factor=3)  # post-norm values around 3


@every_family
@packed_and_padded
def test_autocast_trains_in_bfloat16(family: str, inside: bool) -> None:
    model = tiny_model(family)
    expected = model(IDS, MASK)["last_hidden_state"]
    with packing(inside=inside), torch.autocast("cpu", dtype=torch.bfloat16):
        states = model(IDS, MASK)["last_hidden_state"]
    assert_close(states[MASK == 1], expected[MASK == 1], dtype=torch.bfloat16, factor=3)
    found = gradients(model, states[MASK == 1].float().square().sum())
    assert all(gradient.dtype == torch.float32 and gradient.isfinite().all() for gradient in found.values())


@every_family
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_trains(family: str, dtype: torch.dtype) -> None:
    model = tiny_model(family).to(dtype)
    found = gradients(model, model(IDS, MASK)["last_hidden_state"][MASK == 1].float().square().mean())
    assert found.keys() >= {"backbone.embeddings.word.weight", "backbone.blocks.1.feed_forward.down.bias"}
    assert all(gradient.isfinite().all() for gradient in found.values())


@every_family
def test_evaluation_is_deterministic_and_training_drops(family: str) -> None:
    model = tiny_model(family, hidden_dropout_prob=0.5).eval()
    assert torch.equal(model(IDS)["last_hidden_state"], model(IDS)["last_hidden_state"])
    model.train()
    assert not torch.equal(model(IDS)["last_hidden_state"], model(IDS)["last_hidden_state"])


@every_family
def test_pre_norm_models_end_with_a_norm(family: str) -> None:
    model = tiny_model(family, norm="pre").eval()
    norm = model.backbone.final_norm
    assert norm is not None
    states = (model(IDS)["last_hidden_state"] - norm.bias) / norm.weight
    assert_close(states.mean(-1), torch.zeros(3, 7))
    assert_close(states.var(-1, correction=0), torch.ones(3, 7), factor=10)  # eps of GPT-1 is 1e-5
    assert tiny_model(family).backbone.final_norm is None


# ---- which token is the first, and which the last


@every_family
def test_without_a_mask_texts_end_before_trailing_padding_tokens(family: str) -> None:
    ids = IDS.clone()
    ids[0, 5:], ids[1, 2], ids[2] = 0, 0, 0
    encoding = tiny_model(family, pad_token_id=0).backbone(ids)
    assert torch.equal(encoding.last_tokens, encoding.hidden[torch.arange(3), torch.tensor([4, 6, 6])])
    unaware = tiny_model(family, pad_token_id=None).backbone(ids)
    assert torch.equal(unaware.last_tokens, unaware.hidden[:, -1])
    assert torch.equal(unaware.hidden, encoding.hidden)  # it is never what attention sees


@every_family
def test_a_mask_knows_better_than_the_padding_token(family: str) -> None:
    ids = IDS.clone()
    ids[0, 6] = 0
    with packing(inside=False):
        encoding = tiny_model(family, pad_token_id=0).backbone(ids, MASK)
    assert torch.equal(encoding.last_tokens, encoding.hidden[torch.arange(3), torch.tensor([6, 3, 6])])


@pytest.mark.parametrize("family", ["bert", "nezha", "tinybert"])
def test_the_pooler_reads_the_first_live_token(family: str) -> None:
    backbone = tiny_model(family).backbone
    pooler = backbone.pooler
    assert pooler is not None
    encoding = backbone(IDS, MASK)
    expected = torch.tanh(pooler.dense(encoding.last_hidden_state[torch.arange(3), torch.tensor([0, 0, 2])]))
    assert_close(encoding.pooled, expected)
    assert tiny_model(family, pooler=False).backbone(IDS).pooled is None


# ---- packing


@pytest.mark.parametrize(("padded_tokens", "packed"), [(0, False), (1, False), (2, True)])
def test_batches_are_packed_when_enough_of_them_is_padding(padded_tokens: int, packed: bool) -> None:
    assert PACK_BELOW == 0.95
    mask = torch.ones(3, 7)
    mask[0, 7 - padded_tokens :] = 0  # 2 of 21: nine in ten are live
    encoding = tiny_model("bert").backbone(IDS, mask)
    assert isinstance(encoding.layout, Padded) is not packed


@packed_and_padded
def test_chosen_rows_are_found_in_the_callers_order(inside: bool) -> None:
    chosen = torch.zeros(3, 7, dtype=torch.bool)
    chosen[0, [1, 6]] = chosen[1, [0, 3]] = chosen[2, [2, 4]] = True
    with packing(inside=inside):
        encoding = tiny_model("bert").backbone(IDS, MASK)
    places = encoding.positions_of(encoding.rows(chosen))
    assert torch.equal(encoding.rows(IDS).flatten()[places], IDS[chosen])
    assert torch.equal(encoding.hidden.flatten(0, -2)[places], encoding.last_hidden_state[chosen])


def test_the_encoding_hands_on_the_table_of_words() -> None:
    backbone = tiny_model("bert").backbone
    assert backbone(IDS).word_embeddings is backbone.embeddings.word.weight


@every_family
def test_a_text_of_one_token_is_a_text(family: str) -> None:
    model = tiny_model(family)
    arguments: dict[str, Any] = {"attention_mask": torch.ones(3, 1)}
    assert torch.equal(model(IDS[:, :1])["last_hidden_state"], model(IDS[:, :1], **arguments)["last_hidden_state"])
