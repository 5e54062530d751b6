"""Multi-head attention equals PyTorch's, drops in training only, and refuses what has no meaning."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from plm.blocks.attention import Attention
from plm.blocks.cache import KeyValueCache
from plm.blocks.kernels import DotProduct, Kernel, Relative
from plm.blocks.layout import Packed, Padded
from plm.blocks.tap import Tap
from plm.errors import ShapeError
from tests.tiny_models import mask_of, randomized
from tests.tolerances import assert_close

HIDDEN, HEADS = 12, 3


def attention(*, kernel: Kernel | None = None, dropout: float = 0.0) -> Attention:
    """Three heads of size four."""
    made: Attention = randomized(
        Attention(hidden_size=HIDDEN, num_attention_heads=HEADS, dropout=dropout, kernel=kernel or DotProduct())
    )
    return made


class Places:
    """Names of the one layer here."""

    def tap_names(self) -> tuple[str, ...]:
        return ("blocks.0.scores", "blocks.0.probabilities")


@pytest.mark.parametrize("causal", [False, True])
def test_it_equals_the_attention_of_pytorch(causal: bool) -> None:
    ours, theirs = attention(), nn.MultiheadAttention(HIDDEN, HEADS, batch_first=True)
    with torch.no_grad():
        theirs.in_proj_weight.copy_(torch.cat([ours.query.weight, ours.key.weight, ours.value.weight]))
        theirs.in_proj_bias.copy_(torch.cat([ours.query.bias, ours.key.bias, ours.value.bias]))
        theirs.out_proj.weight.copy_(ours.output.weight)
        theirs.out_proj.bias.copy_(ours.output.bias)
    hidden, mask = torch.randn(2, 5, HIDDEN), mask_of(5, (0, 5), (0, 3))
    layout = Padded.build(batch=2, length=5, attention_mask=mask, pattern="causal" if causal else "full")
    hidden_keys = ~torch.ones(5, 5, dtype=torch.bool).tril() if causal else None
    expected, _ = theirs(hidden, hidden, hidden, key_padding_mask=mask == 0, attn_mask=hidden_keys)
    assert_close(ours(hidden, layout), expected)


@pytest.mark.parametrize("kernel", [DotProduct(), Relative(max_relative_position=2, head_size=4)])
def test_taking_scores_out_changes_nothing(kernel: Kernel) -> None:
    part, hidden = attention(kernel=kernel), torch.randn(2, 5, HIDDEN)
    layout = Padded.build(batch=2, length=5, attention_mask=mask_of(5, (1, 5), (0, 3)), pattern="causal")
    tap = Tap(Places(), "blocks.0.scores", "blocks.0.probabilities")
    assert_close(part(hidden, layout, tap=tap), part(hidden, layout))
    scores, probabilities = tap["blocks.0.scores"], tap["blocks.0.probabilities"]
    assert scores.shape == probabilities.shape == (2, HEADS, 5, 5)
    assert scores.abs().min() > 0  # masked ones too: the mask comes after
    assert not probabilities[1, :, :, 3:].any()


def test_dropout_acts_in_training_only() -> None:
    part, hidden, layout = attention(dropout=0.5), torch.randn(1, 5, HIDDEN), Padded.build(batch=1, length=5)
    plain = attention()(hidden, layout)
    assert_close(part.eval()(hidden, layout), plain)
    assert not torch.allclose(part.train()(hidden, layout), plain)


def test_packed_sequences_have_no_cache_and_no_rectangle_of_scores() -> None:
    part, hidden, layout = attention(), torch.randn(5, HIDDEN), Packed.from_lengths([2, 3])
    with pytest.raises(ShapeError, match="a cache needs the padded layout"):
        part(hidden, layout, cache=KeyValueCache(layers=1, capacity=5))
    with pytest.raises(ShapeError, match=r"blocks\.0\.scores is a rectangle for each sequence"):
        part(hidden, layout, tap=Tap(Places(), "blocks.0.probabilities"))


def test_blocks_share_one_kernel_and_keep_it_out_of_their_weights() -> None:
    kernel = Relative(max_relative_position=2, head_size=4)
    left, right = attention(kernel=kernel), attention(kernel=kernel)
    assert left.kernel is right.kernel
    assert {name.split(".")[0] for name in left.state_dict()} == {"query", "key", "value", "output"}
