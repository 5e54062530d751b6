"""Models of other backends than PyTorch's, from the front door: what they take, give and refuse."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import plm
from plm.auto.backend_model import BackendModel
from plm.auto.choosing import open_engine, open_runner, settled
from plm.errors import BackendUnavailable, ConfigError, DataError, ShapeError, UnknownNameError
from tests.tiny_folders import tiny_folder
from tests.tolerances import assert_close

IDS = [[2, 7, 9, 3], [2, 8, 3, 0]]
MASK = [[1, 1, 1, 1], [1, 1, 1, 0]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_folder(tmp_path_factory.mktemp("classifier"), "bert", "sequence_classification")


@pytest.fixture(scope="module")
def model(folder: Path) -> BackendModel:
    loaded = plm.AutoModelForSequenceClassification.from_pretrained(folder, backend="numpy")
    assert isinstance(loaded, BackendModel)
    return loaded


@pytest.fixture(scope="module")
def expected(folder: Path) -> torch.Tensor:
    eager = plm.AutoModelForSequenceClassification.from_pretrained(folder)
    with torch.no_grad():
        logits: torch.Tensor = eager(torch.tensor(IDS), torch.tensor(MASK)).logits
    return logits


def test_tensors_give_tensors_and_all_else_gives_arrays(model: BackendModel, expected: torch.Tensor) -> None:
    tensors = model(input_ids=torch.tensor(IDS), attention_mask=torch.tensor(MASK).bool())
    assert isinstance(tensors.logits, torch.Tensor)
    assert_close(tensors.logits, expected)
    for given in (IDS, MASK), (np.array(IDS, dtype=np.int32), np.array(MASK, dtype=bool)):
        arrays = model(*given)
        assert isinstance(arrays.logits, np.ndarray)
        assert_close(arrays.logits, expected)


def test_outputs_have_names_keys_and_places(model: BackendModel) -> None:
    output = model(IDS, MASK)
    assert list(output) == output.keys() == ["logits"]
    assert "logits" in output
    assert "loss" not in output
    assert output[0] is output["logits"] is output.logits is output.to_tuple()[0]
    assert repr(output) == "BackendOutput(logits=(2, 2))"
    with pytest.raises(AttributeError, match=r"'loss' is not among the outputs \['logits'\]"):
        _ = output.loss
    with pytest.raises(KeyError, match="not among the outputs"):
        output["loss"]


def test_what_a_tokenizer_gives_can_be_handed_on(folder: Path, model: BackendModel) -> None:
    batch = plm.AutoTokenizer.from_pretrained(folder)(["the good film", "bad"], padding=True, return_tensors="pt")
    eager = plm.AutoModelForSequenceClassification.from_pretrained(folder)
    assert_close(model(**batch).logits, eager(**batch).logits)
    assert (model.backend, model.config.num_labels, repr(model)) == ("numpy", 2, "BackendModel(backend='numpy')")


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ({"input_ids": IDS, "labels": [0, 1]}, ConfigError, "labels: a model of the backend 'numpy' predicts"),
        ({"input_ids": IDS, "tap": object()}, ConfigError, "tap: "),
        ({"input_ids": [[1, 2], [3]]}, ShapeError, "input_ids: its rows differ in length"),
        ({"input_ids": [1, 2]}, ShapeError, r"must be \(batch, length\)"),
        ({"input_ids": np.ones((0, 3), int)}, ShapeError, "none 0"),
        (
            {"input_ids": IDS, "attention_mask": [[1, 1]]},
            ShapeError,
            r"attention_mask is \(1, 2\), expected \(2, 4\) like input_ids",
        ),
        ({"input_ids": [[1.0, 2.0]]}, DataError, "expected whole numbers, got float64"),
    ],
)
def test_what_it_cannot_take_is_an_error(
    model: BackendModel, given: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        model(**given)
    model(IDS, labels=None)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"num_labels": 3}, "num_labels: backend 'numpy' takes a checkpoint as it is"),
        ({"config": {}}, "config: backend 'numpy' takes a checkpoint as it is"),
        ({"device": "cuda"}, "'numpy' chooses itself where it computes"),
        ({"torch_dtype": "auto"}, "is an argument of transformers"),
    ],
)
def test_what_changes_a_checkpoint_is_for_pytorch_alone(folder: Path, given: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        plm.AutoModelForSequenceClassification.from_pretrained(folder, backend="numpy", **given)


def test_several_heads_and_unknown_backends_are_refused(folder: Path) -> None:
    with pytest.raises(ConfigError, match="backend: computes one head"):
        plm.AutoModelForTasks.from_pretrained(folder, backend="numpy")
    with pytest.raises(UnknownNameError, match="unknown backend 'nunpy'; did you mean 'numpy'"):
        plm.AutoModel.from_pretrained(folder, backend="nunpy")


def test_eight_bits_of_pytorch_are_the_backend_int8(folder: Path) -> None:
    assert settled("torch", "int8") == settled("int8", "int8") == settled("int8", "float32") == ("int8", "float32")
    assert settled("onnx", "int8") == ("onnx", "int8")
    with pytest.raises(ConfigError, match='"int8" is for backends: say backend="int8"'):
        plm.AutoModel.from_pretrained(folder, dtype="int8")
    one, other = (
        open_runner(folder, None, backend=backend, dtype="int8").run({"input_ids": np.array(IDS)})
        for backend in ("torch", "int8")
    )
    assert np.array_equal(one["last_hidden_state"], other["last_hidden_state"])


def test_backends_that_write_no_texts_name_those_that_do(folder: Path) -> None:
    with pytest.raises(BackendUnavailable, match=r"backend 'numpy' does not write texts: take one .*torch.*int8.*onnx"):
        open_engine(folder, backend="numpy", dtype="float32")


PROGRAM = """
import json, sys
import numpy as np
import plm
model = plm.AutoModelForSequenceClassification.from_pretrained(sys.argv[1], backend="numpy")
output = model(**plm.AutoTokenizer.from_pretrained(sys.argv[1])(["the good film", "bad"], padding=True))
print(json.dumps([output.logits.shape, model.backend, "torch" in sys.modules]))
"""


def test_numpy_models_are_loaded_and_asked_without_torch(folder: Path) -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM, str(folder)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [[2, 2], "numpy", False]
