"""What can be asked about every row of a file: the answers of a pipeline, or embeddings.

Anybody may write a Job of his own: what it is made of must be picklable, as it travels to other processes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from plm.backends.runner import BACKENDS, Arrays, Runner
from plm.checkpoints.hub import resolve
from plm.config import require_choice
from plm.errors import ConfigError
from plm.models.config import ModelConfig
from plm.pipelines import TASKS, Pipeline, Task, Text, mean_state, pipeline
from plm.registry import Registry

Array = np.ndarray[Any, Any]
Ask = Callable[[Sequence[Text]], list[Any]]


@dataclass(frozen=True, slots=True)
class Row:
    """One text or pair of a file. number: of its line or row, from 1."""

    number: int
    id: str
    text: str
    pair: str | None

    @property
    def asked(self) -> Text:
        """As pipelines take it."""
        return self.text if self.pair is None else (self.text, self.pair)


class Job(Protocol):
    """A question about every row."""

    def origin(self) -> Mapping[str, Any]:
        """Everything that the answers depend on, rows apart, as JSON values."""
        ...

    def open(self) -> Ask:
        """What answers, opened once in each process: one answer for each text, in order."""
        ...

    def told(self, row: Row, answer: Any) -> dict[str, Any]:
        """A row of the output: JSON values, and arrays."""
        ...


@dataclass(frozen=True, kw_only=True)
class Predict:
    """The answers of `plm.pipeline(task, model)`; see there.

    model: a folder or a hub name.
    """

    model: Path | str
    task: str = "text-classification"
    backend: str = "torch"
    dtype: str = "float32"
    max_length: int | None = None

    def __post_init__(self) -> None:
        TASKS.get(self.task)
        BACKENDS.get(self.backend)

    def origin(self) -> dict[str, Any]:
        """See Job."""
        return {**asdict(self), "model": model_digest(resolve(self.model))}

    def open(self) -> Ask:
        """See Job."""
        return pipeline(
            self.task,
            resolve(self.model),
            backend=self.backend,
            dtype=self.dtype,
            max_length=self.max_length,
        )

    def told(self, row: Row, answer: Any) -> dict[str, Any]:
        """See Job."""
        asked = {"id": row.id, "text": row.text, **({} if row.pair is None else {"pair": row.pair})}
        if isinstance(answer, list):
            return asked | {"entities": answer}
        return asked | (answer if isinstance(answer, dict) else {"output": answer})


def first_state(rows: Array, config: ModelConfig) -> Array:
    """(hidden,): the last hidden state of the first token."""
    first: Array = rows[0]
    return first


POOLINGS: Registry[Callable[[Array, ModelConfig], Array]] = Registry("pooling")
POOLINGS.add("mean", mean_state)
POOLINGS.add("cls", first_state)


@dataclass(frozen=True, kw_only=True)
class Embed:
    """A vector for each text, (hidden,), float32.

    pooling: a name in POOLINGS: "mean" of all states, special tokens included, or the state of the first token, "cls",
        which vocabularies must have. normalize: True = vectors of length 1.
    The others are as those of Predict.
    """

    model: Path | str
    pooling: str = "mean"
    normalize: bool = False
    backend: str = "torch"
    dtype: str = "float32"
    max_length: int | None = None

    def __post_init__(self) -> None:
        require_choice(self, "pooling", POOLINGS.names())
        BACKENDS.get(self.backend)

    def origin(self) -> dict[str, Any]:
        """See Job."""
        return {"task": "embed", **asdict(self), "model": model_digest(resolve(self.model))}

    def open(self) -> Ask:
        """See Job. Raises ConfigError for "cls" with a vocabulary that has no such token."""
        found = pipeline(
            "sentence-embedding",
            resolve(self.model),
            backend=self.backend,
            dtype=self.dtype,
            max_length=self.max_length,
        )
        assert isinstance(found, Pipeline), "embeddings come from each text's own output"
        if self.pooling == "cls" and found.tokenizer.cls_token is None:
            raise ConfigError(f'pooling: the vocabulary of {self.model} has no token for "cls"; take "mean"')
        return Pipeline(
            found.runner,
            found.tokenizer,
            Task(head=None, field="last_hidden_state", by_token=True, answer=POOLINGS.get(self.pooling)),
            max_length=found.max_length,
            tokens_per_batch=found.tokens_per_batch,
        )

    def told(self, row: Row, answer: Any) -> dict[str, Any]:
        """See Job."""
        vector = np.asarray(answer, dtype=np.float32)
        if self.normalize:
            vector = vector / max(float(np.linalg.norm(vector)), float(np.finfo(np.float32).tiny))
        return {"id": row.id, "embedding": vector}


class Counting:
    """A runner that counts the real tokens that it is given."""

    def __init__(self, runner: Runner) -> None:
        self._runner = runner
        self.config, self.takes_packed = runner.config, runner.takes_packed
        self.tokens = 0

    def run(self, batch: Mapping[str, Array]) -> Arrays:
        """See Runner.run."""
        self.tokens += int(batch["attention_mask"].sum()) if "attention_mask" in batch else batch["input_ids"].size
        return self._runner.run(batch)


def model_digest(folder: Path) -> str:
    """16 hex digits that change when a file of the folder does; of files in folders below, name and size count."""
    told = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if not path.is_file() or any(part.startswith(".") for part in path.relative_to(folder).parts):
            continue
        told.update(f"{path.relative_to(folder)}\0{path.stat().st_size}\n".encode())
        if path.parent == folder:
            with path.open("rb") as file:
                told.update(hashlib.file_digest(file, "sha256").digest())
    return told.hexdigest()[:16]
