"""What a teacher answers to every row of a data set: asked once, and kept on disk for later passes and runs.

    answers = Answers.kept(Teacher(teacher), batches, folder="cache/answers", key=key)
    step = DistillationStep(student, Teacher(teacher), PREDICTION, answers=answers)

Answers are a few numbers a text. Inner values would be thousands of times as many, and are not kept.

A key has a folder of pieces: the answers to some rows side by side, in float32, each piece a safetensors file with a
checksum. It is written aside and renamed, so whoever is killed goes on with the next one; a damaged one is made anew.
How rows are asked together does not depend on the batches that they are learned in, nor on where the work was stopped.
"""

from __future__ import annotations

import logging
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor
from tqdm import tqdm

from plm.data.batches import Batches
from plm.data.plan import Indexes, batches_by_tokens
from plm.distillation.objective import Objective
from plm.distillation.predictions import DECISIONS, Decisions, kind_of
from plm.distillation.teacher import Teacher
from plm.distillation.view import Question, View
from plm.errors import ConfigError, DataError
from plm.folders import written_aside
from plm.heads.model import Model
from plm.training.distributed import ALONE, Processes
from plm.training.precision import Precision, autocast
from plm.training.step import Batch, model_inputs

logger = logging.getLogger(__name__)

_FORMAT = "plm answers 1"
_BORDERS = "borders"

# Rows of a piece, unless there were more than so many pieces.
_ROWS, _PIECES = 1024, 256

# Positions that the teacher is asked about at a time.
_TOKENS = 4096

Piece = Mapping[str, Tensor]
"""By field of the output, the answers to some rows side by side; "borders": (rows + 1,), where those of each begin."""


