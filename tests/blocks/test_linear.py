"""Linears that start empty, and their converted weights, which must never be noticed except for speed."""

from __future__ import annotations

import copy
import io
import pickle
from collections.abc import Callable, Iterator
from pathlib import Path
from unittest import mock

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.autograd import forward_ad
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from plm.blocks import linear as blocks_linear
from plm.blocks.activations import ACTIVATIONS
from plm.blocks.linear import Embedding, Linear, pack, packing_supported, project, project_activated, unpack
from tests.tolerances import assert_close

DTYPES = [dtype for dtype in (torch.float32, torch.bfloat16) if packing_supported(dtype)]
needs_packing = pytest.mark.skipif(not DTYPES, reason="this machine has no converted weights")

Counter = Callable[[], int]


def filled(inputs: int = 24, outputs: int = 40, *, bias: bool = True, dtype: torch.dtype = torch.float32) -> Linear:
    """A Linear in eval mode with weights that depend on its sizes only."""
    linear = Linear(inputs, outputs, bias=bias, dtype=dtype).eval()
    with torch.no_grad():
        for parameter in linear.parameters():
            parameter.copy_(values(*parameter.shape) * 0.3)
    return linear


def packed(linear: Linear) -> Linear:
    """The same Linear with a converted weight, made by a first call."""
    assert pack(linear) == 1
    with torch.no_grad():
        linear(values(8, linear.in_features, dtype=linear.weight.dtype))
    return linear


def values(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape))).to(dtype)


def plain(linear: nn.Linear, hidden: Tensor) -> Tensor:
    return F.linear(hidden, linear.weight, linear.bias)


@pytest.fixture
def products(monkeypatch: pytest.MonkeyPatch) -> Iterator[Counter]:
    """Tells how many products with converted weights there were so far."""
    call = mock.Mock(side_effect=blocks_linear._Packed.__call__)
    monkeypatch.setattr(blocks_linear._Packed, "__call__", lambda self, *arguments: call(self, *arguments))
    return lambda: int(call.call_count)


@pytest.mark.parametrize("build", [lambda: Linear(1 << 12, 1 << 13), lambda: Embedding(1 << 13, 1 << 12)])
def test_building_touches_no_memory(build: Callable[[], nn.Module]) -> None:
    statm = Path("/proc/self/statm")
    if not statm.exists():
        pytest.skip("no /proc on this system")
    before = int(statm.read_text().split()[1])
    module = build()
    pages = int(statm.read_text().split()[1]) - before
    size = sum(parameter.numel() * parameter.element_size() for parameter in module.parameters())
    assert pages * 4096 < size / 8


def test_the_state_is_that_of_the_torch_modules() -> None:
    assert list(pack_all(filled()).state_dict()) == list(nn.Linear(24, 40).state_dict())
    assert list(Embedding(3, 4).state_dict()) == list(nn.Embedding(3, 4).state_dict())


def pack_all(module: nn.Module) -> nn.Module:
    pack(module)
    return module


@needs_packing
def test_pack_tells_how_many_linears_it_applies_to() -> None:
    model = nn.Sequential(filled(), nn.Linear(40, 40), nn.Sequential(filled(40, 3), nn.LayerNorm(3)))
    assert pack(model) == 2


def test_pack_applies_to_nothing_where_the_machine_cannot(monkeypatch: pytest.MonkeyPatch, products: Counter) -> None:
    monkeypatch.setattr(blocks_linear, "packing_supported", lambda dtype: False)
    linear = filled()
    assert pack(linear) == 0
    assert_close(linear(values(8, 24)), plain(linear, values(8, 24)))
    assert products() == 0


def test_dtypes_without_a_blocked_layout_stay_plain(products: Counter) -> None:
    linear = filled(dtype=torch.float64)
    assert pack(linear) == 0
    with torch.no_grad():
        assert torch.equal(linear(values(8, 24).double()), plain(linear, values(8, 24).double()))
    assert products() == 0


