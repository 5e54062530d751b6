"""NumPy gives the numbers of PyTorch: every family and head, padded and packed, in small blocks and large."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from plm.backends.eager import TorchRunner
from plm.backends.numpy import attention
from plm.backends.numpy.activations import activate, normal_tail
from plm.backends.numpy.runner import NumpyRunner
from plm.backends.program.distances import relative_table
from plm.backends.program.spec import ACTIVATIONS, Spec
from plm.blocks.activations import ACTIVATIONS as TORCH_ACTIVATIONS
from plm.blocks.relative import relative_attention_reference
from plm.errors import CheckpointError, ShapeError, UnknownNameError
from plm.heads.model import Model, build_model
from plm.heads.several import HeadPlan
from plm.models.families import FAMILIES
from tests.backends.batch_forms import MASKS, assert_same, batches, packed, padded
from tests.tiny_models import FAMILY_NAMES, randomized, tiny_config, tiny_model

CLOSE = 2e-5
OF_CHOICES = ("multiple_choice", "double_heads", "multiple_choice_with_lm")
EVERY_HEAD = [(family, head) for family in FAMILY_NAMES for head in (None, *FAMILIES.get(family).heads)]


def runner_of(model: Model, dtype: Any = np.float32) -> NumpyRunner:
    weights = {name: tensor.numpy().astype(dtype) for name, tensor in model.state_dict().items()}
    return NumpyRunner(Spec.of(model), weights)


def assert_equal_everywhere(model: Model, *, choices: bool) -> None:
    expected, actual = TorchRunner(model), runner_of(model)
    for batch in batches(choices=choices):
        answers = actual.run(batch)
        assert {array.dtype for array in answers.values()} == {np.dtype(np.float32)}
        assert_same(answers, expected.run(batch), batch, most=CLOSE)


@pytest.mark.parametrize(("family", "head"), EVERY_HEAD)
def test_numpy_equals_torch(family: str, head: str | None) -> None:
    model = tiny_model(family, *([] if head is None else [head]))
    assert_equal_everywhere(model, choices=head in OF_CHOICES)


@pytest.mark.parametrize("head", [None, "masked_lm", "sequence_classification", "matching", "token_classification"])
def test_any_head_takes_texts_with_more_leading_dimensions(head: str | None) -> None:
    assert_equal_everywhere(tiny_model("nezha", *([] if head is None else [head])), choices=True)
    assert_equal_everywhere(tiny_model("openai-gpt", "classification_with_lm"), choices=True)


@pytest.mark.parametrize("family", FAMILY_NAMES)
@pytest.mark.parametrize("changes", [{"norm": "pre"}, {"attention_pattern": "causal"}, {"type_vocab_size": 0}])
def test_variants_of_the_backbone_are_equal(family: str, changes: dict[str, Any]) -> None:
    assert_equal_everywhere(tiny_model(family, **changes), choices=False)


@pytest.mark.parametrize(
    "changes",
    [
        {"classifier_pooling": "last_token"},
        {"classifier_activation": "relu"},
        {"classifier_bias": False},
        {"id2label": dict(enumerate("abcde"))},
        {"problem_type": "multi_label_classification"},
        {"pad_token_id": None, "classifier_pooling": "last_token"},
    ],
)
def test_variants_of_classifiers_are_equal(changes: dict[str, Any]) -> None:
    assert_equal_everywhere(tiny_model("bert", "sequence_classification", **changes), choices=False)


@pytest.mark.parametrize("changes", [{"tie_word_embeddings": False}, {"language_model_transform": False}])
@pytest.mark.parametrize("head", ["masked_lm", "pretraining"])
def test_variants_of_language_models_are_equal(head: str, changes: dict[str, Any]) -> None:
    assert_equal_everywhere(tiny_model("bert", head, **changes), choices=False)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_activations_are_equal(activation: str) -> None:
    values = torch.linspace(-12, 12, 100_001)
    expected = TORCH_ACTIVATIONS.get(activation)(values.double())
    actual = activate(values.numpy().copy(), activation)
    assert actual.dtype == np.float32
    # the roundings of float32: gelu, whose formula is our own, has to stay below one
    most = 1e-7 if activation == "gelu" else 2e-7
    assert np.max(np.abs(actual - expected.numpy()) / (1 + expected.abs().numpy())) < most
    with np.errstate(all="raise"):
        assert np.isfinite(activate(np.array([-3e38, -200, 0, 200, 3e38], np.float32), activation)).all()


def test_the_tail_of_the_normal_distribution_is_exact_to_rounding() -> None:
    places = torch.linspace(0, 14, 200_001, dtype=torch.float64)
    exact = (torch.special.erfc(places * math.sqrt(0.5)) / 2).numpy()
    assert np.max(np.abs(normal_tail(places.numpy().astype(np.float32)) - exact)) < 1.3e-7
    assert np.max(np.abs(normal_tail(places.numpy()) / exact - 1)) < 1e-13


@pytest.mark.parametrize("family", FAMILY_NAMES)
def test_double_precision_is_double_precision(family: str) -> None:
    model, batch = tiny_model(family), padded("right")
    answers = runner_of(model, np.float64).run(batch)
    with torch.inference_mode():
        expected = model.double().eval()(**{name: torch.from_numpy(array) for name, array in batch.items()})
    if family == "nezha":  # its table of distances is stored in float32, whatever the weights are
        assert answers["last_hidden_state"].dtype == np.float64
        return
    assert_same(answers, {name: expected[name].numpy() for name in expected}, batch, most=1e-12)


@given(
    st.integers(1, 2), st.integers(1, 3), st.integers(1, 12), st.integers(1, 6), st.integers(0, 5), st.booleans(),
    st.integers(1, 200), st.integers(0, 2**12),
)  # fmt: skip
@settings(deadline=None, max_examples=60)
def test_blocks_of_queries_change_nothing(
    texts: int, heads: int, length: int, size: int, radius: int, is_causal: bool, block: int, seed: int
) -> None:
    generator = np.random.default_rng(seed)
    query, key, value = generator.standard_normal((3, texts, heads, length, size))
    seen = generator.random((texts, length)) < 0.7
    table = relative_table(radius, size).astype(np.float64) if radius else np.zeros((1, size))
    expected, _, _ = relative_attention_reference(
        *(torch.from_numpy(array) for array in (query, key, value, table)),
        allowed=torch.from_numpy(seen)[:, None, None],
        is_causal=is_causal,
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(attention, "_BLOCK", block)
        context = attention.attend(query, key, value, seen=seen, is_causal=is_causal, table=table if radius else None)
    np.testing.assert_allclose(context, expected.numpy(), atol=1e-12)


def test_what_stands_at_padding_is_zero_or_the_lowest_number() -> None:
    nothing = MASKS["left"] == 0
    states = runner_of(tiny_model("bert")).run(padded("left"))["last_hidden_state"]
    assert not states[nothing].any()
    spans = runner_of(tiny_model("bert", "question_answering")).run(padded("left"))
    lowest = np.finfo(np.float32).min
    assert all((logits[nothing] == lowest).all() and (logits[~nothing] > lowest).all() for logits in spans.values())


def test_absent_choices_have_the_lowest_score() -> None:
    logits = runner_of(tiny_model("bert", "multiple_choice")).run(padded("absent", choices=True))["logits"]
    assert (logits == np.finfo(np.float32).min).tolist() == [[False, True], [False, False]]


def test_each_of_several_heads_answers_for_itself() -> None:
    plans = {
        "intent": HeadPlan("sequence_classification", {"num_labels": 5}),
        "slots": HeadPlan("token_classification", {"num_labels": 3}),
        "old": HeadPlan(shared_with="intent"),
    }
    model = randomized(build_model(tiny_config("bert"), plans)).eval()
    runner, batch = runner_of(model), padded("right")
    with torch.inference_mode():
        expected = model.predict_heads(**{name: torch.from_numpy(array) for name, array in batch.items()})
    for name, output in expected.items():
        assert_same(runner.run(batch, head=name), {"logits": output.logits.numpy()}, batch, most=CLOSE)
    assert np.array_equal(runner.run(batch)["logits"], runner.run(batch, head="old")["logits"])


def test_a_call_leaves_its_arrays_alone_and_the_next_call_says_the_same() -> None:
    runner, batch = runner_of(tiny_model("tinybert", "sequence_classification")), packed()
    for array in batch.values():
        array.setflags(write=False)
    first, second = (runner.run(batch)["logits"] for _ in range(2))
    assert np.array_equal(first, second)


def test_unknown_inputs_heads_and_weights_are_refused() -> None:
    model = tiny_model("bert", "multiple_choice")
    with pytest.raises(UnknownNameError, match="no input 'labels'"):
        runner_of(model).run({**packed(), "labels": np.zeros(4)})
    with pytest.raises(ShapeError, match="batch, choices, length"):
        runner_of(model).run(padded("right"))
    with pytest.raises(ShapeError, match="expected an array of shape"):
        NumpyRunner(Spec.of(model), {})
    with pytest.raises(CheckpointError, match="no folder with a config"):
        _ = runner_of(model).config


def test_gelu_of_float32_is_nearer_to_the_truth_than_pytorchs() -> None:
    values = torch.linspace(-6, 6, 100_001)
    exact = F.gelu(values.double()).numpy()
    ours = np.abs(activate(values.numpy().copy(), "gelu") - exact).max()
    assert ours <= np.abs(F.gelu(values).numpy() - exact).max()
