"""Same inputs, same outputs: every backend, family and head, padded and packed, against eager PyTorch."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import plm
from plm.auto.backend_model import BackendModel
from plm.auto.choosing import open_runner
from plm.backends import BACKENDS
from plm.backends.compiled import has_compiler
from plm.backends.eager import TorchRunner
from plm.backends.exporting import EXPORTS, export
from plm.backends.runner import Arrays, Runner
from plm.blocks.int8 import int8_supported
from plm.checkpoints.saving import save_model
from plm.checkpoints.verification import CHOICE_HEADS
from plm.errors import CheckpointError, ConfigError
from plm.heads.model import Model
from plm.models.families import FAMILIES
from tests.backends.batch_forms import packed, padded
from tests.tiny_models import FAMILY_NAMES, tiny_model
from tests.tolerances import INT8_SHARE, assert_close

EVERY_HEAD = [(family, head) for family in FAMILY_NAMES for head in (None, *FAMILIES.get(family).heads)]
ONE_HEAD = {
    "bert": "sequence_classification",
    "nezha": "token_classification",
    "openai-gpt": "causal_lm",
    "tinybert": "question_answering",
}


@dataclass(frozen=True, kw_only=True)
class Way:
    """One way to have a model computed.

    is_there: False = its packages are not installed here. exported: the row of EXPORTS whose folders are also taken, or
    the only ones. only_exported: True = no plain checkpoint is. eight_bits: True = answers are near, not equal.
    captures: True = PyTorch makes a program of each model, which takes seconds; all of them where PLM_EVERY_PROGRAM is
    set, else one head a family.
    """

    backend: str
    dtype: str = "float32"
    is_there: bool = True
    exported: str | None = None
    only_exported: bool = False
    eight_bits: bool = False
    captures: bool = False


HAS_ONNX = all(importlib.util.find_spec(name) for name in ("onnx", "onnxruntime"))
WAYS = {
    "torch": Way(backend="torch"),
    "compiled": Way(backend="compiled", is_there=has_compiler(), captures=True),
    "int8": Way(backend="int8", is_there=int8_supported(), exported="int8", eight_bits=True),
    "torch, int8": Way(backend="torch", dtype="int8", is_there=int8_supported(), eight_bits=True),
    "onnx": Way(backend="onnx", is_there=HAS_ONNX, exported="onnx"),
    "onnx, int8": Way(backend="onnx", dtype="int8", is_there=HAS_ONNX, exported="onnx", eight_bits=True),
    "numpy": Way(backend="numpy"),
    "pt2": Way(backend="pt2", exported="pt2", only_exported=True, captures=True),
}


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest) -> Way:
    found = WAYS[request.param]
    if not found.is_there:
        pytest.skip(f"{request.param}: what it needs is not installed")
    return found


@pytest.fixture
def captured(monkeypatch: pytest.MonkeyPatch) -> None:
    """Programs of PyTorch are captured, as they are in earnest, and not turned into machine code, which takes long."""
    monkeypatch.setattr("torch.compile", partial(_captured_only, torch.compile))
    monkeypatch.setattr("plm.backends.pt2.has_compiler", lambda: False)


def _captured_only(compile_: Callable[..., Any], model: Any, *, dynamic: bool, options: Any) -> Any:
    return compile_(model, dynamic=dynamic, backend="eager")


@pytest.fixture(autouse=True)
def forgetful() -> Iterator[None]:
    """Programs of one test are none of the next one's."""
    yield
    torch.compiler.reset()


def saved(model: Model, folder: Path) -> Path:
    save_model(model, folder / "checkpoint")
    return folder / "checkpoint"


def opened(way: Way, checkpoint: Path, head: str | None) -> Runner:
    if way.only_exported:
        return open_runner(exported(way, checkpoint, head), head, backend=way.backend, dtype=way.dtype)
    return open_runner(checkpoint, head, backend=way.backend, dtype=way.dtype)


def exported(way: Way, checkpoint: Path, head: str | None) -> Path:
    assert way.exported is not None
    destination = checkpoint.with_name("exported")
    export(checkpoint, destination, to=way.exported, head=head or "none", dtype=way.dtype, verify=False)
    return destination


def batches(runner: Runner, *, choices: bool, types: bool) -> Iterator[Arrays]:
    """Padded on either side, with and without types where the model knows them, and packed where that is taken."""
    for with_types in {types, False}:
        for mask in ("full", "right", "left"):
            yield padded(mask, types=with_types, choices=choices)
        if runner.takes_packed and not choices:
            yield packed(types=with_types)


