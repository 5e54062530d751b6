"""The pt2 backend: a model as one program, compiled or captured, for every family, batch and length."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from plm.backends import BACKENDS, pt2
from plm.backends.compiled import has_compiler
from plm.backends.exporting import export
from plm.backends.pt2 import input_names, load_pt2
from plm.errors import CheckpointError, ShapeError
from tests.backends.batches import live, padded
from tests.tiny_folders import tiny_folder
from tests.tiny_models import FAMILY_NAMES, tiny_config
from tests.tolerances import assert_close


@pytest.fixture
def captured(monkeypatch: pytest.MonkeyPatch) -> None:
    """No compiler: programs are captured, not compiled, which is much faster."""
    monkeypatch.setattr(pt2, "has_compiler", lambda: False)


@pytest.mark.usefixtures("captured")
@pytest.mark.parametrize(
    ("family", "head"),
    [*((family, "token_classification") for family in FAMILY_NAMES), ("openai-gpt", "double_heads"), ("bert", None)],
)
def test_a_captured_program_gives_the_numbers_of_the_model(family: str, head: str | None, tmp_path: Path) -> None:
    source = tiny_folder(tmp_path / "source", family, *([] if head is None else [head]))
    report = export(source, tmp_path / "pt2", to="pt2")
    assert set(report.files) >= {"model.pt2", "config.json", "tokenizer.json"}
    assert "no C++ compiler" in report.notes[0]
    assert all(value <= 1e-5 for value in report.proofs[head or ""].relative.values())


@pytest.mark.skipif(not has_compiler(), reason="no C++ compiler here")
@pytest.mark.filterwarnings("ignore")  # the compiler has its own
def test_a_compiled_program_takes_any_batch_and_length(tmp_path: Path) -> None:
    source = tiny_folder(tmp_path / "source", "bert", "sequence_classification", num_hidden_layers=1)
    report = export(source, tmp_path / "pt2", to="pt2")
    assert report.notes == ()
    runner = load_pt2(tmp_path / "pt2", "sequence_classification", "float32")
    eager = BACKENDS.get("torch").load(source, "sequence_classification", "float32")
    random = np.random.default_rng(0)
    for shape in [(1, 1), (1, 24), (7, 1), (64, 24), (24, 24)]:
        batch = {"input_ids": random.integers(1, 20, shape)}
        assert_close(runner.run(batch)["logits"], eager.run(batch)["logits"], factor=2)


@pytest.mark.usefixtures("captured")
def test_a_program_runs_without_plm(tmp_path: Path) -> None:
    source = tiny_folder(tmp_path / "source", "bert", "sequence_classification")
    export(source, tmp_path / "pt2", to="pt2", dtype="bfloat16")
    program = torch.export.load(tmp_path / "pt2" / "model.pt2").module()
    batch = padded()
    inputs = [
        torch.from_numpy(batch.get(name, np.zeros((3, 5), np.int64))) for name in input_names(tiny_config("bert"))
    ]
    logits = program(*inputs)["logits"]
    assert logits.dtype == torch.bfloat16
    runner = BACKENDS.get("pt2").load(tmp_path / "pt2", "sequence_classification", "auto")
    assert_close(live(runner.run(batch), batch)["logits"], logits, dtype=torch.bfloat16)


@pytest.mark.usefixtures("captured")
def test_what_is_no_program_of_this_head_is_refused(tmp_path: Path) -> None:
    source = tiny_folder(tmp_path / "source", "bert", "masked_lm")
    with pytest.raises(CheckpointError, match=r"plm export .* --to pt2 makes one"):
        load_pt2(source, "masked_lm", "float32")
    export(source, tmp_path / "pt2", to="pt2", verify=False)
    with pytest.raises(CheckpointError, match="no head 'matching'"):
        load_pt2(tmp_path / "pt2", "matching", "float32")
    with pytest.raises(CheckpointError, match="was exported with the head masked_lm"):
        load_pt2(tmp_path / "pt2", None, "float32")
    (tmp_path / "pt2" / "model.pt2").write_bytes(b"damaged")
    with pytest.raises(CheckpointError, match="cannot be opened"):
        load_pt2(tmp_path / "pt2", "masked_lm", "float32")


@pytest.mark.usefixtures("captured")
def test_types_are_refused_where_the_program_has_no_place_for_them(tmp_path: Path) -> None:
    export(tiny_folder(tmp_path / "source", "openai-gpt", "causal_lm"), tmp_path / "pt2", to="pt2", verify=False)
    runner = load_pt2(tmp_path / "pt2", "causal_lm", "float32")
    ids = np.ones((1, 3), int)
    with pytest.raises(ShapeError, match="token_type_ids: this program was captured without"):
        runner.run({"input_ids": ids, "token_type_ids": ids})
    with pytest.raises(ShapeError, match=r"takes input_ids of \(batch, length\)"):
        runner.run({"input_ids": ids[None]})
