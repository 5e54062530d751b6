"""What a teacher answers is asked once: kept answers are those that it would give, whatever happens to the files."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import torch
from torch import Tensor

import plm.distillation.answers
from plm.data import Batches, batches_by_count
from plm.distillation import PREDICTION, Answers, DistillationStep, Objective, Teacher
from plm.errors import ConfigError, DataError
from plm.heads.model import Model
from plm.models.config import default_labels
from plm.training.distributed import Processes
from plm.training.step import model_inputs
from tests.distillation.pairs import student_of, teacher_of
from tests.tiny_models import random_ids
from tests.tolerances import assert_close

THREE = {"id2label": default_labels(3)}
HEADS: dict[str, dict[str, Any]] = {
    "sequence_classification": THREE,
    "token_classification": THREE,
    "question_answering": {},
    "multiple_choice": {},
}
LENGTHS = (9, 4, 4, 7, 6, 3, 8, 5, 9, 2, 6)

Row = tuple[int, Tensor]
"""Number, and (length,) ids; or of choices, (choices, length)."""


def rows(count: int, head: str) -> list[Row]:
    """Texts of many lengths, or up to three of them each."""
    ids = random_ids(count * 3, 9, seed=5).view(count, 3, 9)
    if head == "multiple_choice":
        return [(row, ids[row, : 2 + row % 2, :length]) for row, length in enumerate(LENGTHS[:count])]
    return [(row, ids[row, 0, :length]) for row, length in enumerate(LENGTHS[:count])]


def collate(chosen: Sequence[Row]) -> dict[str, Tensor]:
    shape = [max(sizes) for sizes in zip(*(ids.shape for _, ids in chosen), strict=True)]
    ids, mask = (torch.zeros(len(chosen), *shape, dtype=torch.int64) for _ in range(2))
    for place, (_, own) in enumerate(chosen):
        for filled, values in ((ids, own), (mask, torch.ones_like(own))):
            filled[place][tuple(slice(size) for size in own.shape)] = values
    return {"input_ids": ids, "attention_mask": mask, "index": torch.tensor([row for row, _ in chosen])}


def batches_of(head: str = "sequence_classification", count: int = len(LENGTHS)) -> Batches[Row]:
    """Shuffled, three rows at a time, in another order each epoch."""
    lengths = [ids.numel() for _, ids in rows(count, head)]

    def plan(epoch: int) -> Any:
        return batches_by_count(lengths, batch_size=3, seed=1, epoch=epoch)

    return Batches(rows(count, head), plan=plan, collate=collate)


def pair(head: str = "sequence_classification") -> tuple[Model, Model]:
    return student_of("tinybert", head, **HEADS[head]), teacher_of("bert", head, **HEADS[head])


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of four rows."""
    monkeypatch.setattr(plm.distillation.answers, "_ROWS", 4)


def kept(teacher: Model, folder: Path, head: str = "sequence_classification", **options: Any) -> Answers:
    return Answers.kept(Teacher(teacher), batches_of(head), folder=folder, key="a", **options)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted((folder / "a").iterdir())}


@pytest.mark.parametrize("head", HEADS)
def test_losses_are_those_of_a_teacher_that_is_asked_every_time(head: str, tmp_path: Path) -> None:
    student, teacher = pair(head)
    asked = DistillationStep(student, Teacher(teacher), PREDICTION)
    answers = kept(teacher, tmp_path, head)
    told = DistillationStep(student, Teacher(teacher), PREDICTION, answers=answers)
    with mock.patch.object(Teacher, "__call__", side_effect=AssertionError("is asked again")):
        found = [told(student, batch) for number in (0, 1) for batch in batches_of(head).epoch(number)]
    expected = [asked(student, batch) for number in (0, 1) for batch in batches_of(head).epoch(number)]
    for one, other in zip(found, expected, strict=True):
        assert one.losses.keys() == other.losses.keys() == {"prediction"}
        assert_close(one.losses["prediction"], other.losses["prediction"])
        assert one.logs == other.logs


