"""plm/blocks/varlen.py. The kernel needs a GPU, so a function of the same signature stands in for it on the CPU."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

from plm.blocks import proof, varlen
from plm.blocks.kernels import DotProduct, attend
from plm.blocks.layout import PATTERNS, Packed, Pattern
from plm.models.bert import BertConfig
from plm.models.families import FAMILIES
from plm.models.nezha import NezhaConfig

CPU = torch.device("cpu")
LENGTHS = (3, 9, 1)


def right(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    bounds: Tensor,
    key_bounds: Tensor,
    longest: int,
    longest_key: int,
    *,
    window_size: tuple[int, int] = (-1, -1),
) -> Tensor:
    """What torch.nn.attention.varlen.varlen_attn is documented to compute."""
    assert bounds is key_bounds
    assert bounds.dtype == torch.int32
    lengths = bounds.diff().tolist()
    assert max(lengths) == longest == longest_key
    return varlen._plain(query, key, value, lengths, "causal" if window_size == (-1, 0) else "full")


def blind_to_ends(query: Tensor, key: Tensor, value: Tensor, *others: Any, **options: Any) -> Tensor:
    """Attends across sequences."""
    return varlen._plain(query, key, value, [len(query)], "full")


def never_causal(*arguments: Any, window_size: tuple[int, int]) -> Tensor:
    return right(*arguments)


def without_gradient_of_keys(query: Tensor, key: Tensor, *others: Any, **options: Any) -> Tensor:
    return right(query, key.detach() + 0 * key, *others, **options)


def unsupported(*arguments: Any, **options: Any) -> Tensor:
    raise RuntimeError("FlashAttention only supports Ampere GPUs or newer.")


def dropping(
    query: Tensor, key: Tensor, value: Tensor, bounds: Tensor, longest: int, dropout: float, is_causal: bool
) -> Tensor:
    """The operator with dropout, bits from the default generator."""
    kept = (torch.rand(*query.shape[:2], longest) >= dropout).to(query.dtype) / (1.0 - dropout)
    pattern: Pattern = "causal" if is_causal else "full"
    return varlen._plain(query, key, value, bounds.diff().tolist(), pattern, kept=kept)


def forgetting_dropout(
    query: Tensor, key: Tensor, value: Tensor, bounds: Tensor, longest: int, dropout: float, is_causal: bool
) -> Tensor:
    return dropping(query, key, value, bounds, longest, 0.0, is_causal)


def other_bits_on_the_way_back(query: Tensor, key: Tensor, *others: Any) -> Tensor:
    """The context of one draw, the gradients of another."""
    ours, theirs = dropping(query, key, *others), dropping(query, key, *others)
    return theirs + (ours - theirs).detach()


@pytest.fixture
def pretend(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Let the CPU have a kernel for packed sequences."""

    def install(function: Callable[..., Tensor] | None, with_dropout: Callable[..., Tensor] = dropping) -> None:
        monkeypatch.setattr(varlen, "DEVICES", ("cpu",))
        monkeypatch.setattr(varlen, "varlen_function", lambda: function)
        monkeypatch.setattr(varlen, "_with_dropout", with_dropout)

    proof.forget()
    yield install
    proof.forget()


def takes(
    pattern: Pattern = "full", *, dtype: torch.dtype = torch.bfloat16, head_size: int = 16, dropout: float = 0.0
) -> bool:
    return varlen.takes(device=CPU, dtype=dtype, pattern=pattern, head_size=head_size, dropout=dropout)


@pytest.mark.parametrize("dtype", varlen.DTYPES)
@pytest.mark.parametrize("dropout", [0.0, 0.1])
@pytest.mark.parametrize("pattern", ["full", "causal"])
def test_a_right_kernel_is_taken(
    pretend: Callable[..., None], pattern: Pattern, dropout: float, dtype: torch.dtype
) -> None:
    pretend(right)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert takes(pattern, dropout=dropout, dtype=dtype)


