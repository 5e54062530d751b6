"""One block is every block: norm after or before, equal to PyTorch's encoder layer."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

from plm.blocks.block import Block, BlockConfig
from plm.blocks.kernels import DotProduct
from plm.blocks.layout import Packed, Padded
from plm.errors import UnknownNameError
from tests.tiny_models import mask_of, randomized
from tests.tolerances import assert_close

CONFIG = BlockConfig(
    hidden_size=12,
    num_attention_heads=3,
    intermediate_size=20,
    activation="gelu",
    norm_eps=1e-5,
    dropout=0.0,
    attention_dropout=0.0,
)


def block(config: BlockConfig = CONFIG) -> Block:
    """A block with random weights."""
    made: Block = randomized(Block(config, DotProduct()))
    return made


def encoder_layer(ours: Block, *, norm_first: bool) -> nn.TransformerEncoderLayer:
    """PyTorch's layer with the weights of ours."""
    theirs = nn.TransformerEncoderLayer(
        12, 3, 20, dropout=0.0, activation="gelu", layer_norm_eps=1e-5, batch_first=True, norm_first=norm_first
    )
    attention, inner = ours.attention, ours.feed_forward
    pairs = {
        "self_attn.out_proj": attention.output,
        "linear1": inner.up,
        "linear2": inner.down,
        "norm1": ours.attention_norm,
        "norm2": ours.feed_forward_norm,
    }
    state = {f"{name}.{kind}": getattr(part, kind) for name, part in pairs.items() for kind in ("weight", "bias")}
    projections = (attention.query, attention.key, attention.value)
    state["self_attn.in_proj_weight"] = torch.cat([part.weight for part in projections])
    state["self_attn.in_proj_bias"] = torch.cat([part.bias for part in projections])
    theirs.load_state_dict(state)
    return theirs


@pytest.mark.parametrize("norm", ["post", "pre"])
def test_it_equals_the_encoder_layer_of_pytorch_gradients_included(norm: str) -> None:
    ours = block(replace(CONFIG, norm=norm))  # type: ignore[arg-type]
    theirs = encoder_layer(ours, norm_first=norm == "pre")
    hidden, mask = torch.randn(2, 5, 12), mask_of(5, (0, 5), (0, 3))
    left, right = hidden.clone().requires_grad_(), hidden.clone().requires_grad_()
    output = ours(left, Padded.build(batch=2, length=5, attention_mask=mask))
    expected = theirs(right, src_key_padding_mask=mask == 0)
    assert_close(output, expected)
    weights = torch.randn(2, 5, 12)
    (output * weights).sum().backward()
    (expected * weights).sum().backward()
    assert_close(left.grad, right.grad)
    assert_close(ours.feed_forward.up.weight.grad, theirs.linear1.weight.grad)


@pytest.mark.parametrize("norm", ["post", "pre"])
def test_packed_rows_come_out_as_padded_ones(norm: str) -> None:
    ours = block(replace(CONFIG, norm=norm))  # type: ignore[arg-type]
    hidden, mask = torch.randn(3, 5, 12), mask_of(5, (0, 5), (0, 3), (2, 5))
    packed = Packed.from_mask(mask)
    assert packed is not None
    padded = ours(hidden, Padded.build(batch=3, length=5, attention_mask=mask))
    assert_close(ours(packed.rows(hidden), packed), packed.rows(padded))


def test_both_dropouts_act_in_training_only() -> None:
    plain, hidden, layout = block(), torch.randn(1, 5, 12), Padded.build(batch=1, length=5)
    expected = plain(hidden, layout)
    for changes in ({"dropout": 0.5}, {"attention_dropout": 0.5}):
        dropping = block(replace(CONFIG, **changes))
        assert not torch.allclose(dropping(hidden, layout), expected)
        assert_close(dropping.eval()(hidden, layout), expected)


def test_the_sizes_of_its_weights_are_those_of_the_config() -> None:
    shapes = {name: tuple(held.shape) for name, held in block().named_parameters()}
    assert shapes["attention.query.weight"] == (12, 12)
    assert shapes["feed_forward.up.weight"] == (20, 12)
    assert shapes["feed_forward.down.weight"] == (12, 20)
    assert len(shapes) == 16


def test_an_unknown_activation_is_refused() -> None:
    with pytest.raises(UnknownNameError, match="unknown activation 'gelo'"):
        block(replace(CONFIG, activation="gelo"))