def test_labels_may_be_learned_besides(tmp_path: Path) -> None:
    student, teacher = pair()
    objective = Objective(attention=0.0, hidden=0.0, embedding=0.0, prediction=1.0, labels=0.5)
    batch = {**batches_of().epoch(0)[0], "labels": torch.tensor([0, 2, 1])}
    options = {"asked": None, "told": kept(teacher, tmp_path)}
    losses = {
        name: DistillationStep(student, Teacher(teacher), objective, answers=answers)(student, batch).losses
        for name, answers in options.items()
    }
    assert losses["told"].keys() == {"prediction", "labels"}
    for name, loss in losses["told"].items():
        assert_close(loss, losses["asked"][name])


def test_a_second_run_asks_nothing(tmp_path: Path) -> None:
    teacher = pair()[1]
    kept(teacher, tmp_path)
    before = contents(tmp_path)
    assert list(before) == ["000000000.safetensors", "000000004.safetensors", "000000008.safetensors"]
    with mock.patch.object(Teacher, "__call__", side_effect=AssertionError("is asked again")):
        kept(teacher, tmp_path)
    assert contents(tmp_path) == before


def test_whoever_was_killed_goes_on_and_what_is_damaged_is_asked_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    teacher = pair()[1]
    kept(teacher, tmp_path / "whole")
    before = contents(tmp_path / "whole")
    with (
        mock.patch.object(plm.distillation.answers, "_is_written", side_effect=_until(2)),
        pytest.raises(KeyboardInterrupt),
    ):
        kept(teacher, tmp_path)
    assert list(contents(tmp_path)) == list(before)[:2]
    with mock.patch.object(Teacher, "__call__", autospec=True, side_effect=Teacher.__call__) as asked:
        kept(teacher, tmp_path)
    assert asked.call_count == 1
    assert contents(tmp_path) == before
    for name, damage in (("000000004.safetensors", _flipped), ("000000008.safetensors", _cut)):
        path = tmp_path / "a" / name
        path.write_bytes(damage(path.read_bytes()))
        kept(teacher, tmp_path)
        assert f"{name}: the kept answers of the teacher are damaged" in caplog.text
        assert contents(tmp_path) == before


def _until(count: int) -> Any:
    """What writes so many pieces, and is interrupted then."""
    write, left = plm.distillation.answers._is_written, iter(range(count))

    def once(path: Path, piece: Any) -> bool:
        if next(left, None) is None:
            raise KeyboardInterrupt
        return write(path, piece)

    return once


def _flipped(content: bytes) -> bytes:
    return content[:-1] + bytes([content[-1] ^ 1])


def _cut(content: bytes) -> bytes:
    return content[: len(content) // 2]


def test_processes_share_the_work(tmp_path: Path) -> None:
    teacher = pair()[1]
    kept(teacher, tmp_path / "whole")
    for rank in (1, 0):
        processes = Processes(rank=rank, count=2)
        with mock.patch.object(processes, "barrier"):
            kept(teacher, tmp_path, processes=processes)
    assert contents(tmp_path) == contents(tmp_path / "whole")


def test_a_folder_that_cannot_be_written_costs_a_line(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    teacher = pair()[1]
    (tmp_path / "file").write_text("")
    answers = kept(teacher, tmp_path / "file")
    assert caplog.text.count("the answers of the teacher cannot be kept") == 1
    batch = batches_of().epoch(0)[0]
    assert_close(answers.to(batch)["logits"], teacher.eval()(**model_inputs(batch)).logits)


def test_answers_to_other_rows_are_refused(tmp_path: Path) -> None:
    _, teacher = pair("question_answering")
    answers = kept(teacher, tmp_path, "question_answering")
    batch = batches_of("question_answering").epoch(0)[0]
    with pytest.raises(DataError, match="was not asked about row 99"):
        answers.to({**batch, "index": torch.tensor([99, 0, 1])})
    with pytest.raises(DataError, match="are to other rows; delete them"):
        answers.to({**batch, "index": batch["index"].roll(1)})


def test_inner_values_are_not_kept(tmp_path: Path) -> None:
    student, teacher = pair()
    inside = Objective(attention=1.0, hidden=0.0, embedding=0.0, prediction=1.0)
    make = partial(DistillationStep, student, Teacher(teacher), inside)
    make()
    with pytest.raises(ConfigError, match="states alone are 480 bytes for each token"):
        make(answers=kept(teacher, tmp_path))