def assert_answers_like_eager(way: Way, runner: Runner, model: Model) -> None:
    """The same names, shapes and, at live tokens, values."""
    head = next(iter(model.heads), None)
    eager = TorchRunner(model)
    for batch in batches(runner, choices=head in CHOICE_HEADS, types=bool(model.config.type_vocab_size)):
        expected, actual = eager.run(batch), runner.run(batch)
        assert list(actual) == list(expected)
        for name, values in expected.items():
            assert actual[name].shape == values.shape
            assert actual[name].dtype == np.float32
            assert_near(way, live(actual[name], batch), live(values, batch))


def live(values: np.ndarray[Any, Any], batch: Arrays) -> np.ndarray[Any, Any]:
    """Without what is said about padding."""
    mask = batch.get("attention_mask")
    is_by_token = mask is not None and values.shape[: mask.ndim] == mask.shape
    return values[mask == 1] if is_by_token else values


def assert_near(way: Way, actual: Any, expected: Any) -> None:
    if way.eight_bits:
        assert np.linalg.norm(actual - expected) <= INT8_SHARE * np.linalg.norm(expected)
    else:
        # Sums of other kernels run in another order, through layers whose values are larger than those of real models.
        assert_close(actual, expected, factor=4.0)


@pytest.mark.usefixtures("captured")
@pytest.mark.parametrize(("family", "head"), EVERY_HEAD)
def test_every_backend_answers_like_eager_pytorch(way: Way, family: str, head: str | None, tmp_path: Path) -> None:
    if way.captures and head != ONE_HEAD[family] and "PLM_EVERY_PROGRAM" not in os.environ:
        pytest.skip("takes seconds; set PLM_EVERY_PROGRAM to have it done")
    layers = 1 if way.captures else 2
    model = tiny_model(family, *([] if head is None else [head]), num_hidden_layers=layers).eval()
    assert_answers_like_eager(way, opened(way, saved(model, tmp_path), head), model)


@pytest.mark.usefixtures("captured")
@pytest.mark.parametrize("family", FAMILY_NAMES)
def test_exported_folders_answer_like_the_checkpoints_that_they_were_made_of(
    way: Way, family: str, tmp_path: Path
) -> None:
    if way.exported is None or way.only_exported:
        pytest.skip("nothing is exported for this backend, or the tests above do it")
    head = ONE_HEAD[family]
    model = tiny_model(family, head).eval()
    runner = open_runner(exported(way, saved(model, tmp_path), head), head, backend=way.backend, dtype=way.dtype)
    assert_answers_like_eager(way, runner, model)


@pytest.mark.usefixtures("captured")
@pytest.mark.parametrize("family", FAMILY_NAMES)
def test_models_of_the_front_door_have_named_outputs(way: Way, family: str, tmp_path: Path) -> None:
    if way.captures and family != "bert":
        pytest.skip("takes seconds, and says no more than the test of one family")
    model = tiny_model(family, "sequence_classification").eval()
    folder = saved(model, tmp_path)
    if way.only_exported:
        folder = exported(way, folder, "sequence_classification")
    if way.backend == "torch" and way.dtype == "int8":
        with pytest.raises(ConfigError, match='say backend="int8"'):
            plm.AutoModelForSequenceClassification.from_pretrained(folder, dtype="int8")
        return
    asked = plm.AutoModelForSequenceClassification.from_pretrained(folder, backend=way.backend, dtype=way.dtype)
    assert isinstance(asked, BackendModel) == (way.backend != "torch")
    batch = {name: torch.from_numpy(array) for name, array in padded("left", types=family != "openai-gpt").items()}
    with torch.no_grad():
        expected, output = model(**batch), asked(**batch)
    assert list(output) == list(expected) == ["logits"]
    assert isinstance(output["logits"], torch.Tensor)
    assert_near(way, output.logits.detach().numpy(), expected.logits.numpy())
    assert asked.config.labels == model.config.labels


def test_a_head_that_is_not_stored_is_refused_by_all(way: Way, tmp_path: Path) -> None:
    folder = saved(tiny_model("bert", "masked_lm"), tmp_path)
    with pytest.raises(CheckpointError):
        open_runner(folder, "sequence_classification", backend=way.backend, dtype=way.dtype)


def test_every_backend_of_the_table_is_tested_here() -> None:
    assert {one.backend for one in WAYS.values()} == set(BACKENDS.names())
    assert {one.exported for one in WAYS.values()} - {None} == set(EXPORTS.names())
