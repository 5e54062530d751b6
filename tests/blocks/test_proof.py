"""plm/blocks/proof.py."""

from __future__ import annotations

import warnings
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from plm.blocks import proof
from plm.blocks.proof import KernelMismatch, compare, proven


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    proof.forget()
    yield
    proof.forget()


def test_a_kernel_is_asked_once_for_each_setting() -> None:
    asked: list[str] = []
    for setting in ("a", "b", "a"):
        assert proven("kernel", setting, lambda setting=setting: asked.append(setting))  # type: ignore[misc]
    assert asked == ["a", "b"]


def test_a_kernel_that_raises_is_refused_with_one_warning_that_says_why() -> None:
    def check() -> None:
        raise RuntimeError("no such operator")

    with pytest.warns(UserWarning, match="the kernel is not used for 16 bits: RuntimeError: no such operator"):
        assert not proven("the kernel", "16 bits", check)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert not proven("the kernel", "16 bits", check)


def test_a_proof_leaves_gradients_autocast_and_random_numbers_as_they_were() -> None:
    torch.manual_seed(1)
    expected = torch.rand(3)

    def check() -> None:
        assert torch.is_grad_enabled()
        assert not torch.is_inference_mode_enabled()
        assert not torch.is_autocast_enabled("cpu")
        torch.manual_seed(7)
        torch.rand(5)

    torch.manual_seed(1)
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        assert proven("kernel", "here", check)
    assert torch.equal(torch.rand(3), expected)


def plain(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    return (query @ key.transpose(-1, -2)).softmax(-1) @ value


def compare_with(kernel: proof.Attend, dtype: torch.dtype) -> None:
    compare(kernel, plain, shape=(9, 4), device=torch.device("cpu"), dtype=dtype)


@pytest.mark.parametrize("dtype", list(proof.LIMITS))
def test_rounding_is_no_mismatch(dtype: torch.dtype) -> None:
    compare_with(plain, dtype)


def test_a_wrong_context_is_a_mismatch() -> None:
    with pytest.raises(KernelMismatch, match="its context differs"):
        compare_with(lambda query, key, value: plain(query, key, value) * 1.1, torch.bfloat16)


def test_a_wrong_gradient_behind_a_right_context_is_a_mismatch() -> None:
    with pytest.raises(KernelMismatch, match="gradient of the key differs"):
        compare_with(lambda query, key, value: plain(query, key.detach() + 0 * key, value), torch.bfloat16)


def test_numbers_that_are_none_are_a_mismatch() -> None:
    with pytest.raises(KernelMismatch):
        compare_with(lambda query, key, value: plain(query, key, value) * float("nan"), torch.float32)
