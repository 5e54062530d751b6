"""Relative attention: the published numbers, and the blocked computation against the plain one."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.checkpoint import checkpoint

from plm.blocks.relative import relative_attention, relative_attention_reference, relative_table
from plm.errors import ShapeError
from tests.tolerances import assert_close


def inputs(
    queries: int,
    keys: int | None = None,
    *,
    batch: int = 2,
    heads: int = 3,
    size: int = 6,
    dtype: torch.dtype = torch.float32,
    seed: int = 0,
) -> tuple[Tensor, Tensor, Tensor]:
    """Query, key and value as attention makes them: transposed views, with gradients."""
    generator = torch.Generator().manual_seed(seed)
    lengths = (queries, *2 * (queries if keys is None else keys,))
    return tuple(
        torch.randn(batch, length, heads, size, generator=generator).to(dtype).transpose(1, 2).requires_grad_()
        for length in lengths
    )


def with_gradients(context: Tensor, tensors: tuple[Tensor, ...]) -> list[Tensor]:
    """A context and its gradients, for a fixed gradient of the context."""
    direction = torch.randn(context.shape, generator=torch.Generator().manual_seed(1)).to(context.dtype)
    return [context.detach(), *torch.autograd.grad(context, tensors, direction)]


def assert_equal_to_reference(
    tensors: tuple[Tensor, ...], table: Tensor, *, factor: float = 1.0, **options: Any
) -> None:
    blocks = options.pop("block_rows", None)
    fast = with_gradients(relative_attention(*tensors, table, block_rows=blocks, **options), tensors)
    plain = with_gradients(relative_attention_reference(*tensors, table, **options)[0], tensors)
    for one, other in zip(fast, plain, strict=True):
        assert torch.isfinite(one).all()
        assert one.dtype == other.dtype
        assert_close(one, other, factor=factor)


def test_the_table_holds_the_numbers_of_the_original() -> None:
    table = relative_table(64, 64)
    assert table.shape == (129, 64)
    assert table.dtype == torch.float32
    assert_close(table[64, :4], [0.920026, 0.391857, -0.763903, -0.645331])
    assert table[0, :4].tolist() == [0.0, 1.0, 0.0, 1.0]
    assert_close(table[7, 10], math.sin(7 / 10000 ** (10 / 64)))
    assert_close(table[7, 11], math.cos(7 / 10000 ** (10 / 64)))


def test_an_odd_head_size_leaves_the_last_column_of_the_table_empty() -> None:
    table = relative_table(3, 5)
    assert table.shape == (7, 5)
    assert not table[:, 4].any()
    assert table[:, :4].any(0).all()


@pytest.mark.parametrize(("query", "key", "row"), [(0, 0, 64), (0, 5, 69), (5, 0, 59), (0, 100, 128), (100, 0, 0)])
def test_a_pair_of_positions_reads_the_row_of_its_clipped_distance(query: int, key: int, row: int) -> None:
    """With one-hot rows as the table and one key allowed, the context is that key's row."""
    table = torch.eye(129)
    zeros = torch.zeros(1, 1, 101, 129)
    allowed = torch.zeros(101, 101, dtype=torch.bool)
    allowed[query, key] = True
    for attend in (relative_attention, lambda *args, **options: relative_attention_reference(*args, **options)[0]):
        context = attend(zeros, zeros, zeros, table, allowed=allowed)
        assert torch.equal(context[0, 0, query], table[row])


def test_the_reference_is_the_definition() -> None:
    query, key, value = inputs(9, 7)
    table = relative_table(3, 6)
    rows = torch.stack([torch.stack([table[max(-3, min(3, j - i - 2)) + 3] for j in range(7)]) for i in range(9)])
    scores = (query @ key.mT + torch.einsum("bhid,ijd->bhij", query, rows)) / math.sqrt(6)
    context, found, probabilities = relative_attention_reference(query, key, value, table, query_offset=2)
    assert_close(found, scores)
    assert_close(probabilities, scores.softmax(-1))
    assert_close(context, scores.softmax(-1) @ value + torch.einsum("bhij,ijd->bhid", scores.softmax(-1), rows))


def test_gradients_of_the_reference_are_right() -> None:
    tensors = inputs(4, 5, batch=1, heads=2, size=3, dtype=torch.float64)
    table = torch.randn(5, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(3)).requires_grad_()
    allowed = torch.ones(5, dtype=torch.bool)
    allowed[1] = False

    def context(*tensors: Tensor) -> Tensor:
        return relative_attention_reference(*tensors, allowed=allowed, is_causal=True, query_offset=1)[0]

    assert torch.autograd.gradcheck(context, (*tensors, table))
    assert torch.autograd.gradgradcheck(context, (*tensors, table))