@dataclass(frozen=True)
class Answers:
    """What a teacher answers, by number of the row.

    decisions: of its head. pieces: of `size` rows each, but for the last one.
    """

    decisions: Decisions
    pieces: Sequence[Piece]
    size: int

    @classmethod
    def kept(
        cls,
        teacher: Teacher,
        batches: Batches[Any],
        *,
        folder: Path | str,
        key: str,
        head: str | None = None,
        precision: Precision = "fp32",
        processes: Processes = ALONE,
    ) -> Answers:
        """Those to all features of these batches, from the disk, or asked now; with a progress bar.

        Each batch has "index", the number of the feature in each of its rows, and features are the same in every epoch.
        folder: for answers of any number of keys. key: a file name that tells teacher and texts from others.
        head: of the teacher; None = the first. processes: that share the work, and the folder.
        A damaged piece, or a folder that cannot be written, costs a line in the log and the time of asking again.
        Raises ConfigError for a head that decides nothing.
        """
        decisions = DECISIONS.get(kind_of(teacher.model, head))
        asking = _Asking(teacher, Question(predicts=True, head=head), decisions, precision, batches)
        count, lengths = len(batches.features), batches.plan(0).lengths
        size = max(_ROWS, -(-count // _PIECES))
        starts = range(0, count, size)
        paths = [Path(folder) / key / f"{start:09d}.safetensors" for start in starts]
        made: dict[Path, Piece] = {}
        can_write = True
        with tqdm(total=count, desc="asking the teacher", unit="text", disable=_hidden(processes), delay=2) as bar:
            for number, (start, path) in enumerate(zip(starts, paths, strict=True)):
                rows = lengths[start : start + size]
                if number % processes.count == processes.rank and _read(path) is None:
                    piece = asking.piece(rows, start)
                    can_write = can_write and _is_written(path, piece)
                    if not can_write:
                        made[path] = piece
                bar.update(len(rows))
        processes.barrier()
        pieces = [
            _read(path) or made.get(path) or asking.piece(lengths[start : start + size], start)
            for start, path in zip(starts, paths, strict=True)
        ]
        return cls(decisions, pieces, size)

    def to(self, batch: Batch) -> dict[str, Tensor]:
        """The fields of the teacher's output for a batch, where its ids are; the lowest number where there is nothing.

        Raises DataError for rows that the teacher was not asked about, or that were others then.
        """
        real, rows = self.decisions.real(batch), batch["index"].tolist()
        counts = real.flatten(1).sum(1).tolist() if real.dim() > 1 else [1] * len(rows)
        said = {}
        for name in self.decisions.fields:
            parts = [self._row(name, row) for row in rows]
            if [len(part) for part in parts] != counts:
                raise DataError("the answers of the teacher that were kept are to other rows; delete them to ask again")
            values = torch.cat(parts).to(real.device)
            said[name] = values.new_full((*real.shape, *values.shape[1:]), torch.finfo(values.dtype).min)
            said[name][real] = values
        return said

    def _row(self, name: str, row: int) -> Tensor:
        number, place = divmod(row, self.size)
        if not 0 <= number < len(self.pieces) or place + 1 >= len(self.pieces[number][_BORDERS]):
            raise DataError(f"the teacher was not asked about row {row}")
        piece = self.pieces[number]
        first, last = piece[_BORDERS][place : place + 2].tolist()
        return piece[name][first:last]


@dataclass(frozen=True)
class _Asking:
    """The teacher, what it is asked, and the texts."""

    teacher: Teacher
    question: Question
    decisions: Decisions
    precision: Precision
    batches: Batches[Any]

    def piece(self, lengths: Indexes, start: int) -> Piece:
        """The answers to rows of these lengths, from number `start` on."""
        found: dict[int, dict[str, Tensor]] = {}
        for chosen in batches_by_tokens(lengths, max_tokens=max(_TOKENS, int(lengths.max()))):
            batch = self.batches.collate([self.batches.features[start + int(row)] for row in chosen])
            found.update(zip(chosen.tolist(), self._by_row(batch), strict=True))
        rows = [found[row] for row in range(len(lengths))]
        sizes = torch.tensor([0, *(len(next(iter(row.values()))) for row in rows)])
        return {_BORDERS: sizes.cumsum(0)} | {
            name: torch.cat([row[name] for row in rows]) for name in self.decisions.fields
        }

    def _by_row(self, batch: Batch) -> Iterator[dict[str, Tensor]]:
        model, real = self.teacher.model, self.decisions.real(batch)
        inputs = {name: tensor.to(model.device) for name, tensor in model_inputs(batch).items()}
        view = View.padded(inputs, pattern=model.backbone.pattern)
        with autocast(self.precision, model.device):
            output = self.teacher(view, self.question).output
        assert output is not None, "it was asked for predictions"
        values = {name: output[name].to("cpu", torch.float32) for name in self.decisions.fields}
        for row, mask in enumerate(real):
            yield {name: each[row][mask] if mask.dim() else each[row : row + 1] for name, each in values.items()}


def require_predictions_alone(objective: Objective, teacher: Model) -> None:
    """Raise ConfigError for an objective that needs more of a teacher than can be kept."""
    if objective.looks_inside:
        states = 4 * teacher.config.hidden_size * (teacher.config.num_hidden_layers + 1)
        raise ConfigError(
            f"what a teacher predicts can be kept, not what it holds inside: states alone are {states:,} bytes for "
            "each token of the text. Leave attention, hidden and embedding out of this stage, or let the teacher be "
            "asked every time"
        )


def _hidden(processes: Processes) -> bool | None:
    """For tqdm: the main process shows a bar on a terminal."""
    return None if processes.is_main else True


def _read(path: Path) -> Piece | None:
    """A piece, its tensors mapped from the file; None = there is none, or a damaged one."""
    if not path.is_file():
        return None
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            piece = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
        if metadata != _facts(piece):
            raise DataError("its checksum is wrong")
    except (SafetensorError, OSError, DataError) as error:
        logger.warning("%s: the kept answers of the teacher are damaged (%s); it is asked again", path, error)
        return None
    return piece


def _is_written(path: Path, piece: Piece) -> bool:
    """Write a piece. False = that cannot be, which is logged."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with written_aside(path) as aside:
            save_file(dict(piece), aside, metadata=_facts(piece))
    except (OSError, SafetensorError) as error:
        logger.warning("%s: the answers of the teacher cannot be kept (%s); they stay in memory", path.parent, error)
        return False
    return True


def _facts(piece: Piece) -> dict[str, str]:
    """What stands in the header of a file: its format, and a checksum of names, shapes and bytes.

    One entry, as safetensors writes several in any order.
    """
    checksum = 0
    for name, tensor in sorted(piece.items()):
        checksum = zlib.crc32(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode(), checksum)
        checksum = zlib.crc32(tensor.contiguous().view(-1).view(torch.uint8).numpy().data, checksum)
    return {"format": f"{_FORMAT}, checksum {checksum:08x}"}
