"""Linear layers of eight bits."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from plm.blocks.int8 import Int8Linear, int8_supported, quantized, rebuilt
from plm.blocks.linear import Linear, project

pytestmark = pytest.mark.skipif(not int8_supported(), reason="this torch has no kernels for eight bits here")


def linear(inputs: int, outputs: int, *, bias: bool = True) -> Linear:
    layer = Linear(inputs, outputs, bias=bias)
    for parameter in layer.parameters():
        nn.init.normal_(parameter)
    return layer.eval()


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(7,), (3, 5)])
@torch.inference_mode()
def test_products_are_those_of_the_layer_within_a_hundredth(bias: bool, shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    layer = linear(64, 24, bias=bias)
    hidden = torch.randn(*shape, 64)
    exact, rounded = layer(hidden), Int8Linear.of(layer)(hidden)
    assert rounded.shape == exact.shape
    assert (rounded - exact).norm() < 0.02 * exact.norm()


@torch.inference_mode()
def test_weights_that_are_steps_are_exact() -> None:
    layer = linear(16, 8, bias=False)
    layer.weight.copy_(torch.randint(-127, 128, layer.weight.shape))
    layer.weight[:, 0] = 127
    hidden = torch.randint(0, 256, (5, 16)).float()
    hidden[:, 0], hidden[0, 1] = 255, 0
    torch.testing.assert_close(Int8Linear.of(layer)(hidden), layer(hidden), rtol=1e-5, atol=1e-2)


@torch.inference_mode()
def test_several_layers_of_one_input_are_one_product() -> None:
    layers = [Int8Linear.of(linear(32, size)) for size in (8, 8, 16)]
    hidden = torch.randn(6, 32)
    together = project(hidden, layers)  # type: ignore[arg-type]
    for layer, part in zip(layers, together, strict=True):
        torch.testing.assert_close(part, layer(hidden))


@torch.inference_mode()
def test_a_quantized_module_leaves_the_given_one_as_it_is_and_can_be_copied() -> None:
    whole = nn.Sequential(linear(16, 16), nn.LayerNorm(16), linear(16, 4)).eval()
    before = copy.deepcopy(whole.state_dict())
    small = quantized(whole)
    assert [type(part) for part in small] == [Int8Linear, nn.LayerNorm, Int8Linear]  # type: ignore[arg-type]
    assert small[1] is whole[1]  # type: ignore[index]
    assert [type(part) for part in whole] == [Linear, nn.LayerNorm, Linear]
    torch.testing.assert_close(whole.state_dict(), before)
    hidden = torch.randn(3, 16)
    torch.testing.assert_close(copy.deepcopy(small)(hidden), small(hidden))


def test_parts_that_stay_are_shared() -> None:
    whole = nn.Sequential(nn.Sequential(linear(4, 4)), nn.ReLU())
    assert rebuilt(whole, lambda part: part) is whole
    other = rebuilt(whole, lambda part: nn.GELU() if isinstance(part, nn.ReLU) else part)
    assert other[0] is whole[0]  # type: ignore[index]
    assert isinstance(whole[1], nn.ReLU)


def test_rows_of_zeros_stay_zeros() -> None:
    layer = linear(8, 3, bias=False)
    with torch.no_grad():
        layer.weight[1] = 0.0
    assert not Int8Linear.of(layer)(torch.randn(2, 8))[:, 1].any()


@torch.inference_mode()
def test_kernels_for_few_and_for_many_rows_agree_and_give_the_weight_back() -> None:
    torch.manual_seed(0)
    layer = Int8Linear.of(linear(64, 24))
    before = copy.deepcopy(layer.state_dict())
    hidden = torch.randn(40, 64)
    hidden[:2, :2] = torch.tensor([[9.0, -9.0], [-9.0, 9.0]])  # so that two rows have the range of all
    for _ in range(2):  # the second time, with the weight packed again
        many, few = layer(hidden)[:2], layer(hidden[:2])
        assert (many - few).norm() < 0.01 * few.norm()  # inputs that lie between two steps may go either way
        torch.testing.assert_close(layer.state_dict(), before)
