"""Adapters add what they say, learn alone, are never forgotten by packed weights, and can be merged and taken apart."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from plm.blocks.linear import Linear, pack, packing_supported
from plm.blocks.lora import LoraConfig, LoraLinear, adapters, add_lora, merge_lora, unmerge_lora
from plm.errors import ConfigError
from plm.heads.model import Model
from tests.tiny_models import FAMILY_NAMES, randomized, tiny_model
from tests.tolerances import assert_close

HEAD = "sequence_classification"
EVERYWHERE = ("*.attention.*", "*.feed_forward.*")


def text(rows: int = 5) -> Tensor:
    return torch.randint(1, 31, (rows, 7), generator=torch.Generator().manual_seed(1))


def adapted(family: str, **values: object) -> Model:
    """A model whose adapters have learned something."""
    model = tiny_model(family, HEAD)
    config = LoraConfig(**{"rank": 2, "alpha": 6.0} | values)  # type: ignore[arg-type]
    add_lora(model, config, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        for number, linear in enumerate(adapters(model).values()):
            linear.lora_b.normal_(0.0, 0.3, generator=torch.Generator().manual_seed(number))
    return model


def logits(model: Model) -> Tensor:
    found: Tensor = model(text()).logits
    return found


def written_out(model: Model) -> Model:
    """A plain model whose weights hold the additions."""
    plain = tiny_model(model.config.model_type, HEAD)
    state = {name: tensor for name, tensor in model.state_dict().items() if "lora" not in name}
    for name, linear in adapters(model).items():
        state[f"{name}.weight"] = linear.weight + 3.0 * linear.lora_b @ linear.lora_a  # alpha / rank
    plain.load_state_dict(state)
    return plain


@pytest.mark.parametrize("family", FAMILY_NAMES)
@pytest.mark.parametrize("targets", [LoraConfig().targets, EVERYWHERE])
def test_adapters_add_their_product(family: str, targets: tuple[str, ...]) -> None:
    model = adapted(family, targets=targets)
    assert_close(logits(model), logits(written_out(model)))


@pytest.mark.parametrize("family", FAMILY_NAMES)
def test_new_adapters_change_nothing(family: str) -> None:
    model = tiny_model(family, HEAD)
    before = logits(model)
    names = add_lora(model, LoraConfig())
    assert names == [f"backbone.blocks.{n}.attention.{part}" for n in range(2) for part in ("query", "value")]
    assert torch.equal(logits(model), before)


@pytest.mark.parametrize("family", FAMILY_NAMES)
def test_only_adapters_and_heads_learn(family: str) -> None:
    model = adapted(family)
    logits(model).sum().backward()
    learning = {name for name, held in model.named_parameters() if held.grad is not None}
    assert learning == {name for name, _ in model.named_parameters() if "lora" in name or name.startswith("heads.")}
    assert all(held.grad is None or held.requires_grad for held in model.parameters())


def test_what_is_trained_beside_can_be_named() -> None:
    model = adapted("bert", trained=("backbone.pooler.*", "*norm.bias"))
    trained = {name for name, held in model.named_parameters() if held.requires_grad and "lora" not in name}
    assert trained == {name for name, _ in model.named_parameters() if "pooler" in name or name.endswith("norm.bias")}
    bare = tiny_model("bert")
    add_lora(bare, LoraConfig())
    assert {name.rpartition(".")[2] for name, held in bare.named_parameters() if held.requires_grad} == {
        "lora_a",
        "lora_b",
    }


@pytest.mark.parametrize("family", FAMILY_NAMES)
def test_gradients_are_those_of_the_weights_written_out(family: str) -> None:
    """For W' = W + s B A, the gradients of A and B are s B^T G and s G A^T with G that of W'."""
    model = adapted(family)
    plain = written_out(model)
    for each in (model, plain):
        logits(each).square().sum().backward()
    for name, linear in adapters(model).items():
        gradient = plain.get_parameter(f"{name}.weight").grad
        assert gradient is not None
        assert_close(linear.lora_a.grad, 3.0 * linear.lora_b.T @ gradient, factor=10)
        assert_close(linear.lora_b.grad, 3.0 * gradient @ linear.lora_a.T, factor=10)


@pytest.mark.skipif(not packing_supported(torch.float32), reason="this CPU has no blocked layout")
@pytest.mark.parametrize("target", ["*.query", "*.key", "*.value", "*.attention.*", "*.up", "*.down"])
@pytest.mark.parametrize("family", FAMILY_NAMES)
def test_packed_weights_do_not_hide_adapters(family: str, target: str) -> None:
    """Packed before, with copies made by a first call: the product of query, key and value has to come apart."""
    model = tiny_model(family, HEAD).eval()
    with torch.no_grad():
        pack(model)
        before = logits(model)
        add_lora(model, LoraConfig(rank=2, alpha=6.0, targets=(target,)))
        assert_close(logits(model), before)
        for linear in adapters(model).values():
            linear.lora_b.normal_(0.0, 0.3)
        changed = logits(model)
        assert (changed - before).abs().max() > 1e-3
        assert_close(changed, logits(written_out(model).eval()))
        taken = merge_lora(model)
        merged = [model.get_submodule(name) for name in taken]
        assert_close(logits(model), changed)
        assert all(isinstance(linear, Linear) and linear._packs is not None for linear in merged)
        unmerge_lora(model, taken)
        assert_close(logits(model), changed)


@pytest.mark.parametrize("mode", [nn.Module.train, nn.Module.eval])
@pytest.mark.parametrize("family", FAMILY_NAMES)
def test_merging_keeps_outputs_and_unmerging_every_bit(family: str, mode: Callable[[nn.Module], Model]) -> None:
    model = mode(adapted(family, targets=EVERYWHERE))
    before, state = logits(model), copy.deepcopy(model.state_dict())
    taken = merge_lora(model)
    assert adapters(model) == {}
    assert model.state_dict().keys() == tiny_model(family, HEAD).state_dict().keys()
    torch.testing.assert_close(logits(model), before, rtol=1e-6, atol=2e-6)
    assert all(part.training == model.training for part in model.modules())
    unmerge_lora(model, taken)
    assert torch.equal(logits(model), before)
    assert all(torch.equal(tensor, state[name]) for name, tensor in model.state_dict().items())


def test_dropout_is_of_the_adapter_and_of_training_alone() -> None:
    model = adapted("bert", dropout=0.5)
    still = adapted("bert")
    assert not torch.allclose(logits(model), logits(model))
    assert torch.equal(logits(model.eval()), logits(still.eval()))


def test_a_generator_makes_adapters_repeatable() -> None:
    models = [tiny_model("bert") for _ in range(2)]
    state = torch.get_rng_state()
    for model in models:
        add_lora(model, LoraConfig(), generator=torch.Generator().manual_seed(3))
    first, second = (list(adapters(model).values()) for model in models)
    assert all(torch.equal(a.lora_a, b.lora_a) for a, b in zip(first, second, strict=True))
    assert len({tuple(linear.lora_a.flatten().tolist()) for linear in first}) == len(first)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_other_dtypes_are_kept(dtype: torch.dtype) -> None:
    model = adapted("bert")
    expected = logits(model)
    base = tiny_model("bert", HEAD).to(dtype)
    add_lora(base, LoraConfig(rank=2, alpha=6.0))
    kinds = {linear.lora_a.dtype for linear in adapters(base).values()}
    assert kinds == {torch.promote_types(dtype, torch.float32)}
    for name, linear in adapters(base).items():
        linear.load_state_dict(adapters(model)[name].state_dict())
    assert logits(base).dtype == dtype
    assert_close(logits(base), expected, factor=10)  # of bfloat16: several layers
    merge_lora(base)
    assert {held.dtype for held in base.parameters()} == {dtype}
    assert_close(logits(base), expected, factor=10)


def test_autocast_takes_adapters() -> None:
    model = adapted("bert")
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = logits(model)
    assert_close(found, logits(model), dtype=torch.bfloat16, factor=10)


@settings(deadline=None, max_examples=20)
@given(st.integers(1, 9), st.integers(1, 7), st.integers(1, 7), st.booleans(), st.floats(0.5, 32.0))
def test_merging_holds_for_every_shape(rank: int, inside: int, outside: int, bias: bool, alpha: float) -> None:
    torch.manual_seed(rank)
    base = randomized(Linear(inside, outside, bias))
    linear = LoraLinear(base, LoraConfig(rank=rank, alpha=alpha))
    hidden = torch.randn(3, inside)
    assert torch.equal(linear(hidden), nn.functional.linear(hidden, base.weight, base.bias))
    nn.init.normal_(linear.lora_b)
    expected = linear(hidden)
    assert_close(linear.merged()(hidden), expected, factor=alpha)
    assert linear.weight is base.weight


def test_what_cannot_be_adapted_is_refused_and_left_alone() -> None:
    model = tiny_model("bert", HEAD)
    for config, message in (
        (LoraConfig(targets=("*.attention.qery",)), "targets: '.*qery' fits nothing"),
        (LoraConfig(targets=("backbone.blocks.0.attention.qery",)), "did you mean 'backbone.blocks.0.attention.query'"),
        (LoraConfig(trained=("head.*",)), "trained: 'head.*' fits nothing"),
    ):
        with pytest.raises(ConfigError, match=message):
            add_lora(model, config)
    assert all(held.requires_grad for held in model.parameters())
    with pytest.raises(ConfigError, match="no adapters to merge"):
        merge_lora(model)
    add_lora(model, LoraConfig())
    with pytest.raises(ConfigError, match=r"has adapters already, the first at backbone\.blocks\.0\.attention\.query"):
        add_lora(model, LoraConfig())


def test_shared_weights_are_not_untied() -> None:
    model = nn.Sequential(randomized(Linear(3, 3)), randomized(Linear(3, 3)))
    model[1].weight = model[0].weight
    with pytest.raises(ConfigError, match=r"0 shares its weight \(0.weight, 1.weight\)"):
        add_lora(model, LoraConfig(targets=("0",)))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"rank": 0}, "rank: expected a positive integer"),
        ({"alpha": 0.0}, "alpha: expected a positive number"),
        ({"dropout": 1.0}, "dropout: expected a probability"),
        ({"targets": ()}, "targets: name at least one"),
    ],
)
def test_values_that_cannot_be_meant_are_refused(values: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        LoraConfig(**values)  # type: ignore[arg-type]


def test_copies_are_independent() -> None:
    model = adapted("bert")
    twin = copy.deepcopy(model)
    assert torch.equal(logits(model), logits(twin))
    with torch.no_grad():
        next(iter(adapters(twin).values())).lora_b.zero_()
    assert not torch.equal(logits(model), logits(twin))