@needs_packing
@settings(deadline=None, max_examples=40)
@given(
    shape=st.lists(st.integers(1, 9), min_size=0, max_size=3),
    sizes=st.tuples(st.integers(1, 70), st.integers(1, 70)),
    bias=st.booleans(),
    dtype=st.sampled_from(DTYPES),
    strided=st.booleans(),
)
def test_converted_weights_give_the_plain_result(
    shape: list[int], sizes: tuple[int, int], bias: bool, dtype: torch.dtype, strided: bool
) -> None:
    linear = filled(*sizes, bias=bias, dtype=dtype)
    pack(linear)
    hidden = values(*shape, 2 * sizes[0], dtype=dtype)[..., ::2] if strided else values(*shape, sizes[0], dtype=dtype)
    with torch.no_grad():
        result = linear(hidden)
    assert result.shape == (*shape, sizes[1])
    assert result.dtype == dtype
    assert_close(result, plain(linear, hidden))


@needs_packing
@pytest.mark.parametrize("dtype", DTYPES)
def test_a_packed_linear_multiplies_with_converted_weights(dtype: torch.dtype, products: Counter) -> None:
    linear = filled(dtype=dtype)
    pack(linear)
    with torch.no_grad():
        linear(values(8, 24, dtype=dtype))
    frozen = copy.deepcopy(linear).requires_grad_(False)
    frozen(values(8, 24, dtype=dtype))
    assert products() == 2


@needs_packing
def test_gradients_pass_through_a_packed_model(products: Counter) -> None:
    linear, twin = packed(filled()), filled()
    before = products()
    hidden = [values(8, 24).requires_grad_() for _ in range(2)]
    linear(hidden[0]).square().sum().backward()
    plain(twin, hidden[1]).square().sum().backward()
    assert_close(hidden[0].grad, hidden[1].grad)
    assert_close(linear.weight.grad, twin.weight.grad)
    assert_close(linear.bias.grad, twin.bias.grad)
    assert products() == before


@needs_packing
def test_an_input_that_needs_a_gradient_takes_the_plain_path_of_a_frozen_model() -> None:
    linear = packed(filled().requires_grad_(False))
    hidden = values(8, 24).requires_grad_()
    linear(hidden).sum().backward()
    assert_close(hidden.grad, linear.weight.sum(0).expand(8, -1))


@needs_packing
def test_training_mode_takes_the_plain_path_and_keeps_no_copy(products: Counter) -> None:
    linear = packed(filled())
    before = products()
    linear.train()
    assert linear._packs == {}
    with torch.no_grad():
        assert torch.equal(linear(values(8, 24)), plain(linear, values(8, 24)))
    assert products() == before
    with torch.no_grad():
        linear.eval()(values(8, 24))
    assert products() == before + 1


@needs_packing
def test_autocast_takes_the_plain_path() -> None:
    linear = packed(filled())
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        assert linear(values(8, 24)).dtype == torch.bfloat16


@needs_packing
def test_a_packed_model_compiles_as_one_graph(products: Counter) -> None:
    linear = packed(filled())
    before = products()
    compiled = torch.compile(linear, backend="eager", fullgraph=True)
    with torch.no_grad():
        assert torch.equal(compiled(values(8, 24)), plain(linear, values(8, 24)))
    assert products() == before


@needs_packing
def test_a_packed_model_exports(products: Counter) -> None:
    linear = packed(filled())
    before = products()
    program = torch.export.export(linear, (values(8, 24),))
    assert_close(program.module()(values(8, 24)), plain(linear, values(8, 24)))
    assert products() == before


# torch builds its own derivative rules with its deprecated compiler.
torch_warns_itself = pytest.mark.filterwarnings("ignore:`torch.jit.script`:DeprecationWarning")


@needs_packing
@torch_warns_itself
def test_function_transforms_take_the_plain_path(products: Counter) -> None:
    linear = packed(filled())
    before = products()
    with torch.no_grad():
        assert_close(torch.func.vmap(linear)(values(3, 8, 24)), plain(linear, values(3, 8, 24)))
        _, tangent = torch.func.jvp(linear, (values(8, 24),), (torch.ones(8, 24),))
    assert_close(tangent, linear.weight.sum(1).expand(8, -1))
    assert products() == before


