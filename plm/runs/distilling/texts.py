"""What a student learns from: the files of its task, as they are and augmented, and corpora."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from plm.checkpoints.hub import resolve
from plm.corpus.batches import CorpusBatches
from plm.corpus.examples import Examples, PairExamples, StretchExamples, TextExamples
from plm.corpus.store import Corpus
from plm.data import Batching
from plm.data.fingerprint import digest
from plm.distillation import check_labels
from plm.errors import ConfigError
from plm.models.config import default_labels
from plm.runs.config import TaskData
from plm.runs.distilling.identity import content_digest
from plm.runs.distilling.models import Opened
from plm.runs.distilling.options import General
from plm.runs.encoding import Encoded, Encoder, text_length
from plm.runs.evaluation import TaskEvaluation
from plm.runs.preparation import Prepared, Split
from plm.tasks import AnyTask
from plm.tasks.saving import load_tasks, task_to_dict
from plm.tokenizers import Tokenizer
from plm.tokenizers.identity import tokenizer_state
from plm.training import Precision


@dataclass(frozen=True)
class TaskTexts:
    """The examples of a task, with the labels of its teacher, as student and teacher read them.

    max_length: tokens that they are cut to.
    """

    prepared: Prepared
    tokenizer: Tokenizer
    max_length: int
    workers: int = 0
    cache: str | None = None

    @classmethod
    def read(
        cls, data: TaskData, teacher: Opened, tokenizer: Tokenizer, *, workers: int = 0, cache: str | None = None
    ) -> TaskTexts:
        """All files of a task. tokenizer: of the student.

        Raises ConfigError for labels that are not the teacher's, or in another order; DataError naming file and line of
        what cannot be read or learned.
        """
        _check_kind(data.task, teacher.name)
        prepared = Prepared.read(dataclasses.replace(data, task=_with_labels(data.task, teacher)))
        options = prepared.task.model_options()
        if options.get("problem_type") == "regression":  # one number, whose name says nothing
            teacher.model.config = dataclasses.replace(teacher.model.config, **options)
        elif "id2label" in options:
            check_labels(tuple(options["id2label"].values()), teacher.model, whose="task")
        length = text_length(data.max_length, teacher.model, tokenizer)
        return cls(prepared, tokenizer, length, workers, cache)

    @property
    def task(self) -> AnyTask:
        """It knows its labels."""
        return self.prepared.task

    def train(self, batching: Batching, *, seed: int, augmented: Path | None = None) -> Encoded:
        """The training examples. augmented: a file of the same form, in place of the one that the task names."""
        split = self.prepared.splits["train"]
        if augmented is not None:
            split = Split(str(augmented), self.task.read(augmented))
        return self._encoder(batching)(split, seed=seed)

    def dev(self, batching: Batching) -> Encoded:
        """The examples to evaluate on, always in the same order."""
        return self._encoder(batching)(self.prepared.splits["dev"], seed=None)

    def evaluations(self, batching: Batching, precision: Precision) -> dict[str, TaskEvaluation]:
        """Those of "dev", and of "test" if there is one."""
        encode = self._encoder(batching)
        return {
            name: TaskEvaluation.of(self.task, encode(self.prepared.splits[name], seed=None), precision)
            for name in ("dev", "test")
            if name in self.prepared.splits
        }

    def identity(self, *names: str) -> dict[str, str]:
        """What tells these splits, and how they are read, from others."""
        state = json.dumps(tokenizer_state(self.tokenizer), sort_keys=True)
        task = json.dumps(task_to_dict(self.task), sort_keys=True)
        told = {"task": task, "max_length": str(self.max_length), "tokenizer": digest(state)}
        splits = self.prepared.splits
        return told | {name: content_digest(Path(splits[name].source)) for name in names if name in splits}

    def _encoder(self, batching: Batching) -> Encoder:
        return Encoder(self.task, self.tokenizer, self.max_length, batching, workers=self.workers, cache=self.cache)


def corpus_batches(general: General, folder: str, *, batching: Batching, seed: int) -> CorpusBatches:
    """The examples of a prepared corpus, nothing in them masked."""
    corpus = Corpus.open(folder)
    length, short = general.max_length, general.short_probability
    examples: Mapping[str, Any] = {
        "pairs": lambda: PairExamples(corpus, max_length=length, masking=None, short_probability=short, seed=seed),
        "texts": lambda: TextExamples(corpus, max_length=length, masking=None, short_probability=short, seed=seed),
        "stretches": lambda: StretchExamples(corpus, max_length=length, seed=seed),
    }
    made: Examples = examples[general.examples]()
    return CorpusBatches(made, batching=batching, seed=seed)


def _with_labels(task: AnyTask, teacher: Opened) -> AnyTask:
    """The task with the classes of the teacher, where it names none of its own."""
    theirs = teacher.model.config.labels
    is_number = task.__dict__.get("problem_type") == "regression"
    is_nameless = theirs == tuple(default_labels(len(theirs)).values())
    if is_number or is_nameless or task.__dict__.get("labels", ()) is not None:
        return task
    return dataclasses.replace(task, labels=theirs)  # type: ignore[type-var]


def _check_kind(task: AnyTask, teacher: str) -> None:
    """Raise ConfigError for a teacher that says that it learned another kind of task."""
    learned = [saved.task for saved in load_tasks(resolve(teacher)).values()]
    if learned and not any(type(one) is type(task) for one in learned):
        kinds = ", ".join(str(task_to_dict(one)["kind"]) for one in learned)
        raise ConfigError(
            f"task: the teacher {teacher} learned another kind of task: {kinds}; the recipe says "
            f"{task_to_dict(task)['kind']}"
        )
