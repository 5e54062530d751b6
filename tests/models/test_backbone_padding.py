"""Padding is invisible: packed, padded and single texts give the same states and gradients, whatever it holds."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from plm.blocks.layout import PATTERNS, Packed, Padded, Pattern
from plm.errors import ConfigError, ShapeError
from plm.models.backbone import Backbone
from tests.tiny_models import FAMILY_NAMES, gradients, mask_of, packing, random_ids, tiny_model
from tests.tolerances import assert_close

LENGTH = 9  # three times NEZHA's clip distance here
SPANS = {
    "right": [(0, 9), (0, 5), (0, 1), (0, 5)],
    "left": [(0, 9), (4, 9), (8, 9), (2, 9)],
    "both": [(1, 8), (4, 9), (0, 3), (3, 4)],
}
IDS = random_ids(4, LENGTH)
PREFIXES = torch.tensor([1, 2, 1, 0])

every_family = pytest.mark.parametrize("family", FAMILY_NAMES)
every_pattern = pytest.mark.parametrize("pattern", PATTERNS)
every_side = pytest.mark.parametrize("side", SPANS)


def backbone(family: str, *, train: bool = False) -> Backbone:
    """Random weights, no dropout."""
    return tiny_model(family).backbone.train(train)


def options(pattern: Pattern, prefixes: Tensor = PREFIXES) -> dict[str, Any]:
    """Arguments that ask for a pattern."""
    return {"pattern": pattern, "prefix_lengths": prefixes if pattern == "prefix" else None}


def types_of(mask: Tensor) -> Tensor | None:
    """Token types: 1 from the middle on."""
    return (torch.arange(mask.shape[1]) >= mask.shape[1] // 2).long().expand_as(mask)


@every_family
@every_pattern
@every_side
@pytest.mark.parametrize("train", [False, True])
def test_packed_equals_padded_gradients_included(family: str, pattern: Pattern, side: str, train: bool) -> None:
    mask, weights = mask_of(LENGTH, *SPANS[side]), torch.randn(4, LENGTH, 12)
    part, results = backbone(family, train=train), []
    for inside in (True, False):
        with packing(inside=inside):
            encoding = part(IDS, mask, types_of(mask), **options(pattern))
        assert isinstance(encoding.layout, Packed if inside else Padded)
        ends = [encoding.first_tokens, encoding.last_tokens, *([] if encoding.pooled is None else [encoding.pooled])]
        states = encoding.last_hidden_state * mask[..., None]
        loss = (states * weights).sum() + sum(tensor.sum() for tensor in ends)
        results.append((states, *ends, gradients(part, loss)))
    (*packed, packed_gradients), (*padded, padded_gradients) = results
    for left, right in zip(packed, padded, strict=True):
        assert_close(left, right)
    assert packed_gradients.keys() == padded_gradients.keys()
    for name, gradient in packed_gradients.items():
        assert_close(gradient, padded_gradients[name], factor=3)  # sums over many tokens, in another order


@every_family
@every_pattern
@every_side
@pytest.mark.parametrize("inside", [True, False], ids=["packed", "padded"])
def test_a_text_in_a_batch_is_the_text_alone(family: str, pattern: Pattern, side: str, inside: bool) -> None:
    part, mask = backbone(family), mask_of(LENGTH, *SPANS[side])
    with packing(inside=inside):
        encoding = part(IDS, mask, **options(pattern))
    for row, (start, stop) in enumerate(SPANS[side]):
        alone = part(IDS[row : row + 1, start:stop], **options(pattern, PREFIXES[row : row + 1]))
        assert_close(encoding.last_hidden_state[row, start:stop], alone.last_hidden_state[0])
        assert_close(encoding.last_tokens[row], alone.last_tokens[0])
        if encoding.pooled is not None:
            assert_close(encoding.pooled[row], alone.pooled[0])


@every_family
@pytest.mark.parametrize("inside", [True, False], ids=["packed", "padded"])
@given(spans=st.lists(st.tuples(st.integers(0, 3), st.integers(4, 6)), min_size=1, max_size=3), seed=st.integers(0, 99))
@settings(deadline=None, max_examples=8)
def test_what_padding_holds_changes_nothing(family: str, inside: bool, spans: list[tuple[int, int]], seed: int) -> None:
    part, mask = backbone(family), mask_of(6, *spans)
    left, right = random_ids(len(spans), 6, seed=seed), random_ids(len(spans), 6, seed=seed + 1)
    right = torch.where(mask == 1, left, right)
    with packing(inside=inside):
        states = [part(ids, mask).last_hidden_state[mask == 1] for ids in (left, right)]
    assert torch.equal(*states)


@every_family
@pytest.mark.parametrize("inside", [True, False], ids=["packed", "padded"])
def test_more_padding_changes_nothing(family: str, inside: bool) -> None:
    part, mask = backbone(family), mask_of(LENGTH, *SPANS["right"])
    wide_ids, wide_mask = (torch.nn.functional.pad(tensor, (4, 7)) for tensor in (IDS, mask))
    with packing(inside=inside):
        narrow, wide = part(IDS, mask), part(wide_ids, wide_mask)
    assert_close(wide.last_hidden_state[wide_mask == 1], narrow.last_hidden_state[mask == 1])


@every_family
def test_a_hole_in_the_mask_hides_its_token_from_all_others(family: str) -> None:
    part, mask, changed = backbone(family), torch.ones(4, LENGTH, dtype=torch.int64), IDS.clone()
    mask[1, 3:5] = mask[2, 1] = mask[3, :2] = 0
    changed[mask == 0] = 30
    encoding = part(IDS, mask)
    assert isinstance(encoding.layout, Padded)  # more than padding: not packed
    assert torch.equal(encoding.last_hidden_state[mask == 1], part(changed, mask).last_hidden_state[mask == 1])
    assert not torch.allclose(encoding.last_hidden_state[1, 5:], part(IDS).last_hidden_state[1, 5:])


@every_family
def test_a_row_without_any_live_token_disturbs_no_other(family: str) -> None:
    part = backbone(family, train=True)
    mask = mask_of(LENGTH, (0, 9), (0, 0), (0, 4), (0, 0))
    encoding = part(IDS, mask)
    alone = part(IDS[2:3, :4])
    assert_close(encoding.last_hidden_state[2, :4], alone.last_hidden_state[0])
    grads = gradients(part, encoding.last_hidden_state.square().sum())
    assert all(gradient.isfinite().all() for gradient in grads.values())


@every_family
@every_pattern
def test_masks_of_pairs_say_the_same_as_masks_of_tokens(family: str, pattern: Pattern) -> None:
    part, mask = backbone(family), mask_of(LENGTH, *SPANS["right"])
    pairs = mask[:, None, :].expand(-1, LENGTH, -1)
    expected = part(IDS, mask, **options(pattern)).last_hidden_state[mask == 1]
    for form in (pairs, pairs.bool(), pairs[:, None], pairs[:, None].expand(-1, 3, -1, -1), pairs.float()):
        assert_close(part(IDS, form, **options(pattern)).last_hidden_state[mask == 1], expected)


@every_family
def test_heads_may_have_masks_of_their_own(family: str) -> None:
    part = backbone(family)
    pairs = torch.ones(1, 3, LENGTH, LENGTH, dtype=torch.bool)
    pairs[:, 1, :, 4] = False  # one head of three does not see the fifth token
    ids = IDS[:1]
    last = [part(ids, mask).last_hidden_state[0, -1] for mask in (None, pairs, pairs.all(1))]
    for left, right in ((0, 1), (1, 2), (0, 2)):
        assert not torch.allclose(last[left], last[right])


# ---- texts that the caller packs


@every_family
@every_pattern
def test_texts_packed_by_the_caller_are_the_texts_alone(family: str, pattern: Pattern) -> None:
    part, lengths = backbone(family), [5, 2, 2, 7, 1]
    texts = [random_ids(1, length, seed=length) for length in lengths]
    types = [types_of(text) for text in texts]
    prefixes = [2, 1, 0, 7, 1] if pattern == "prefix" else []
    layout = Packed.from_lengths(lengths, pattern=pattern, prefix_lengths=prefixes)
    encoding = part(torch.cat(texts, 1)[0], token_type_ids=torch.cat(types, 1)[0], layout=layout)
    for number, rows in enumerate(encoding.last_hidden_state.split(lengths)):
        alone = part(
            texts[number], None, types[number], **options(pattern, torch.tensor(prefixes[number : number + 1]))
        )
        assert_close(rows, alone.last_hidden_state[0])
        assert_close(encoding.first_tokens[number], alone.first_tokens[0])
        assert_close(encoding.last_tokens[number], alone.last_tokens[0])
        if encoding.pooled is not None:
            assert_close(encoding.pooled[number], alone.pooled[0])


@every_family
def test_more_leading_dimensions_are_a_larger_batch(family: str) -> None:
    part, ids = backbone(family), random_ids(2, 3, LENGTH)
    mask = mask_of(LENGTH, *SPANS["right"], (0, 7), (0, 2)).view(2, 3, LENGTH)
    nested, flat = part(ids, mask), part(ids.flatten(0, 1), mask.flatten(0, 1))
    assert nested.last_hidden_state.shape == (2, 3, LENGTH, 12)
    assert torch.equal(nested.last_hidden_state.flatten(0, 1), flat.last_hidden_state)
    assert torch.equal(nested.by_text(nested.last_tokens).flatten(0, 1), flat.last_tokens)
    assert torch.equal(nested.rows(ids), nested.layout.rows(ids.flatten(0, 1)))


# ---- calls that do not fit together


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"attention_mask": torch.ones(4, LENGTH - 1)}, "attention_mask .* does not fit 4 rows of 9 tokens"),
        ({"attention_mask": mask_of(LENGTH + 1, *SPANS["right"])}, "attention_mask .* does not fit 4 rows of 9 tokens"),
        ({"attention_mask": (mask_of(LENGTH, *SPANS["left"]) - 1) * 1e4}, "additive masks are not taken"),
        ({"token_type_ids": torch.zeros(1, LENGTH, dtype=torch.int64)}, "token_type_ids are .*like input_ids"),
        ({"prefix_lengths": PREFIXES}, "prefix_lengths are for pattern \"prefix\", not 'full'"),
        ({"pattern": "prefix"}, "needs prefix_lengths, or token_type_ids"),
        ({"layout": Packed.from_lengths([4, 5])}, "the layout packs 9 tokens, input_ids are"),
        ({"layout": Padded.build(batch=4, length=LENGTH), "pattern": "full"}, "not both"),
        ({"layout": Padded.build(batch=4, length=LENGTH), "attention_mask": torch.ones(4, LENGTH)}, "not both"),
        ({"layout": Padded.build(batch=4, length=LENGTH), "prefix_lengths": PREFIXES}, "not both"),
    ],
)
@pytest.mark.parametrize("inside", [True, False], ids=["packed", "padded"])
def test_arguments_that_do_not_fit_together_are_refused(arguments: dict[str, Any], message: str, inside: bool) -> None:
    with packing(inside=inside), pytest.raises(ShapeError, match=message):
        backbone("nezha")(IDS, **arguments)


def test_ids_need_a_batch_dimension_unless_they_are_packed() -> None:
    with pytest.raises(ShapeError, match=r"input_ids must be \(batch, length\) .*, got \(9,\)"):
        backbone("bert")(IDS[0])


def test_an_unknown_pattern_is_refused() -> None:
    with pytest.raises(ConfigError, match="'casual' is not one of"):
        backbone("bert")(IDS, pattern="casual")
