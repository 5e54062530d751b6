"""Python values asked as the examples of a task of plm.tasks, as if they stood in one of its files."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import partial
from types import SimpleNamespace
from typing import Any

import torch
from tqdm import tqdm

from plm.backends.runner import Runner
from plm.errors import ConfigError
from plm.models.config import ModelConfig
from plm.pipelines.ahead import BATCHES_IN_A_WINDOW, counted_from, one_ahead, windows
from plm.pipelines.batching import batches_by_length
from plm.pipelines.source import Source, checked_length
from plm.tasks import AnyTask
from plm.tasks.saving import SavedTask
from plm.tokenizers import Tokenizer


@dataclass(frozen=True, kw_only=True)
class Form:
    """A row of TASKS: how a task of plm.tasks is asked, and how it answers.

    kind: the task's class. usual_length: tokens of a feature where neither caller nor tasks.json say how many.
    guess: (config, kinds of the stored heads) -> a task for checkpoints of others, which have no tasks.json.
    is_one: True for a value that is one question, not several.
    read: (question, its place, task) -> an example, None where there is nothing to answer. Raises DataError.
    tell: (question, example or None, its answer or None, task) -> what the caller gets.
    """

    kind: type[AnyTask]
    usual_length: int
    guess: Callable[[ModelConfig, Collection[str]], AnyTask]
    is_one: Callable[[Any], bool]
    read: Callable[[Any, int, Any], Any]
    tell: Callable[[Any, Any, Any, Any], Any]

    def open(self, source: Source) -> TaskPipeline:
        """See PipelineTask."""
        saved = self._settings(source)
        runner = source.runner(saved.task.head)
        most = checked_length(source.max_length, runner.config, source.tokenizer)
        length = source.max_length or min(saved.max_length, most or saved.max_length)
        return TaskPipeline(
            runner, source.tokenizer, self, saved.task, max_length=length, tokens_per_batch=source.tokens_per_batch
        )

    def _settings(self, source: Source) -> SavedTask:
        """What the caller says, else the folder, else a guess."""
        if source.settings is not None:
            if not isinstance(source.settings, self.kind):
                name = type(source.settings).__name__
                raise ConfigError(f"settings: {source.task} needs a {self.kind.__name__}, got a {name}")
            return SavedTask(source.settings, self.usual_length)
        saved = source.saved(self.kind)
        return saved or SavedTask(self.guess(source.config, source.heads), self.usual_length)


class TaskPipeline:
    """Encodes questions, runs them by length, and lets the task decide what the outputs mean.

    task: knows its labels. max_length: tokens of a feature; longer texts become several. tokens_per_batch: real ones,
    about.
    """

    def __init__(
        self,
        runner: Runner,
        tokenizer: Tokenizer,
        form: Form,
        task: AnyTask,
        *,
        max_length: int,
        tokens_per_batch: int,
    ) -> None:
        self.runner = runner
        self.tokenizer = tokenizer
        self.form = form
        self.task = task
        self.max_length = max_length
        self.tokens_per_batch = tokens_per_batch

    def __call__(self, questions: Any) -> list[Any]:
        """One answer for each question, in order; a single one gives a list of one.

        Raises DataError for an entry that is no question, naming its place.
        """
        listed = [questions] if self.form.is_one(questions) else list(questions)
        examples = [self.form.read(question, place, self.task) for place, question in enumerate(listed)]
        asked = [place for place, example in enumerate(examples) if example is not None]
        answers = dict(zip(asked, self._answers([examples[place] for place in asked]), strict=True))
        return [
            self.form.tell(question, examples[place], answers.get(place), self.task)
            for place, question in enumerate(listed)
        ]

    def _answers(self, examples: Sequence[Any]) -> list[Any]:
        """What the task answers to examples."""
        answers: list[Any] = []
        with (
            tqdm(total=len(examples), unit="text", disable=None, delay=2, leave=False) as bar,
            one_ahead(partial(self._encode, examples), self._windows(len(examples))) as prepared,
        ):
            for asked, features in prepared:
                results: dict[int, Any] = {}
                lengths = [self.task.length(feature) for feature in features]
                for places in batches_by_length(lengths, self.tokens_per_batch):
                    results |= self._results([features[place] for place in places])
                    # As many examples as that part of the features stands for; some have several.
                    bar.update(len(answers) + len(asked) * len(results) // len(features) - bar.n)
                answers += self.task.answers(asked, features, results)
        return answers

    def _windows(self, count: int) -> list[range]:
        """Of examples that have about so many batches of tokens; one window where features depend on each other."""
        most = BATCHES_IN_A_WINDOW * self.tokens_per_batch if self.task.encodes_apart else count * self.max_length
        return list(windows([self.max_length] * count, most))

    def _encode(self, examples: Sequence[Any], window: range) -> tuple[Sequence[Any], list[Any]]:
        """The examples of a window, and their features."""
        asked = examples[window.start : window.stop]
        with counted_from(window):
            return asked, self.task.encode(
                asked, self.tokenizer, max_length=self.max_length, source="the texts", has_labels=False
            )

    def _results(self, features: Sequence[Any]) -> dict[int, Any]:
        """What the task keeps of the model's output. Features of similar length hardly need padding."""
        batch = self.task.collate(features, pad_token_id=self.tokenizer.pad_token_id or 0)
        output = self.runner.run({name: tensor.numpy() for name, tensor in batch.items() if name != "index"})
        return self.task.results(
            batch, SimpleNamespace(**{name: torch.from_numpy(array) for name, array in output.items()})
        )
