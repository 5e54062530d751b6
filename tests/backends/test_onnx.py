"""Graphs of all families and heads give what eager PyTorch gives, padded and packed, in float32 and in eight bits."""

from __future__ import annotations

import importlib.resources
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from plm.backends.eager import TorchRunner
from plm.backends.runner import BACKENDS, Arrays
from plm.checkpoints.saving import save_model
from plm.errors import CheckpointError, ConfigError, ShapeError
from plm.heads.model import Model
from plm.models.families import FAMILIES
from tests.tiny_models import FAMILY_NAMES, mask_of, random_ids, tiny_model
from tests.tolerances import assert_close

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from plm.backends.onnx.exporting import BuiltSessions
from plm.backends.onnx.forms import CHOOSING, COMPARING
from plm.backends.onnx.runner import OnnxRunner

LENGTHS, LONGEST = (5, 1, 9, 3), 9
LOWEST = np.finfo(np.float32).min
HEADS = [(family, head) for family in FAMILY_NAMES for head in (None, *FAMILIES.get(family).heads)]


def runner(model: Model, dtype: str = "float32") -> OnnxRunner:
    return OnnxRunner(model.config, BuiltSessions(model.eval(), dtype=dtype))


def texts(model: Model, mask: torch.Tensor) -> Arrays:
    ids = random_ids(*mask.shape)
    batch = {"input_ids": ids.numpy(), "attention_mask": mask.numpy()}
    if model.config.type_vocab_size:
        batch["token_type_ids"] = (random_ids(*mask.shape, seed=1) % 2).numpy()
    return batch


def packed(batch: Arrays) -> Arrays:
    mask = batch["attention_mask"] == 1
    rows = {name: array[mask] for name, array in batch.items() if name != "attention_mask"}
    return rows | {"lengths": mask.sum(1)}


def batches(model: Model, head: str | None) -> list[Arrays]:
    right = texts(model, mask_of(LONGEST, *((0, length) for length in LENGTHS)))
    left = texts(model, mask_of(LONGEST, *((LONGEST - length, LONGEST) for length in LENGTHS)))
    choices = {name: array.reshape(2, 2, LONGEST) for name, array in left.items()}
    if head in CHOOSING:
        return [choices]
    return [right, left, packed(right), *([choices] if head in COMPARING else [])]


def compare(model: Model, given: OnnxRunner, batch: Arrays, *, cosine: float | None = None) -> None:
    """Fields by token are compared where there are live ones. cosine: of all values at least; None = equal values."""
    expected, output = TorchRunner(model).run(batch), given.run(batch)
    assert list(output) == list(expected)
    for name, values in expected.items():
        assert output[name].dtype == np.float32
        pair = [np.atleast_1d(array) for array in (values, output[name])]
        assert pair[0].shape == pair[1].shape
        mask = batch.get("attention_mask")
        if mask is not None and values.shape[: mask.ndim] == mask.shape:
            pair = [array[mask == 1] for array in pair]
        if cosine is None:
            assert_close(pair[1], pair[0], factor=2)  # sums in another order
        else:
            first, second = (array[array > LOWEST].astype(np.float64) for array in pair)
            assert first @ second / np.linalg.norm(first) / np.linalg.norm(second) > cosine


@pytest.mark.parametrize(("family", "head"), HEADS)
def test_every_head_of_every_family_answers_as_eager(family: str, head: str | None) -> None:
    model = tiny_model(family, *([head] if head else [])).eval()
    given = runner(model)
    for batch in batches(model, head):
        compare(model, given, batch)


@pytest.mark.parametrize(("family", "head"), HEADS)
def test_eight_bits_stay_near(family: str, head: str | None) -> None:
    model = tiny_model(family, *([head] if head else [])).eval()
    given = runner(model, "int8")
    for batch in batches(model, head):
        compare(model, given, batch, cosine=0.99)


@pytest.mark.parametrize(
    "changes",
    [
        {"attention_pattern": "causal"},
        {"norm": "pre"},
        {"tie_word_embeddings": False},
        *({"hidden_act": name} for name in ("gelu_new", "relu", "silu", "tanh")),
        {"type_vocab_size": 0},
    ],
)
@pytest.mark.parametrize("family", ["bert", "nezha"])
def test_every_choice_of_a_config_is_in_the_graph(family: str, changes: dict[str, Any]) -> None:
    model = tiny_model(family, "masked_lm", **changes).eval()
    given = runner(model)
    for batch in batches(model, "masked_lm"):
        compare(model, given, batch)


@pytest.mark.parametrize("family", FAMILY_NAMES)
def test_holes_in_a_mask_count_as_places_and_are_not_seen(family: str) -> None:
    model = tiny_model(family).eval()
    mask = torch.tensor([[0, 1, 1, 0, 0, 1, 1, 0, 1], [1, 0, 1, 1, 1, 1, 0, 0, 0]])
    compare(model, runner(model), texts(model, mask))