@pytest.mark.parametrize("dropout", [0.0, 0.4])
@pytest.mark.parametrize("is_causal", [False, True])
def test_gradients_of_the_blocks_are_right(dropout: float, is_causal: bool) -> None:
    tensors = inputs(5, 6, batch=2, heads=2, size=3, dtype=torch.float64)
    table = torch.randn(5, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(3))

    def context(*tensors: Tensor) -> Tensor:
        torch.manual_seed(7)
        return relative_attention(*tensors, table, is_causal=is_causal, query_offset=1, dropout=dropout, block_rows=2)

    assert torch.autograd.gradcheck(context, tensors)


@settings(deadline=None, max_examples=120)
@given(data=st.data())
def test_blocks_equal_the_reference(data: st.DataObject) -> None:
    queries = data.draw(st.integers(1, 24), "queries")
    keys = data.draw(st.integers(1, 24), "keys")
    batch, heads = data.draw(st.integers(1, 3), "batch"), data.draw(st.integers(1, 3), "heads")
    size, radius = data.draw(st.integers(1, 5), "size"), data.draw(st.integers(0, 30), "radius")
    shape = data.draw(
        st.sampled_from(
            [None, (keys,), (queries, keys), (heads, 1, keys), (batch, 1, 1, keys), (batch, heads, queries, 1)]
        ),
        "mask",
    )
    allowed = None
    if shape is not None:
        seed = data.draw(st.integers(0, 99), "mask seed")
        allowed = torch.rand(shape, generator=torch.Generator().manual_seed(seed)) > 0.5
    assert_equal_to_reference(
        inputs(queries, keys, batch=batch, heads=heads, size=size),
        relative_table(radius, size),
        allowed=allowed,
        is_causal=data.draw(st.booleans(), "causal"),
        query_offset=data.draw(st.integers(0, 30), "offset"),
        block_rows=data.draw(st.sampled_from([None, 1, 2, 7]), "block rows"),
    )


@pytest.mark.parametrize(("length", "radius"), [(1, 64), (10, 64), (65, 64), (300, 16), (129, 1), (70, 0)])
@pytest.mark.parametrize("is_causal", [False, True])
def test_any_length_is_right(length: int, radius: int, is_causal: bool) -> None:
    assert_equal_to_reference(inputs(length), relative_table(radius, 6), is_causal=is_causal)