@needs_packing
@torch_warns_itself
def test_forward_derivatives_are_not_lost() -> None:
    linear = packed(filled().requires_grad_(False))
    with torch.no_grad(), forward_ad.dual_level():
        result = forward_ad.unpack_dual(linear(forward_ad.make_dual(values(8, 24), torch.ones(8, 24))))
        assert result.tangent is not None
        assert_close(result.tangent, linear.weight.sum(1).expand(8, -1))


@needs_packing
def test_operations_of_a_packed_model_are_counted() -> None:
    linear = packed(filled())
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        linear(values(8, 24))
    assert counter.get_total_flops() == 2 * 8 * 24 * 40


def _write(linear: Linear) -> None:
    linear.weight.mul_(2.0)


def _write_bias(linear: Linear) -> None:
    assert linear.bias is not None
    linear.bias.add_(1.0)


def _optimize(linear: Linear) -> None:
    optimizer = torch.optim.SGD(linear.parameters(), lr=0.5)
    with torch.enable_grad():
        linear(values(8, 24)).sum().backward()
    optimizer.step()


def _load(linear: Linear) -> None:
    linear.load_state_dict({"weight": values(40, 24), "bias": values(40)})


def _assign(linear: Linear) -> None:
    linear.load_state_dict({"weight": values(40, 24), "bias": values(40)}, assign=True)


def _assign_halves(linear: Linear) -> None:
    state = {"weight": values(40, 24, dtype=torch.bfloat16), "bias": values(40, dtype=torch.bfloat16)}
    linear.load_state_dict(state, assign=True)


def _set_data(linear: Linear) -> None:
    linear.weight.data = values(40, 24)


def _view_data(linear: Linear) -> None:
    linear.weight.data = linear.weight.data.flip(0).flip(0)[:, torch.arange(24)].as_strided((40, 24), (1, 40))


def _drop_bias(linear: Linear) -> None:
    linear.bias = None


def _replace(linear: Linear) -> None:
    linear.weight = nn.Parameter(values(40, 24) + 1.0)


@needs_packing
@pytest.mark.parametrize(
    "change",
    [_write, _write_bias, _optimize, _load, _assign, _assign_halves, _set_data, _view_data, _drop_bias, _replace],
)
def test_a_changed_weight_counts_at_once(change: Callable[[Linear], None]) -> None:
    linear = packed(filled())
    before = linear.weight.detach().clone(), None if linear.bias is None else linear.bias.detach().clone()
    with torch.no_grad():
        change(linear)
        hidden = values(8, 24, dtype=linear.weight.dtype)
        assert_close(linear(hidden), plain(linear, hidden))
        assert not torch.allclose(linear(hidden).float(), F.linear(hidden.float(), *before))


@needs_packing
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_a_moved_model_computes_in_its_new_dtype(dtype: torch.dtype) -> None:
    linear = packed(filled()).to(dtype)
    hidden = values(8, 24, dtype=dtype)
    with torch.no_grad():
        assert linear(hidden).dtype == dtype
        assert_close(linear(hidden), plain(linear, hidden))


@needs_packing
def test_weights_lent_for_one_call_are_used() -> None:
    linear = packed(filled())
    lent = {"weight": values(40, 24) + 1.0, "bias": values(40)}
    with torch.no_grad():
        assert_close(
            torch.func.functional_call(linear, lent, (values(8, 24),)), F.linear(values(8, 24), *lent.values())
        )
        assert_close(linear(values(8, 24)), plain(linear, values(8, 24)))


def test_weights_that_do_not_tell_their_writes_are_never_converted(products: Counter) -> None:
    with torch.inference_mode():
        linear = filled()
        pack(linear)
        linear(values(8, 24))
        linear.weight.mul_(2.0)
        assert torch.equal(linear(values(8, 24)), plain(linear, values(8, 24)))
    assert products() == 0


@needs_packing
def test_a_first_call_in_inference_mode_serves_later_calls_outside(products: Counter) -> None:
    linear = filled()
    pack(linear)
    with torch.inference_mode():
        linear(values(8, 24))
    with torch.no_grad():
        assert_close(linear(values(8, 24)), plain(linear, values(8, 24)))
    assert products() == 2


