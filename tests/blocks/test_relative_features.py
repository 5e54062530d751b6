"""plm/blocks/relative_features.py and plm/blocks/windows.py, on the CPU; GPUs are left to the proof at first use."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor
from torch._dynamo.testing import CompileCounter

from plm.blocks import proof, relative_features
from plm.blocks.kernels import Relative
from plm.blocks.relative import relative_attention, relative_attention_reference, relative_table
from plm.blocks.relative_features import Call, attend_by_features, takes
from plm.blocks.windows import Windows, attend_in_windows, window_program

BATCH, HEADS, SIZE = 2, 2, 8


def dense(
    query: Tensor, key: Tensor, value: Tensor, windows: Windows, live: Tensor | None, scale: float
) -> tuple[Tensor, Tensor]:
    """attend_in_windows with a matrix of scores; like kernels of GPUs it computes in float32 at least."""
    rows = torch.arange(windows.queries)[:, None]
    seen = (windows.first <= rows) & (rows <= windows.last)
    seen = seen if live is None else seen & live[:, None, None]
    dtype, wide = query.dtype, torch.promote_types(query.dtype, torch.float32)
    query, key, value = query.to(wide), key.to(wide), value.to(wide)
    scores = (query @ key.transpose(-1, -2) * scale).masked_fill(~seen, -torch.inf)
    sums = scores.logsumexp(-1)
    probabilities = (scores - sums.clamp(min=-1e30)[..., None]).exp()
    return (probabilities @ value).to(dtype), sums


def inputs(length: int, *, dtype: torch.dtype = torch.float64, size: int = SIZE) -> list[Tensor]:
    torch.manual_seed(0)
    return [torch.randn(BATCH, HEADS, length, size, dtype=dtype) for _ in range(3)]


def reference(given: list[Tensor], radius: int, **options: Any) -> Tensor:
    """In float64, with a table of float64."""
    size = given[0].shape[-1]
    rows = relative_features._waves(0, 2 * radius + 1, size, torch.device("cpu"))
    context, _, _ = relative_attention_reference(*(part.double() for part in given), rows, **options)
    return context


def mask(length: int) -> Tensor:
    allowed = torch.ones(BATCH, 1, 1, length, dtype=torch.bool)
    allowed[1, ..., : length // 3] = False
    return allowed


def test_waves_of_positions_are_those_of_the_table() -> None:
    for size in (8, 7):
        waves = relative_features._waves(0, 11, size, torch.device("cpu"))
        torch.testing.assert_close(waves.float(), relative_table(5, size), rtol=0, atol=0)


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("is_causal", [False, True])
@pytest.mark.parametrize(("length", "radius", "size"), [(6, 5, 8), (6, 9, 7), (17, 3, 8), (17, 4, 7), (9, 0, 8)])
def test_context_and_gradients_are_those_of_the_definition(
    length: int, radius: int, size: int, is_causal: bool, masked: bool
) -> None:
    allowed = mask(length) if masked else None
    given = [part.requires_grad_() for part in inputs(length, size=size)]
    expected = reference(given, radius, allowed=allowed, is_causal=is_causal)
    found = attend_by_features(*given, Call(radius, allowed=allowed, is_causal=is_causal), kernel=dense)
    # The edges of the table come in float32.
    torch.testing.assert_close(found, expected, rtol=0, atol=2e-7)
    weights = torch.randn_like(found)
    ours, theirs = (torch.autograd.grad(context, given, weights) for context in (found, expected))
    for our, their in zip(ours, theirs, strict=True):
        torch.testing.assert_close(our, their, rtol=0, atol=2e-6)


@pytest.mark.parametrize("is_causal", [False, True])
def test_queries_behind_a_cache_turn_by_their_own_positions(is_causal: bool) -> None:
    query, key, value = inputs(7)
    expected = reference([query[:, :, 4:], key, value], 8, is_causal=is_causal, query_offset=4)
    found = attend_by_features(query[:, :, 4:], key, value, Call(8, is_causal=is_causal, past=4))
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("is_causal", [False, True])
def test_flex_attention_gives_the_definition_in_float32(
    monkeypatch: pytest.MonkeyPatch, is_causal: bool, masked: bool
) -> None:
    monkeypatch.setattr("torch.nn.attention.flex_attention._FLEX_ATTENTION_DISABLE_COMPILE_DEBUG", True)
    length, radius, given = 150, 9, inputs(150, dtype=torch.float32, size=16)
    allowed = mask(length) if masked else None
    found = attend_by_features(*given, Call(radius, allowed=allowed, is_causal=is_causal))
    expected = reference(given, radius, allowed=allowed, is_causal=is_causal)
    if masked and is_causal:  # the first rows of the second text see nothing
        assert not found[1, :, : length // 3].any()
    torch.testing.assert_close(found.double(), expected, rtol=0, atol=2e-6)


def test_windows_leave_out_the_blocks_in_which_nothing_is_seen() -> None:
    near, far = relative_features._windows(1024, 64, False, torch.device("cpu"))
    assert near.blocks.sparsity() > 60.0  # of 8 blocks in a row, 3 at most
    assert far.blocks.sparsity() > 40.0  # of 16, about one side


def test_log_sums_are_natural_logarithms(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.nn.attention.flex_attention._FLEX_ATTENTION_DISABLE_COMPILE_DEBUG", True)
    query, key, value = inputs(5, dtype=torch.float32, size=16)
    everywhere = Windows(torch.full((5,), -9), torch.full((5,), 9), 5)
    _, found = attend_in_windows(query, key, value, everywhere, None, 0.5)
    torch.testing.assert_close(found, (query @ key.transpose(-1, -2) * 0.5).logsumexp(-1))


def test_few_programs_serve_all_lengths() -> None:
    """Whole, without breaks, as the kernel of a GPU is compiled."""
    counter = CompileCounter()
    program = torch.compile(window_program(), dynamic=True, fullgraph=True, backend=counter)
    for length in (130, 140, 150, 300, 400, 500, 600):
        near, far = relative_features._windows(length, 9, False, torch.device("cpu"))
        query, key, value = inputs(length, dtype=torch.float32, size=16)
        live = mask(length)[:, 0, 0]
        program(query, key, value, near.blocks, live, 0.25)
        pairs = [torch.cat((rows, rows), 2) for rows in (key, value)]
        program(query, *pairs, far.blocks, live.repeat(1, 2), 0.25)
    assert counter.frame_count <= 4, "near and far, and each once more where numbers of blocks happened to be equal"


@pytest.fixture
def pretend(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """Let the CPU be a device with such kernels."""
    monkeypatch.setattr(relative_features, "DEVICES", ("cpu",))
    proof.forget()
    yield monkeypatch
    proof.forget()


def asks(length: int, **options: Any) -> bool:
    query, key, _ = inputs(length, dtype=torch.bfloat16)
    return takes(query, key, Call(5, **options))


def test_short_texts_prove_themselves_in_every_dtype(pretend: pytest.MonkeyPatch) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for dtype in (torch.bfloat16, torch.float16, torch.float32):
            query, key, _ = inputs(5, dtype=dtype)
            for is_causal in (False, True):
                assert takes(query, key, Call(64, is_causal=is_causal, dropout=0.1))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
@pytest.mark.parametrize("is_causal", [False, True])
def test_long_texts_prove_themselves_with_a_right_kernel(
    pretend: pytest.MonkeyPatch, is_causal: bool, dtype: torch.dtype
) -> None:
    pretend.setattr(attend_by_features, "__kwdefaults__", {"kernel": dense})
    query, key, _ = inputs(200, dtype=dtype)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert takes(query, key, Call(64, is_causal=is_causal))


def test_a_kernel_without_gradients_is_refused_with_the_reason(pretend: pytest.MonkeyPatch) -> None:
    """flex_attention on CPUs is one."""
    with pytest.warns(UserWarning, match="does not support backward on CPU"):
        assert not asks(20)


def test_what_the_features_cannot_do_is_not_tried(pretend: pytest.MonkeyPatch) -> None:
    pretend.setattr(attend_by_features, "__kwdefaults__", {"kernel": dense})
    assert asks(20)
    assert not asks(20, dropout=0.1)
    assert not asks(20, past=2)
    assert not asks(20, allowed=torch.ones(BATCH, 1, 20, 20, dtype=torch.bool))
    assert asks(20, allowed=torch.ones(BATCH, 1, 1, 20, dtype=torch.bool))


def test_the_kernel_of_nezha_goes_this_way_where_it_is_proven(pretend: pytest.MonkeyPatch) -> None:
    kernel, given = Relative(max_relative_position=64, head_size=SIZE), inputs(40, dtype=torch.float32)
    options: dict[str, Any] = {"allowed": mask(40), "is_causal": True}
    expected = relative_attention(*given, kernel.table, **options)
    calls: list[int] = []
    original = attend_by_features
    pretend.setattr(
        "plm.blocks.kernels.attend_by_features",
        lambda *parts, **others: calls.append(1) or original(*parts, **others),  # type: ignore[func-returns-value]
    )
    torch.testing.assert_close(kernel(*given, past=0, dropout=0.0, **options), expected, rtol=0, atol=2e-6)
    assert calls == [1]
