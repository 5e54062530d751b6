"""Texts to classes: read as the family usually reads, or between GPT-1's own tokens if the folder was trained so."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

from plm.data.readers import Example
from plm.errors import DataError
from plm.models.config import ModelConfig
from plm.pipelines.asking import Form
from plm.pipelines.source import TASKS, Source
from plm.pipelines.texts import Task, label_and_score
from plm.tasks import Gpt1Classification
from plm.tasks.classification import Decision


@dataclass(frozen=True, kw_only=True)
class TextClassification(Task):
    """The row of TASKS. marked: how folders are asked that GPT-1's own fine-tuning wrote."""

    marked: Form

    def open(self, source: Source) -> Callable[[Any], list[Any]]:
        """See PipelineTask."""
        is_marked = isinstance(source.settings, Gpt1Classification) or source.saved(Gpt1Classification) is not None
        return self.marked.open(source) if is_marked else super().open(source)


def _guess(config: ModelConfig, heads: Collection[str]) -> Gpt1Classification:
    return Gpt1Classification(labels=config.labels)


def _is_one(value: Any) -> bool:
    return isinstance(value, (str, tuple))


def _read(question: Any, place: int, task: Gpt1Classification) -> Example:
    parts = question if isinstance(question, tuple) else (question,)
    if len(parts) > 2 or not all(isinstance(part, str) and part.strip() for part in parts):
        raise DataError(
            f"text {place}: expected a string or a pair of strings, none of them empty, got {question!r:.80}"
        )
    text, pair = (*parts, None) if len(parts) == 1 else parts
    return Example(id=str(place), text=text, pair=pair, label=None, line=place + 1)


def _tell(question: Any, example: Example, answer: Decision, task: Gpt1Classification) -> dict[str, Any]:
    return {"label": answer.label, "score": answer.probability}


TASKS.add(
    "text-classification",
    TextClassification(
        head="sequence_classification",
        field="logits",
        by_token=False,
        answer=label_and_score,
        marked=Form(kind=Gpt1Classification, usual_length=128, guess=_guess, is_one=_is_one, read=_read, tell=_tell),
    ),
)
