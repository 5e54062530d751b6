"""First hidden states are the sum of what a family embeds, in either layout."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from plm.blocks.embeddings import Embeddings
from plm.blocks.layout import Packed, Padded
from plm.errors import ShapeError
from tests.tiny_models import mask_of, randomized
from tests.tolerances import assert_close

IDS = torch.tensor([[3, 1, 4], [1, 5, 2]])
TYPES = torch.tensor([[0, 0, 1], [0, 1, 1]])
PLAIN = Padded.build(batch=2, length=3)


def embeddings(*, positions: int = 5, token_types: int = 2, norm_eps: float | None = 1e-12) -> Embeddings:
    """Six words, four hidden values."""
    made: Embeddings = randomized(
        Embeddings(
            vocab_size=6,
            hidden_size=4,
            positions=positions,
            token_types=token_types,
            norm_eps=norm_eps,
            dropout=0.0,
        )
    )
    return made


def test_words_positions_and_types_are_added_and_normed() -> None:
    part = embeddings()
    assert part.position is not None
    assert part.token_type is not None
    assert part.norm is not None
    total = part.word.weight[IDS] + part.position.weight[:3] + part.token_type.weight[TYPES]
    expected = F.layer_norm(total, (4,), part.norm.weight, part.norm.bias, 1e-12)
    assert_close(part(IDS, TYPES, PLAIN), expected)


def test_without_type_ids_every_token_is_of_type_zero() -> None:
    part = embeddings()
    assert torch.equal(part(IDS, None, PLAIN), part(IDS, torch.zeros_like(IDS), PLAIN))


def test_a_model_without_types_looks_type_ids_up_among_the_words() -> None:
    part = embeddings(token_types=0, positions=0, norm_eps=None)
    assert_close(part(IDS, TYPES, PLAIN), part.word.weight[IDS] + part.word.weight[TYPES])


def test_a_model_without_positions_norm_or_types_just_looks_up() -> None:
    part = embeddings(token_types=0, positions=0, norm_eps=None)
    assert list(part.state_dict()) == ["word.weight"]
    assert torch.equal(part(IDS, None, PLAIN), part.word.weight[IDS])


def test_positions_start_at_the_first_live_token_in_both_layouts() -> None:
    part, mask = embeddings(), mask_of(3, (1, 3), (0, 2))
    padded = part(IDS, TYPES, Padded.build(batch=2, length=3, attention_mask=mask))
    packed = Packed.from_mask(mask)
    assert packed is not None
    assert_close(part(packed.rows(IDS), packed.rows(TYPES), packed), packed.rows(padded))
    alone = part(IDS[:1, 1:], TYPES[:1, 1:], Padded.build(batch=1, length=2))
    assert_close(padded[0, 1:], alone[0])


def test_a_text_longer_than_the_table_is_refused_with_the_way_out() -> None:
    part = embeddings(positions=2)
    with pytest.raises(ShapeError, match=r"the text has 3 tokens, the model has 2 positions: .*max_length=2"):
        part(IDS, None, PLAIN)
    with pytest.raises(ShapeError, match="has 3 tokens"):
        part(IDS[:, :1], None, Padded.build(batch=2, length=1, past=2))
    assert part(torch.tensor([3, 1, 4, 1]), None, Packed.from_lengths([2, 2])).shape == (4, 4)


def test_dropout_acts_in_training_only() -> None:
    part = Embeddings(vocab_size=6, hidden_size=400, positions=0, token_types=0, norm_eps=None, dropout=0.5)
    part = randomized(part)
    dropped = (part(IDS, None, PLAIN) == 0).float().mean()
    assert 0.4 < dropped < 0.6
    assert not (part.eval()(IDS, None, PLAIN) == 0).any()
