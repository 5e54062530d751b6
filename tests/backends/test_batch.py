"""What a runner is given is looked at before anything is computed, in the same words for every backend."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from plm.auto.choosing import open_runner
from plm.backends import pt2
from plm.backends.batch import Inputs
from plm.backends.exporting import export
from plm.backends.pt2 import load_pt2
from plm.backends.runner import Runner
from plm.errors import BackendUnavailable, DataError, PlmError, ShapeError, UnknownNameError
from tests.tiny_folders import tiny_folder
from tests.tiny_models import tiny_config
from tests.tolerances import assert_close

INPUTS = Inputs(words=31, types=2, positions=24)
IDS = np.array([[1, 2]])

HOSTILE: list[tuple[dict[str, Any], type[PlmError], str]] = [
    ({"input_ids": np.array([[1, 31]])}, DataError, r"input_ids: .* 0 to 30, .* got 31 at \(0, 1\)"),
    ({"input_ids": np.array([[1, -1]])}, DataError, "got -1"),
    ({"input_ids": np.array([[1, 2**40]])}, DataError, "got 1099511627776"),
    ({"input_ids": np.array([[1.0, 2.0]])}, DataError, "expected integers, got float64"),
    ({"input_ids": np.array([1, 2])}, ShapeError, "or have more leading dimensions"),
    ({"input_ids": np.ones((0, 2), int)}, ShapeError, r"got \(0, 2\)"),
    ({"input_ids": np.ones((2, 0), int)}, ShapeError, r"got \(2, 0\)"),
    ({"input_ids": np.ones((1, 25), int)}, ShapeError, "has 25 tokens, the model has 24 positions"),
    ({"attention_mask": np.ones((1, 3), int)}, ShapeError, r"expected \(1, 2\) like input_ids"),
    ({"attention_mask": np.array([[0.5, 1.0]])}, DataError, "other than 0 and 1"),
    ({"attention_mask": np.array([[0, -10000]])}, DataError, "other than 0 and 1"),
    ({"token_type_ids": np.array([[0]])}, ShapeError, r"expected \(1, 2\) like input_ids"),
    ({"token_type_ids": np.array([[0, 2]])}, DataError, "token_type_ids: .* 0 to 1, .* got 2"),
    ({"token_type_ids": np.array([[0, -1]])}, DataError, "token_type_ids: .* got -1"),
    ({"kind": IDS}, UnknownNameError, "'kind'"),
]
PACKED: list[tuple[dict[str, Any], type[PlmError], str]] = [
    ({"lengths": np.array([2])}, ShapeError, "add up to 2 tokens"),
    ({"input_ids": np.array([1, 2]), "lengths": np.array([2, 0])}, ShapeError, "at least one token each"),
    ({"input_ids": np.array([1, 2]), "lengths": np.array([3, -1])}, ShapeError, "at least one token each"),
    ({"input_ids": np.array([], int), "lengths": np.array([], int)}, ShapeError, "at least one token each"),
    ({"lengths": np.array([2]), "attention_mask": np.ones((1, 2), int)}, ShapeError, "no attention_mask"),
]


@pytest.fixture(scope="module")
def runners(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Runner]:
    """The same classifier by every backend that is installed."""
    folder = tmp_path_factory.mktemp("runners")
    source = tiny_folder(folder / "source", "bert", "sequence_classification")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pt2, "has_compiler", lambda: False)
        export(source, folder / "pt2", to="pt2", verify=False)
    opened: dict[str, Runner] = {"pt2": load_pt2(folder / "pt2", "sequence_classification", "float32")}
    for name in ("torch", "int8", "onnx", "numpy"):
        with contextlib.suppress(BackendUnavailable):
            opened[name] = open_runner(source, "sequence_classification", backend=name, dtype="float32")
    return opened


@pytest.mark.parametrize(("changes", "error", "message"), [*HOSTILE, *PACKED])
def test_arrays_that_do_not_fit_are_refused(changes: dict[str, Any], error: type[PlmError], message: str) -> None:
    with pytest.raises(error, match=message):
        INPUTS.checked({"input_ids": IDS, **changes})


@pytest.mark.parametrize(("changes", "error"), [(row[0], row[1]) for row in [*HOSTILE, *PACKED]])
def test_every_backend_refuses_them(changes: dict[str, Any], error: type[PlmError], runners: dict[str, Runner]) -> None:
    words = runners["torch"].config.vocab_size
    batch = {"input_ids": IDS, **changes}
    if batch["input_ids"].max(initial=0) == INPUTS.words:
        batch["input_ids"] = np.array([[1, words]])
    for runner in runners.values():
        with pytest.raises((error, ShapeError)):  # a shape, where a backend takes no packed texts at all
            runner.run(batch)


def test_numbers_of_padding_are_of_no_account(runners: dict[str, Runner]) -> None:
    mask = np.array([[0, 1, 1], [1, 1, 0]])
    ids = np.where(mask == 1, 3, -100)
    for runner in runners.values():
        wanted = runner.run({"input_ids": ids * mask, "attention_mask": mask})["logits"]
        assert_close(runner.run({"input_ids": ids, "attention_mask": mask})["logits"], wanted)


def test_any_type_of_integers_and_truth_values_of_a_mask_are_taken(runners: dict[str, Runner]) -> None:
    for runner in runners.values():
        wanted = runner.run({"input_ids": IDS, "attention_mask": np.ones((1, 2), int)})["logits"]
        for ids, mask in ((np.int32, bool), (np.uint16, np.float32), (np.int8, np.uint8)):
            given = runner.run({"input_ids": IDS.astype(ids), "attention_mask": np.ones((1, 2), mask)})["logits"]
            assert_close(given, wanted)


def test_types_of_gpt1_are_words() -> None:
    inputs = Inputs.of(tiny_config("openai-gpt"))
    assert inputs.checked({"input_ids": IDS, "token_type_ids": IDS * 10})["token_type_ids"].max() == 20


def test_left_padding_counts_for_nothing() -> None:
    mask = np.array([[0] * 6 + [1] * 24])
    assert INPUTS.checked({"input_ids": np.ones_like(mask), "attention_mask": mask})["input_ids"].shape == (1, 30)


def test_masks_of_pairs_and_targets_go_to_models_that_look_at_them() -> None:
    more = {"attention_mask": np.full((1, 2, 2), 0.5), "labels": np.zeros(1)}
    checked = Inputs(words=31, types=2, positions=24, takes_more=True).checked({"input_ids": IDS, **more})
    assert checked["attention_mask"] is more["attention_mask"]
    assert checked["labels"] is more["labels"]


def test_a_backend_without_packed_texts_says_so() -> None:
    with pytest.raises(ShapeError, match="padded texts alone"):
        Inputs(words=31, types=2, positions=24, takes_packed=False).checked(
            {"input_ids": np.array([1]), "lengths": np.array([1])}
        )


def test_looking_costs_no_torch() -> None:
    code = "import sys, plm.backends.batch; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[2], check=False).returncode == 0
