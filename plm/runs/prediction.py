"""What a trained folder says about a file: read, encoded and answered as its tasks.json remembers.

prediction = predict("runs/conll2003", "letters.txt")
prediction.records[0]["entities"]
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from tqdm import tqdm

from plm.auto.choosing import TORCH, open_runner, settled
from plm.auto.tokenizer import AutoTokenizer
from plm.backends.batch import INPUTS
from plm.backends.runner import Runner
from plm.checkpoints.exported import exported_entry
from plm.checkpoints.hub import resolve
from plm.checkpoints.loading import load_model
from plm.checkpoints.store import open_checkpoint
from plm.data import batches_by_count
from plm.data.batches import Epoch
from plm.errors import CheckpointError, ConfigError, DataError, UnknownNameError, did_you_mean
from plm.heads.model import Model
from plm.heads.several import HeadPlan
from plm.models.config import ModelConfig
from plm.tasks import AnyTask
from plm.tasks.saving import FILE_NAME, SavedTask, load_tasks
from plm.training import Precision
from plm.training.evaluation import collect


@dataclass(frozen=True)
class Prediction:
    """The examples of a file, as the task has read them, and an answer for each, in their order."""

    task: AnyTask
    examples: Sequence[Any]
    answers: Sequence[Any]

    @property
    def records(self) -> list[dict[str, Any]]:
        """One for each example, of JSON values: where it stands, what was expected if the file says so, what came."""
        return [self.task.record(*pair) for pair in zip(self.examples, self.answers, strict=True)]

    def score(self) -> dict[str, float]:
        """The metrics of the task. Raises DataError where the file lacks the expected answers."""
        return self.task.score(self.examples, self.answers)


def predict(
    folder: Path | str,
    file: Path | str,
    *,
    task: str | None = None,
    batch_size: int = 32,
    backend: str = TORCH,
    dtype: str = "float32",
    device: str | None = None,
    precision: Precision = "fp32",
) -> Prediction:
    """Ask a folder that `train` wrote about the examples of a file, which may lack the expected answers.

    task: name of one of several tasks; None = the only one. batch_size: features in a batch.
    backend, dtype: see plm.auto.choosing.open_runner. device: of "torch" in "float32"; None = the GPU if there is one.
    precision: as in training, of the same.
    Shows a progress bar on a terminal. Raises ConfigError for a folder without tasks.json, where several tasks need a
    name, and for a device or precision that does not go with the backend; DataError naming file and line of what cannot
    be read; CheckpointError where the task's head is missing.
    """
    is_trainable = settled(backend, dtype) == (TORCH, "float32")
    if not is_trainable and (device is not None or precision != "fp32"):
        raise ConfigError(
            f'device and precision go with backend "torch" in "float32", not with {backend!r} in {dtype!r}'
        )
    path = resolve(folder)
    name, saved = chosen_task(load_tasks(path), task, source=str(folder))
    examples = _read(saved.task, file)
    tokenizer = AutoTokenizer.from_pretrained(path)
    asked = (
        _model(path, name, saved.task, device)
        if is_trainable
        else _runner(path, name, saved.task, backend=backend, dtype=dtype)
    )
    features = saved.task.encode(examples, tokenizer, max_length=saved.max_length, source=str(file), has_labels=False)
    lengths = [saved.task.length(feature) for feature in features]
    batches = Epoch(
        features,
        batches_by_count(lengths, batch_size=batch_size, seed=None, epoch=0),
        lambda chosen: saved.task.collate(chosen, pad_token_id=tokenizer.pad_token_id or 0),
    )
    if isinstance(asked, Model):
        results = collect(asked, batches, saved.task.results, precision=precision)
    else:
        results = _collect(asked, batches, saved.task)
    return Prediction(saved.task, examples, saved.task.answers(examples, features, results))


def chosen_task(tasks: Mapping[str, SavedTask], name: str | None, *, source: str) -> tuple[str, SavedTask]:
    """A task of a folder, by its name. source: the folder, for messages.

    Raises ConfigError when there is none, or no name says which of several; UnknownNameError for a wrong name.
    """
    listed = ", ".join(tasks)
    if not tasks:
        raise ConfigError(f"{source}: has no {FILE_NAME}, which says what the model was trained for; `train` writes it")
    if name is None and len(tasks) > 1:
        raise ConfigError(f"{source}: was trained for several tasks ({listed}); name one")
    name = next(iter(tasks)) if name is None else name
    if name not in tasks:
        raise UnknownNameError(f"{source}: has no task {name!r}{did_you_mean(name, tasks)} (it has: {listed})")
    return name, tasks[name]


def _read(task: AnyTask, file: Path | str) -> Sequence[Any]:
    """The examples of a file, with the expected answers if it has them."""
    try:
        return task.read(file)
    except DataError:
        if task.unlabelled() == task:
            raise
        with contextlib.suppress(DataError):  # if it cannot be read either way, the first message says why
            return task.unlabelled().read(file)
        raise


def _model(folder: Path, name: str, task: AnyTask, device: str | None) -> Model:
    """The model with the head of one task alone."""
    where = device or ("cuda" if torch.cuda.is_available() else "cpu")
    model, report = load_model(folder, heads={name: HeadPlan(task.head)}, device=where)
    if random := [*report.missing, *report.mismatched]:
        raise CheckpointError(
            f"{folder}: {FILE_NAME} names the task {name!r}, but its head is not stored: {', '.join(random[:3])}"
        )
    alone = model.with_head(name)
    _check_labels(folder, name, task, alone.config)
    return alone


def _runner(folder: Path, name: str, task: AnyTask, *, backend: str, dtype: str) -> Runner:
    """The same by a backend."""
    plans = (exported_entry(folder) or open_checkpoint(folder)).plans
    runner = open_runner(folder, name if name in plans else task.head, backend=backend, dtype=dtype)
    _check_labels(folder, name, task, runner.config)
    return runner


def _check_labels(folder: Path, name: str, task: AnyTask, config: ModelConfig) -> None:
    labels = task.model_options().get("id2label")
    if labels is not None and tuple(labels.values()) != config.labels:
        raise CheckpointError(
            f"{folder}: {FILE_NAME} gives the task {name!r} the labels {', '.join(labels.values()):.60}, config.json "
            f"{', '.join(config.labels):.60}: one of the two was changed; put it back"
        )


def _collect(runner: Runner, batches: Epoch[Any], task: AnyTask) -> dict[int, Any]:
    """What the task keeps of a runner's output, by index."""
    results: dict[int, Any] = {}
    for batch in tqdm(batches, desc="predicting", unit="batch", disable=None, delay=2, leave=False):
        output = runner.run({key: tensor.numpy() for key, tensor in batch.items() if key in INPUTS})
        told = SimpleNamespace(**{key: torch.from_numpy(array) for key, array in output.items()})
        results |= task.results(batch, told)
    return results