@pytest.mark.parametrize(
    ("wrong", "pattern", "why"),
    [
        (blind_to_ends, "full", "context differs"),
        (never_causal, "causal", "context differs"),
        (without_gradient_of_keys, "full", "gradient of the key differs"),
        (unsupported, "full", "Ampere"),
    ],
)
def test_a_wrong_kernel_is_refused_with_the_reason(
    pretend: Callable[..., None], wrong: Callable[..., Tensor], pattern: Pattern, why: str
) -> None:
    pretend(wrong)
    with pytest.warns(UserWarning, match=why):
        assert not takes(pattern)


@pytest.mark.parametrize("wrong", [forgetting_dropout, other_bits_on_the_way_back, unsupported])
def test_wrong_dropout_is_refused(pretend: Callable[..., None], wrong: Callable[..., Tensor]) -> None:
    pretend(right, wrong)
    with pytest.warns(UserWarning, match="not used"):
        assert not takes(dropout=0.1)
    assert takes(dropout=0.0)


def test_what_the_kernel_is_not_made_for_is_not_tried(pretend: Callable[..., None]) -> None:
    pretend(unsupported)
    assert not takes("prefix")
    assert not takes(dtype=torch.float32)
    assert not takes(head_size=12)
    pretend(None)
    assert not takes()


def test_without_a_gpu_it_is_not_tried() -> None:
    assert not takes()


@pytest.mark.parametrize("pattern", PATTERNS)
def test_packed_texts_give_the_same_through_the_kernel_and_without(
    pretend: Callable[..., None], pattern: Pattern
) -> None:
    prefixes = (1, 2, 0) if pattern == "prefix" else ()
    layout = Packed.from_lengths(LENGTHS, pattern=pattern, prefix_lengths=prefixes)
    given = [torch.randn(sum(LENGTHS), 2, 16).bfloat16() for _ in range(3)]
    with torch.no_grad():
        expected = attend(DotProduct(), *given, layout)
        calls: list[int] = []
        pretend(lambda *arguments, **options: calls.append(1) or right(*arguments, **options))  # type: ignore[func-returns-value]
        found = attend(DotProduct(), *given, layout)
    assert bool(calls) == (pattern != "prefix")
    torch.testing.assert_close(found, expected, rtol=0, atol=0.02)


def test_a_refused_kernel_changes_nothing(pretend: Callable[..., None]) -> None:
    layout = Packed.from_lengths(LENGTHS)
    given = [torch.randn(sum(LENGTHS), 2, 16).bfloat16() for _ in range(3)]
    with torch.no_grad():
        expected = attend(DotProduct(), *given, layout)
        pretend(blind_to_ends)
        with pytest.warns(UserWarning, match="not used"):
            assert torch.equal(attend(DotProduct(), *given, layout), expected)


def test_a_gpu_packs_where_its_kernel_computes_what_the_model_needs(pretend: Callable[..., None]) -> None:
    sizes = {"vocab_size": 20, "hidden_size": 32, "intermediate_size": 64, "num_attention_heads": 2}
    bert, nezha = (
        FAMILIES.get(config.model_type).build(config, pooler=False).eval()
        for config in (BertConfig(**sizes, num_hidden_layers=1), NezhaConfig(**sizes, num_hidden_layers=1))
    )
    pretend(right)
    assert not bert._packs_on(CPU, "full"), "float32"
    assert bert.bfloat16()._packs_on(CPU, "full")
    assert not bert._packs_on(CPU, "prefix")
    assert not nezha.bfloat16()._packs_on(CPU, "full")
    with torch.autocast("cpu", torch.bfloat16):
        assert bert.float()._packs_on(CPU, "causal"), "autocast computes in 16 bits"


def test_bounds_are_where_sequences_begin_and_the_last_one_ends() -> None:
    assert Packed.from_lengths(LENGTHS).bounds.tolist() == [0, 3, 12, 13]