def test_heads_that_do_not_fit_the_cache_together_are_right(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("plm.blocks.distance_band._BLOCK_BYTES", 2 * 8 * 20 * 4)
    allowed = torch.rand(3, 5, 20, 20, generator=torch.Generator().manual_seed(0)) > 0.3
    assert_equal_to_reference(inputs(20, batch=3, heads=5), relative_table(4, 6), allowed=allowed, block_rows=8)


@pytest.mark.parametrize("past", [1, 5, 11])
def test_queries_behind_a_cache_equal_those_of_a_full_pass(past: int) -> None:
    query, key, value = inputs(12)
    table = relative_table(4, 6)
    full = relative_attention(query, key, value, table, is_causal=True)
    step = relative_attention(query[:, :, past:], key, value, table, is_causal=True, query_offset=past)
    assert_close(step, full[:, :, past:])


def test_keys_that_are_hidden_do_not_matter() -> None:
    query, key, value = inputs(40)
    table = relative_table(8, 6)
    allowed = (torch.arange(40) < 30).expand(2, 1, 1, 40)
    context = relative_attention(query, key, value, table, allowed=allowed)
    assert_close(context[:, :, :30], relative_attention(*(rows[:, :, :30] for rows in (query, key, value)), table))


def test_later_tokens_do_not_change_earlier_rows() -> None:
    query, key, value = inputs(30)
    table = relative_table(4, 6)
    before = relative_attention(query, key, value, table, is_causal=True, block_rows=7)
    with torch.no_grad():
        key[:, :, 20:] += 1.0
        value[:, :, 20:] -= 1.0
    after = relative_attention(query, key, value, table, is_causal=True, block_rows=7)
    assert torch.equal(before[:, :, :20], after[:, :, :20])
    assert not torch.allclose(before[:, :, 20:], after[:, :, 20:])


@pytest.mark.parametrize("is_causal", [False, True])
def test_rows_without_a_live_key_are_zero_and_have_finite_gradients(is_causal: bool) -> None:
    tensors = inputs(20)
    allowed = torch.ones(2, 1, 1, 20, dtype=torch.bool)
    allowed[0] = False
    allowed[1, ..., :5] = False  # padding on the left: causal rows 0 to 4 see nothing either
    options: dict[str, Any] = {"allowed": allowed, "is_causal": is_causal, "block_rows": 6}
    context = relative_attention(*tensors, relative_table(4, 6), **options)
    assert not context[0].any()
    assert context[1, :, 5:].all()
    assert context[1, :, :5].any() != is_causal
    assert_equal_to_reference(tensors, relative_table(4, 6), **options)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("is_causal", [False, True])
def test_halves_are_as_exact_as_halves_are(dtype: torch.dtype, is_causal: bool) -> None:
    exact = inputs(150, size=16)
    halves = tuple(rows.detach().to(dtype).requires_grad_() for rows in exact)
    table = relative_table(20, 16)
    allowed = torch.arange(150) % 7 > 0
    options: dict[str, Any] = {"allowed": allowed, "is_causal": is_causal}
    context = relative_attention(*halves, table, **options)
    assert context.dtype == dtype
    wanted = with_gradients(relative_attention_reference(*exact, table, **options)[0], exact)
    for one, other in zip(with_gradients(context, halves), wanted, strict=True):
        # Gradients of keys sum over 150 queries: their errors add up.
        assert_close(one, other, dtype=dtype, factor=3.0)


def test_autocast_computes_in_its_dtype_forward_and_backward() -> None:
    tensors = inputs(70, size=16)
    with torch.autocast("cpu", torch.bfloat16):
        context = relative_attention(*tensors, relative_table(8, 16))
        reference, _, _ = relative_attention_reference(*tensors, relative_table(8, 16))
        gradients = with_gradients(context, tensors)
    assert context.dtype == reference.dtype == torch.bfloat16
    for one, other in zip(gradients[1:], with_gradients(reference, tensors)[1:], strict=True):
        assert one.dtype == torch.float32
        assert_close(one, other, dtype=torch.bfloat16, factor=3.0)


def test_backward_may_run_under_autocast_though_forward_did_not() -> None:
    tensors = inputs(20)
    context = relative_attention(*tensors, relative_table(4, 6))
    with torch.autocast("cpu", torch.bfloat16):
        gradients = with_gradients(context, tensors)
    for one, other in zip(gradients, with_gradients(context_of(tensors), tensors), strict=True):
        assert_close(one, other, dtype=torch.float32)


def context_of(tensors: tuple[Tensor, ...]) -> Tensor:
    return relative_attention_reference(*tensors, relative_table(4, 6))[0]


def test_gradients_in_halves_are_summed_in_full() -> None:
    """One key that 400 queries see: added one by one in bfloat16, ones stop counting at 256."""
    query, key, value = inputs(400, 1, dtype=torch.bfloat16)
    context = relative_attention(query, key, value, relative_table(4, 6), block_rows=1)
    (gradient,) = torch.autograd.grad(context, value, torch.ones_like(context))
    assert torch.equal(gradient, torch.full_like(gradient, 400.0))


def _dropped(probability: float, **options: Any) -> Tensor:
    """Probabilities after dropout of queries that see all 64 keys alike, read off with unit values."""
    zeros, units = torch.zeros(2, 2, 200, 64), torch.eye(64).expand(2, 2, 64, 64)
    keys = torch.zeros(2, 2, 64, 64)
    return relative_attention(zeros, keys, units, torch.zeros(1, 64), dropout=probability, **options) * 64


def test_dropout_drops_its_share_and_keeps_the_mean() -> None:
    torch.manual_seed(0)
    weights = _dropped(0.25)
    assert_close(weights.unique(), [0.0, 1 / 0.75])
    share = (weights == 0).double().mean().item()
    assert abs(share - 0.25) < 4 * math.sqrt(0.25 * 0.75 / weights.numel())
    assert abs(weights.mean().item() - 1.0) < 0.02


def test_dropout_follows_the_default_generator() -> None:
    torch.manual_seed(0)
    first, second = _dropped(0.5), _dropped(0.5)
    torch.manual_seed(0)
    assert torch.equal(_dropped(0.5), first)
    assert not torch.equal(first, second)
    for one, other in ((first[0], first[1]), (first[:, 0], first[:, 1]), (first[:, :, :100], first[:, :, 100:])):
        assert abs((one == other).double().mean().item() - 0.5) < 0.05, "parts share their random bits"


def test_no_dropout_draws_no_random_numbers() -> None:
    state = torch.get_rng_state()
    _dropped(0.0)
    assert torch.equal(torch.get_rng_state(), state)


def test_checkpointing_repeats_the_dropout() -> None:
    tensors, table = inputs(50), relative_table(4, 6)
    results = []
    for remember in (True, False):
        torch.manual_seed(5)

        def attend(*rows: Tensor) -> Tensor:
            return relative_attention(*rows, table, dropout=0.3, block_rows=16)

        context = attend(*tensors) if remember else checkpoint(attend, *tensors, use_reentrant=False)
        results.append(with_gradients(context, tensors))
    for one, other in zip(*results, strict=True):
        assert torch.equal(one, other)


def test_dropout_in_both_terms_is_that_of_the_gradient() -> None:
    """A context is linear in the values: value . gradient = context, if backward drops what forward dropped."""
    query, key, value = inputs(60)
    zeros = torch.zeros(9, 6)
    context = relative_attention(query, key, value, zeros, dropout=0.5, block_rows=16)
    direction = torch.randn(context.shape, generator=torch.Generator().manual_seed(2))
    (gradient,) = torch.autograd.grad(context, value, direction)
    assert_close((gradient * value).sum(), (context * direction).sum(), factor=10.0)


class _Largest(TorchDispatchMode):
    """Remembers the number of elements of the largest result of any operator."""

    def __init__(self) -> None:
        super().__init__()
        self.elements = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        sizes = [leaf.numel() for leaf in tree_leaves(result) if isinstance(leaf, Tensor)]
        self.elements = max([self.elements, *sizes])
        return result


@pytest.mark.parametrize("dropout", [0.0, 0.1])
def test_nothing_grows_with_the_square_of_the_length(dropout: float) -> None:
    length = 600
    tensors = inputs(length, batch=1, heads=4, size=8)
    with _Largest() as largest:
        relative_attention(*tensors, relative_table(64, 8), dropout=dropout).sum().backward()
    assert 0 < largest.elements < 4 * length * length / 2


def test_what_backward_keeps_is_its_inputs() -> None:
    tensors = inputs(40)
    kept: list[Tensor] = []
    with torch.autograd.graph.saved_tensors_hooks(lambda saved: kept.append(saved) or saved, lambda saved: saved):
        relative_attention(*tensors, relative_table(4, 6))
    assert sum(saved.numel() for saved in kept) == 3 * tensors[0].numel() + 9 * 6


def test_the_context_lies_as_the_next_linear_reads_it() -> None:
    context = relative_attention(*inputs(12), relative_table(4, 6))
    assert context.transpose(1, 2).is_contiguous()


def test_a_table_that_learns_gets_its_gradient() -> None:
    tensors, table = inputs(12), relative_table(4, 6).requires_grad_()
    (gradient,) = torch.autograd.grad(relative_attention(*tensors, table).square().sum(), table)
    context, _, _ = relative_attention_reference(*tensors, table)
    assert_close(gradient, torch.autograd.grad(context.square().sum(), table)[0])


def test_it_compiles_as_one_graph() -> None:
    tensors, table = inputs(12), relative_table(4, 6)
    compiled = torch.compile(relative_attention, backend="eager", fullgraph=True)
    assert_close(compiled(*tensors, table, is_causal=True), relative_attention(*tensors, table, is_causal=True))


@pytest.mark.parametrize(("queries", "keys", "batch"), [(0, 5, 2), (5, 0, 2), (5, 5, 0)])
def test_nothing_in_gives_zeros_out(queries: int, keys: int, batch: int) -> None:
    context = relative_attention(*inputs(queries, keys, batch=batch), relative_table(4, 6))
    assert context.shape == (batch, 3, queries, 6)
    assert not context.any()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"key": (2, 3, 5, 7)}, "head size"),
        ({"value": (2, 3, 6, 6)}, r"\(2, 3, 6, 6\)"),
        ({"key": (1, 3, 5, 6), "value": (1, 3, 5, 6)}, r"\(1, 3, 5, 6\)"),
        ({"table": (8, 6)}, r"2 P \+ 1"),
        ({"table": (9, 5)}, "head size 6"),
        ({"allowed": (2, 5)}, r"\(2, 3, 4, 5\)"),
        ({"dropout": 1.0}, r"\[0, 1\)"),
    ],
)
def test_what_does_not_fit_is_refused_with_its_shapes(change: dict[str, Any], words: str) -> None:
    shapes: dict[str, Any] = {
        "query": (2, 3, 4, 6),
        "key": (2, 3, 5, 6),
        "value": (2, 3, 5, 6),
        "table": (9, 6),
    } | change
    options = {name: torch.zeros(shape) if isinstance(shape, tuple) else shape for name, shape in shapes.items()}
    if "allowed" in options:
        options["allowed"] = options["allowed"].bool()
    with pytest.raises(ShapeError, match=words):
        relative_attention(**options)
