"""A distillation whose teacher is asked once ends as one whose teacher is asked in every pass."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from unittest import mock

import pytest

import plm.distillation.answers
from plm.distillation import Teacher
from plm.errors import ConfigError
from plm.runs.distilling import DistillationConfig, DistillationReport, distill
from plm.training import Callback, Record, Run
from tests.runs import distillations as data

TASKS = {
    "classification": data.classification,
    "regression": data.regression,
    "tagging": data.tagging,
    "reading": lambda folder: {**data.reading(folder), "max_length": 20, "doc_stride": 8},
}


class Losses(Callback):
    """Those of every update of the last stage."""

    def __init__(self) -> None:
        self.values: list[float] = []

    def on_step(self, run: Run, record: Record) -> None:
        assert run.output_dir is not None
        if run.output_dir.name == "prediction":
            self.values.append(float(record.values["loss"]))


def recipe(folder: Path, teacher: Path, task: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """Of the last stage alone."""
    short = {"num_train_epochs": 3, "learning_rate": 1e-2, "batch_size": 8}
    return data.recipe(folder, teacher, task, intermediate=False, prediction=short, **changes)


def distilled(values: dict[str, Any], **changes: Any) -> tuple[DistillationReport, list[float]]:
    """Report, and losses."""
    losses = Losses()
    return distill(DistillationConfig.from_dict({**values, **changes}), callbacks=[losses]), losses.values


@pytest.fixture(scope="module")
def moods(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, dict[str, Any]]:
    """A folder, a teacher, its task."""
    folder = tmp_path_factory.mktemp("moods")
    task = data.classification(folder)
    return folder, data.trained_teacher(folder, task), task


@pytest.mark.parametrize("kind", TASKS)
def test_every_kind_of_task_ends_the_same(kind: str, tmp_path: Path) -> None:
    task = TASKS[kind](tmp_path)
    teacher = data.trained_teacher(tmp_path, task, epochs=2)
    values = recipe(tmp_path, teacher, task)
    expected = distilled(values)
    found = distilled(values, output_dir=str(tmp_path / "kept"), teacher_cache=str(tmp_path / "cache"))
    assert found[1] == pytest.approx(expected[1], rel=1e-4, abs=1e-6)
    assert len(found[1]) >= 15
    assert len(list((tmp_path / "cache").glob("*/*.safetensors"))) == 1


def test_augmented_texts_have_answers_of_their_own(moods: tuple[Path, Path, dict[str, Any]], tmp_path: Path) -> None:
    _, teacher, task = moods
    (tmp_path / "vectors.txt").write_text(data.VECTORS)
    augmentation = {"vectors": str(tmp_path / "vectors.txt"), "variants": 2, "candidates": 2}
    values = recipe(tmp_path, teacher, task, augmentation=augmentation)
    expected = distilled(values)
    cache = str(tmp_path / "cache")
    found = distilled(values, output_dir=str(tmp_path / "kept"), teacher_cache=cache)
    assert found[1] == pytest.approx(expected[1], rel=1e-4, abs=1e-6)
    distilled(values, output_dir=str(tmp_path / "plain"), teacher_cache=cache, augmentation=None)
    assert len(list((tmp_path / "cache").iterdir())) == 2


def test_other_distillations_find_the_answers(
    moods: tuple[Path, Path, dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, teacher, task = moods
    monkeypatch.setattr(plm.distillation.answers, "_ROWS", 10)
    values = recipe(tmp_path, teacher, task, teacher_cache=str(tmp_path / "cache"))
    first = distilled(values)
    (piece, *others) = sorted((tmp_path / "cache").glob("*/*.safetensors"))
    assert len(others) == 6
    written = {path: path.stat().st_mtime_ns for path in others}
    piece.unlink()
    with mock.patch.object(Teacher, "__call__", autospec=True, side_effect=Teacher.__call__) as asked:
        again = distilled(values, output_dir=str(tmp_path / "again"))
    assert asked.call_count < 8, "to see whether it is deterministic, and for one piece"
    assert again[1] == first[1]
    assert piece.exists()
    assert {path: path.stat().st_mtime_ns for path in others} == written
    slower = {**values["prediction"], "learning_rate": 5e-3}
    distilled(values, output_dir=str(tmp_path / "slower"), prediction=slower)
    distilled(values, output_dir=str(tmp_path / "rounded"), prediction={**slower, "precision": "bf16"})
    assert len(list((tmp_path / "cache").iterdir())) == 2


def test_what_cannot_be_kept_is_said_before_anything_is_written(
    moods: tuple[Path, Path, dict[str, Any]], tmp_path: Path
) -> None:
    _, teacher, task = moods
    values = recipe(tmp_path, teacher, task, teacher_cache=str(tmp_path / "cache"))
    values["prediction"] |= {"objective": {"hidden": 1.0}}
    with pytest.raises(ConfigError, match="teacher_cache: what a teacher predicts can be kept, not what it holds"):
        distilled(values)
    assert not (tmp_path / "out").exists()
    assert not (tmp_path / "cache").exists()
