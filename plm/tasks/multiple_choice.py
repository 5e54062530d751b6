"""Questions with options to choose from: which one is right?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from plm.data.choices import CHOICE_FORMATS, AnswerForm, Choice, ChoiceColumns, Column, read_choices
from plm.data.features.multiple_choice import encode_choices
from plm.data.features.rows import RowsFeature, pad_rows
from plm.errors import ConfigError, DataError
from plm.tasks.task import TASKS, Batch, Task
from plm.tokenizers import Tokenizer

Logits = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Pick:
    """What a model answers to one question.

    option: index of its option; text: the option. probabilities: of all options, (options,), summing to 1.
    """

    option: int
    text: str
    probabilities: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class MultipleChoice(Task[Choice, RowsFeature, Logits, Pick]):
    """One of several options, however many each question has.

    format: "dream", "c3", "race", "piqa", "swag", "rocstories" (see plm.data.choices); None = a table (jsonl, csv, tsv)
        with the columns below.
    context, question, options, answer, id: columns of a table. answer_form: how a table writes the right option. See
        plm.data.choices.ChoiceColumns.
    """

    format: str | None = None
    context: Column | tuple[Column, ...] = "context"
    question: Column | tuple[Column, ...] = "question"
    options: Column | tuple[Column, ...] = "options"
    answer: Column = "answer"
    answer_form: AnswerForm = "index"
    id: Column | None = None

    def __post_init__(self) -> None:
        if self.format is not None:
            CHOICE_FORMATS.get(self.format)
            if self.columns != ChoiceColumns():
                raise ConfigError(f"format: {self.format!r} knows its columns; leave out the format, or the columns")

    @property
    def head(self) -> str:
        """One score an option."""
        return "multiple_choice"

    @property
    def columns(self) -> ChoiceColumns:
        """Which column of a table holds what."""
        return ChoiceColumns(
            context=self.context,
            question=self.question,
            options=self.options,
            answer=self.answer,
            answer_form=self.answer_form,
            id=self.id,
        )

    @property
    def decision(self) -> Literal["single", "multi", "choice"] | None:
        """See Task."""
        return "choice"

    def read(self, path: Path | str) -> list[Choice]:
        """See Task and plm.data.choices.read_choices."""
        if self.format is not None:
            return read_choices(path, format=self.format)
        return read_choices(path, columns=self.columns)

    def check(self, examples: Sequence[Choice], *, source: str = "examples") -> None:
        """See Task."""
        for example in examples:
            if example.answer is None:
                hint = f" (expected in a column {self.answer!r})" if self.format is None else ""
                raise DataError(
                    f"{source}, {example.place}: the question has no answer{hint}; only prediction works without"
                )

    def model_options(self) -> dict[str, Any]:
        """None: a score needs no names."""
        return {}

    @property
    def feature_type(self) -> type[RowsFeature] | None:
        """See Task."""
        return RowsFeature

    def encode(
        self,
        examples: Sequence[Choice],
        tokenizer: Tokenizer,
        *,
        max_length: int,
        source: str = "examples",
        has_labels: bool = True,
    ) -> list[RowsFeature]:
        """See Task; one feature for each question. Raises DataError where question and option alone are too long."""
        if has_labels:
            self.check(examples, source=source)
        return encode_choices(examples, tokenizer, max_length=max_length, source=source, has_labels=has_labels)

    def length(self, feature: RowsFeature) -> int:
        """Positions of all options, each as long as the longest."""
        return feature.tokens

    def collate(self, features: Sequence[RowsFeature], *, pad_token_id: int) -> dict[str, Tensor]:
        """See plm.data.features.rows.pad_rows."""
        return pad_rows(features, pad_token_id=pad_token_id)

    def results(self, batch: Batch, output: Any) -> dict[int, Logits]:
        """The logits of each question; behind its last option stands what says that there is none."""
        rows = output.logits.to("cpu", torch.float32).numpy()
        return dict(zip(batch["index"].tolist(), rows, strict=True))

    def answers(
        self, examples: Sequence[Choice], features: Sequence[RowsFeature], results: Mapping[int, Logits]
    ) -> list[Pick]:
        """See Task."""
        picks = []
        for example, feature in zip(examples, features, strict=True):
            logits = results[feature.index][: len(example.options)].astype(np.float64)
            chances = np.exp(logits - logits.max())
            best = int(logits.argmax())
            picks.append(Pick(best, example.options[best], tuple((chances / chances.sum()).tolist())))
        return picks

    def score(self, examples: Sequence[Choice], answers: Sequence[Pick]) -> dict[str, float]:
        """accuracy: share of right options; one with the same text as the right one is right, too.

        loss: mean cross-entropy in nats.
        """
        self.check(examples)
        right = [example.options[example.answer or 0] for example in examples]
        chances = [answer.probabilities[example.answer or 0] for example, answer in zip(examples, answers, strict=True)]
        return {
            "accuracy": float(np.mean([answer.text == text for answer, text in zip(answers, right, strict=True)])),
            "loss": float(-np.log(np.maximum(chances, np.finfo(np.float64).tiny)).mean()),
        }

    def record(self, example: Choice, answer: Pick) -> dict[str, Any]:
        """See Task."""
        return {
            "id": example.id,
            "place": example.place,
            "label": example.answer,
            "predicted": answer.option,
            "text": answer.text,
            "probabilities": list(answer.probabilities),
        }


TASKS.add("multiple_choice", MultipleChoice)