@needs_packing
@pytest.mark.parametrize("duplicate", ["deepcopy", "pickle", "save"])
def test_copies_and_files_hold_no_converted_weight(duplicate: str) -> None:
    linear = packed(filled())
    if duplicate == "deepcopy":
        twin = copy.deepcopy(linear)
    elif duplicate == "pickle":
        twin = pickle.loads(pickle.dumps(linear))
    else:
        file = io.BytesIO()
        torch.save(linear, file)
        file.seek(0)
        twin = torch.load(file, weights_only=False)
    assert linear._packs
    assert twin._packs == {}
    with torch.no_grad():
        twin.weight.zero_()
        assert torch.equal(twin(values(8, 24)), twin.bias.expand(8, -1))
        assert_close(linear(values(8, 24)), plain(linear, values(8, 24)))


@needs_packing
def test_unpack_returns_to_the_plain_path(products: Counter) -> None:
    linear = packed(filled())
    before = products()
    unpack(nn.Sequential(linear))
    with torch.no_grad():
        linear(values(8, 24))
    assert products() == before
    assert linear._packs is None


@needs_packing
def test_few_float32_rows_on_one_thread_take_the_faster_plain_path(
    monkeypatch: pytest.MonkeyPatch, products: Counter
) -> None:
    linear = filled()
    pack(linear)
    with torch.no_grad():
        for threads, expected in ((1, 0), (2, 1)):
            monkeypatch.setattr(torch, "get_num_threads", lambda threads=threads: threads)
            linear(values(1, 1, 24))
            assert products() == expected


@needs_packing
@pytest.mark.parametrize("bias", [True, False])
def test_projections_of_one_input_are_one_product(bias: bool, products: Counter) -> None:
    linears = [filled(24, outputs, bias=bias) for outputs in (40, 40, 8)]
    expected = [plain(linear, values(2, 5, 24)) for linear in linears]
    pack(nn.ModuleList(linears))
    with torch.no_grad():
        results = project(values(2, 5, 24), linears)
    assert products() == 1
    for result, wanted in zip(results, expected, strict=True):
        assert_close(result, wanted)


@needs_packing
def test_projections_that_do_not_go_together_are_computed_one_by_one(products: Counter) -> None:
    mixed = [filled(24, 40), filled(24, 40, bias=False)]
    foreign = [nn.Linear(24, 40), filled(24, 40)]
    hooked = [filled(24, 40), filled(24, 8)]
    seen: list[Tensor] = []
    hooked[1].register_forward_hook(lambda _module, _inputs, output: seen.append(output))
    with torch.no_grad():
        for linears in (mixed, foreign, foreign[::-1], hooked):
            pack(nn.ModuleList(linears))
            for result, linear in zip(project(values(8, 24), linears), linears, strict=True):
                assert_close(result, plain(linear, values(8, 24)))
    assert len(seen) == 1
    assert len(project(values(8, 24), mixed)) == 2


@needs_packing
def test_a_change_of_any_projection_counts_at_once() -> None:
    linears = [filled(24, outputs) for outputs in (40, 8)]
    pack(nn.ModuleList(linears))
    with torch.no_grad():
        project(values(8, 24), linears)
        linears[1].weight.mul_(-1.0)
        assert_close(project(values(8, 24), linears)[1], plain(linears[1], values(8, 24)))


def test_projections_in_training_give_gradients_to_every_linear() -> None:
    linears = [filled(24, outputs).train() for outputs in (40, 8)]
    sum(result.sum() for result in project(values(8, 24), linears)).backward()
    for linear in linears:
        assert_close(linear.weight.grad, values(8, 24).sum(0).expand_as(linear.weight))


@pytest.mark.parametrize("name", ACTIVATIONS.names())
@pytest.mark.parametrize("wanted", [True, False])
def test_an_activation_in_the_product_is_the_activation_after_it(name: str, wanted: bool) -> None:
    linear = filled()
    if wanted:
        pack(linear)
    expected = ACTIVATIONS.get(name)(plain(linear, values(2, 5, 24)))
    with torch.no_grad():
        assert_close(project_activated(values(2, 5, 24), linear, name), expected)
    assert_close(project_activated(values(2, 5, 24), linear, name), expected)
