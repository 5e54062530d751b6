"""What a kind of task is: files to examples, examples to tensors, outputs of a model to answers and scores."""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Generic, Literal, Self, TypeVar

from torch import Tensor

from plm.blocks.labels import IGNORED_LABEL
from plm.registry import Registry
from plm.tokenizers import Tokenizer

Example = TypeVar("Example")
"""What stands in a file: something to be answered, and the expected answer where it is known."""

Feature = TypeVar("Feature")
"""What a model sees at once. An example has one or, if it is long, several; each knows its place as `index`."""

Result = TypeVar("Result")
"""What is kept of a model's output for one feature: small, on the CPU, picklable."""

Answer = TypeVar("Answer")
"""What a user gets for one example."""

Batch = Mapping[str, Tensor]


class Task(ABC, Generic[Example, Feature, Result, Answer]):
    """One kind of task, with its columns, labels and options.

    Tasks are frozen dataclasses whose fields a recipe file can hold. They know neither models nor training:

        examples = task.read("train.tsv")
        task = task.learned(examples, source="train.tsv")            # now it knows its labels
        features = task.encode(examples, tokenizer, max_length=128)
        batch = task.collate(features[:32], pad_token_id=0)
        results = task.results(batch, model(**batch))                # for every batch, in any order
        answers = task.answers(examples, features, results)
        task.score(examples, answers)                                # {"accuracy": 0.97, ...}

    A third party derives from this class and adds it to TASKS.
    """

    @property
    @abstractmethod
    def head(self) -> str:
        """Name in HEADS of the head that learns this task."""

    @abstractmethod
    def read(self, path: Path | str) -> list[Example]:
        """The examples of a file (or folder), in its order. Raises DataError naming file and line of what is wrong."""

    def unlabelled(self) -> Self:
        """The same task for files that lack the expected answers."""
        return self

    def learned(self, examples: Sequence[Example], *, source: str = "examples") -> Self:
        """The same task, knowing what only training examples tell, such as the names of its labels.

        What the task was told already is kept. source: the file of the examples, for messages.
        """
        return self

    def companions(self, examples: Sequence[Example]) -> dict[str, bytes]:
        """Files that are to stand beside the trained model, by name: what its users need of the training examples."""
        return {}

    def identity(self, example: Example) -> str | None:
        """What makes an example itself: of two with the same, none may be learned if the other is to judge.

        None = the task cannot say, and its files are not divided.
        """
        return None

    def check(self, examples: Sequence[Example], *, source: str = "examples") -> None:
        """Raise DataError for the first example whose expected answer is missing or unknown, naming its line."""

    @abstractmethod
    def model_options(self) -> dict[str, Any]:
        """Fields of ModelConfig that the head needs: labels, kind of problem."""

    @property
    def token_types(self) -> int:
        """How many token types the features have; a model with fewer gets more."""
        return 0

    def own_tokenizer(self, pretrained: Tokenizer | None) -> Tokenizer | None:
        """The tokenizer of a model that learns this task: another one where a task has a vocabulary of its own.

        pretrained: that of the checkpoint; None = the model starts from random weights, which only tasks with a
        vocabulary of their own can do. Asked after `learned`.
        """
        return pretrained

    @property
    def special_tokens(self) -> Mapping[str, str]:
        """Tokens that the vocabulary gets if it has not, by role ("cls_token"), before anything is encoded."""
        return {}

    @property
    def decision(self) -> Literal["single", "multi", "choice"] | None:
        """What the head decides: one class, any number of them, one of several texts; None = anything else.

        Losses with label smoothing, class weights or focus are for heads that decide.
        """
        return None

    def class_counts(self, examples: Sequence[Example]) -> Sequence[int] | None:
        """How many examples each class of the head has; None = the head knows no classes, or counts no examples."""
        return None

    @abstractmethod
    def encode(
        self,
        examples: Sequence[Example],
        tokenizer: Tokenizer,
        *,
        max_length: int,
        source: str = "examples",
        has_labels: bool = True,
    ) -> list[Feature]:
        """Features, those of an example side by side, in the order of the examples; feature number i has index i.

        max_length: tokens of a feature, special ones included. has_labels: False = for prediction, without targets.
        """

    @property
    def feature_type(self) -> type[Feature] | None:
        """The dataclass of the features, if plm.data.cache can hold it; None = they are made anew each time."""
        return None

    @property
    def encodes_apart(self) -> bool:
        """True = each feature depends on its own example alone, so that several processes can share the examples."""
        return self.feature_type is not None

    def renumbered(self, feature: Feature, *, index: int, example: int) -> Feature:
        """The same feature with its own number, and that of its example, so much higher; for `encodes_apart`."""
        if not index and not example:
            return feature
        steps = {"index": index, "example": example}
        moved = {name: getattr(feature, name) + step for name, step in steps.items() if hasattr(feature, name)}
        return dataclasses.replace(feature, **moved)  # type: ignore[type-var]

    def vary(self, features: Sequence[Feature], epoch: int) -> Sequence[Feature]:
        """The features as an epoch of training has them, such as with other words masked; these stay as they are.

        A pure function of its arguments and the task's own seed.
        """
        return features

    def length(self, feature: Feature) -> int:
        """Tokens that a feature costs."""
        return len(feature.input_ids)  # type: ignore[attr-defined]

    @abstractmethod
    def collate(self, features: Sequence[Feature], *, pad_token_id: int) -> dict[str, Tensor]:
        """Tensors of one batch: arguments of the model by name, and "index", (features,), int64."""

    def weigh(self, batch: Batch) -> Mapping[str, float | Tensor]:
        """What each loss of the head on this batch is a mean over, by its field in the output.

        So that several batches of one update, or the shares of several processes, count as one large batch.
        """
        labels = batch["labels"]
        return {"loss": labels.numel() if labels.is_floating_point() else (labels != IGNORED_LABEL).sum()}

    @property
    def loss_factors(self) -> Mapping[str, float]:
        """How much each loss of `weigh` counts; 1 where not named."""
        return {}

    @abstractmethod
    def results(self, batch: Batch, output: Any) -> dict[int, Result]:
        """What to keep of a model's output, by index of the feature."""

    @abstractmethod
    def answers(
        self, examples: Sequence[Example], features: Sequence[Feature], results: Mapping[int, Result]
    ) -> list[Answer]:
        """One answer for each example, in order. results: of every feature."""

    @abstractmethod
    def score(self, examples: Sequence[Example], answers: Sequence[Answer]) -> dict[str, float]:
        """Metrics by name, in [0, 1] unless their own docstring says otherwise; the first one judges a model."""

    @abstractmethod
    def record(self, example: Example, answer: Answer) -> dict[str, Any]:
        """A row of a file of predictions, as JSON values: where the example stands, what was expected and answered."""

    def answer_files(self, examples: Sequence[Example], answers: Sequence[Answer]) -> dict[str, str]:
        """Name -> content of files that an official evaluator reads, if there is one."""
        return {}


AnyTask = Task[Any, Any, Any, Any]

TASKS: Registry[type[AnyTask]] = Registry("task")
