"""Questions about texts to the words that answer them, with their places."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from plm.data.squad import Question
from plm.errors import DataError
from plm.models.config import ModelConfig
from plm.pipelines.asking import Form
from plm.pipelines.source import TASKS
from plm.tasks.answers import SpanAnswer
from plm.tasks.question_answering import QuestionAnswering

# Tokens of a window in Google's run_squad.py, and so in most models that were trained on SQuAD.
_USUAL_LENGTH = 384


def guess_question_answering(config: ModelConfig, heads: Collection[str]) -> QuestionAnswering:
    """Nothing tells a model of SQuAD 2.0 from one of 1.1; so every question gets an answer, if there is any word."""
    return QuestionAnswering(version_2=False)


def _is_one(value: Any) -> bool:
    return isinstance(value, (Mapping, tuple))


def _read(question: Any, place: int, task: QuestionAnswering) -> Question:
    asked = (question.get("question"), question.get("context")) if isinstance(question, Mapping) else question
    if not isinstance(asked, tuple) or [type(part) for part in asked] != [str, str]:
        raise DataError(
            f'question {place}: expected {{"question": "...", "context": "..."}} or a tuple, got {question!r:.80}'
        )
    return Question(id=str(place), question=asked[0], context=asked[1])


def _tell(question: Any, example: Question, answer: SpanAnswer, task: QuestionAnswering) -> dict[str, Any]:
    told = {"answer": answer.text, "start": answer.start, "end": answer.end, "score": answer.probability}
    return told | ({"null_score": answer.null_score} if task.version_2 else {})


TASKS.add(
    "question-answering",
    Form(
        kind=QuestionAnswering,
        usual_length=_USUAL_LENGTH,
        guess=guess_question_answering,
        is_one=_is_one,
        read=_read,
        tell=_tell,
    ),
)