@pytest.mark.parametrize("family", FAMILY_NAMES)
def test_a_text_without_live_tokens_changes_no_other_and_sees_nothing(family: str) -> None:
    model = tiny_model(family, "sequence_classification").eval()
    compare(model, runner(model), texts(model, mask_of(6, (0, 4), (0, 0), (2, 6))))


def test_choices_that_are_not_there_are_the_lowest() -> None:
    model = tiny_model("bert", "multiple_choice").eval()
    batch = {
        name: array.reshape(2, 2, 6) for name, array in texts(model, mask_of(6, (0, 4), (0, 0), (2, 6), (0, 6))).items()
    }
    logits = runner(model).run(batch)["logits"]
    assert logits[0, 1] == LOWEST
    assert (np.delete(logits.ravel(), 1) > LOWEST).all()


@pytest.mark.parametrize("family", ["bert", "openai-gpt"])
def test_without_a_mask_the_last_token_that_is_no_padding_stands_for_the_text(family: str) -> None:
    model = tiny_model(family, "sequence_classification", classifier_pooling="last_token", pad_token_id=7).eval()
    ids = random_ids(3, 6).numpy()
    ids[0, 4:], ids[1, 1], ids[2] = 7, 7, 7
    compare(model, runner(model), {"input_ids": ids})


def test_without_token_types_they_are_of_the_first_type_and_gpt1_looks_them_up_among_words() -> None:
    for family in ("bert", "openai-gpt"):
        model = tiny_model(family).eval()
        given, ids = runner(model), random_ids(2, 5).numpy()
        compare(model, given, {"input_ids": ids})
        compare(model, given, {"input_ids": ids, "token_type_ids": ids % 2})


@pytest.mark.parametrize("pattern", ["full", "causal"])
def test_long_texts_of_relative_attention_are_computed_in_blocks(pattern: str) -> None:
    model = tiny_model("nezha", attention_pattern=pattern).eval()
    compare(model, runner(model), {"input_ids": random_ids(530 + 256 + 3).numpy(), "lengths": np.array([530, 256, 3])})


def test_texts_longer_than_the_positions_are_refused() -> None:
    given = runner(tiny_model("bert"))
    for batch in ({"input_ids": np.ones((1, 25), int)}, {"input_ids": np.ones(25, int), "lengths": np.array([25])}):
        with pytest.raises(ShapeError, match="the text has 25 tokens, the model has 24 positions"):
            given.run(batch)


def test_inputs_of_other_shapes_are_refused() -> None:
    with pytest.raises(ShapeError, match=r"must be \(batch, length\) or \(batch, choices, length\), got"):
        runner(tiny_model("bert")).run({"input_ids": np.ones((1, 1, 1, 3), int)})


def test_a_head_that_chooses_refuses_single_texts() -> None:
    with pytest.raises(ShapeError, match="batch, choices, length"):
        runner(tiny_model("bert", "multiple_choice")).run({"input_ids": np.ones((2, 3), int)})


def test_prefix_patterns_and_other_dtypes_are_refused() -> None:
    with pytest.raises(ConfigError, match="attention_pattern 'prefix'"):
        runner(tiny_model("bert", attention_pattern="prefix"))
    with pytest.raises(ConfigError, match="dtype: onnx holds weights in one of float32, int8, got 'bfloat16'"):
        runner(tiny_model("bert"), "bfloat16")


def test_a_checkpoint_is_opened_by_the_name_of_the_backend(tmp_path: Path) -> None:
    model = tiny_model("bert", "masked_lm").eval()
    save_model(model, tmp_path)
    compare(model, BACKENDS.get("onnx").load(tmp_path, "masked_lm", "auto"), batches(model, None)[0])
    with pytest.raises(CheckpointError, match="has no trained matching"):
        BACKENDS.get("onnx").load(tmp_path, "matching", "float32")


def test_eight_bits_are_those_of_the_int8_backend_on_a_trained_model() -> None:
    with importlib.resources.as_file(importlib.resources.files("plm") / "assets" / "tiny-en") as folder:
        exact, small, theirs = (
            BACKENDS.get(name).load(folder, None, dtype)
            for name, dtype in (("torch", "float32"), ("onnx", "int8"), ("int8", "float32"))
        )
    batch = {"input_ids": np.random.default_rng(0).integers(1000, 8000, 60), "lengths": np.array([40, 15, 5])}
    for name, values in exact.run(batch).items():
        wanted, given, other = (
            array.ravel().astype(np.float64) for array in (values, small.run(batch)[name], theirs.run(batch)[name])
        )
        norms = [np.linalg.norm(array) for array in (wanted, given, other)]
        assert wanted @ given / norms[0] / norms[1] > 0.99
        assert given @ other / norms[1] / norms[2] > 0.9999
