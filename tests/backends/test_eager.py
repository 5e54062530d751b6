"""The torch backend takes packed and padded arrays and gives the model's own numbers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from plm.backends import BACKENDS
from plm.backends.eager import TorchRunner, load_torch
from plm.checkpoints.saving import save_model
from plm.errors import CheckpointError, ConfigError, UnknownNameError
from tests.backends.batches import LENGTHS, packed, padded
from tests.tiny_models import FAMILY_NAMES, tiny_model
from tests.tolerances import assert_close


@pytest.mark.parametrize("family", FAMILY_NAMES)
def test_packed_and_padded_texts_give_the_same_states(family: str) -> None:
    runner = TorchRunner(tiny_model(family))
    rows, texts = runner.run(packed())["last_hidden_state"], runner.run(padded())["last_hidden_state"]
    assert rows.shape == (sum(LENGTHS), 12)
    for text, part in zip(texts, np.split(rows, np.cumsum(LENGTHS)[:-1]), strict=True):
        assert_close(text[: len(part)], part)


@pytest.mark.parametrize("family", FAMILY_NAMES)
def test_a_runner_gives_what_the_model_gives(family: str) -> None:
    model = tiny_model(family, "sequence_classification").eval()
    batch = {name: torch.from_numpy(array) for name, array in padded().items()}
    with torch.no_grad():
        expected = model(**batch).logits
    output = TorchRunner(model).run(padded())
    assert list(output) == ["logits"]
    assert_close(output["logits"], expected)
    assert_close(TorchRunner(model).run(packed())["logits"], expected)


def test_arrays_may_be_read_only_and_are_left_alone() -> None:
    batch = padded()
    for array in batch.values():
        array.setflags(write=False)
    TorchRunner(tiny_model("bert")).run(batch)


def test_predictions_carry_no_gradients_and_no_dropout() -> None:
    runner = TorchRunner(tiny_model("bert", hidden_dropout_prob=0.5))
    assert not runner.model.training
    first, second = (runner.run(packed())["last_hidden_state"] for _ in range(2))
    assert np.array_equal(first, second)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16", "auto"])
def test_results_are_float32_whatever_the_weights_are(dtype: str, tmp_path: Path) -> None:
    save_model(tiny_model("bert").half(), tmp_path)
    runner = BACKENDS.get("torch").load(tmp_path, None, dtype)
    assert runner.run(packed())["last_hidden_state"].dtype == np.float32


def test_a_head_that_is_not_stored_is_refused(tmp_path: Path) -> None:
    save_model(tiny_model("bert", "masked_lm"), tmp_path)
    with pytest.raises(CheckpointError, match="has no trained sequence_classification, its answers would be random"):
        load_torch(tmp_path, "sequence_classification", "float32")
    assert load_torch(tmp_path, "masked_lm", "float32").takes_packed


def test_unknown_names_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="unknown backend 'tensorrt'"):
        BACKENDS.get("tensorrt")
    with pytest.raises(ConfigError, match="dtype: 'int3' is not one of"):
        load_torch(tmp_path, None, "int3")
