"""Official scores of answers in a file, whichever system wrote them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from plm.data.squad import Question, gold_texts, read_questions, read_values
from plm.errors import DataError, UnknownNameError, did_you_mean
from plm.metrics.cmrc import cmrc2018
from plm.metrics.squad import squad_v1, squad_v2

NullOdds = Mapping[str, float]


def score_predictions(
    data: Path | str,
    predictions: Path | str,
    *,
    evaluator: str = "squad",
    null_odds: Path | str | None = None,
    threshold: float = 1.0,
) -> dict[str, float]:
    """What the official evaluator prints, by its own names and in its own units (percent, questions).

    data: questions, in a format of plm.data.squad. predictions: a JSON object, id of the question -> text.
    evaluator: "squad1", "squad2" or "cmrc"; "squad" = SQuAD's of the version that the data is of: 2.0 where a question
        has no answer.
    null_odds: of SQuAD 2.0, a JSON object, id -> number, higher = less likely that there is an answer. A prediction
        whose odds exceed the threshold counts as "no answer".
    Raises DataError naming the file that is not what it should be, or on which the official evaluator fails;
    UnknownNameError for another evaluator.
    """
    if evaluator not in EVALUATORS:
        raise UnknownNameError(
            f"unknown evaluator {evaluator!r}{did_you_mean(evaluator, EVALUATORS)} (known: {', '.join(EVALUATORS)})"
        )
    questions = read_questions(data)
    texts = read_predictions(predictions, questions)
    odds = None if null_odds is None else read_null_odds(null_odds)
    try:
        return EVALUATORS[evaluator](questions, texts, odds, threshold)
    except DataError as error:
        raise DataError(f"{predictions} for {data}: {error}") from error


def read_predictions(path: Path | str, questions: Sequence[Question]) -> dict[str, str]:
    """Id of the question -> text. Raises DataError for another shape, and where none is of these questions."""
    texts: dict[str, str] = {}
    for id_, text in _object(path, "an object with a text for the id of each question").items():
        if not isinstance(text, str):
            raise DataError(f"{path}, {id_!r}: expected a text, got {text!r:.60}")
        texts[id_] = text
    if not any(question.id in texts for question in questions):
        raise DataError(
            f"{path}: none of its {len(texts)} predictions is of the {len(questions)} questions, the first of which is "
            f"{questions[0].id!r}; are these the files that belong together?"
        )
    return texts


def read_null_odds(path: Path | str) -> dict[str, float]:
    """Id of the question -> how much speaks for "no answer". Raises DataError for another shape."""
    odds: dict[str, float] = {}
    for id_, value in _object(path, "an object with a number for the id of each question").items():
        if not isinstance(value, (int, float)) or isinstance(value, bool) or math.isnan(value):
            raise DataError(f"{path}, {id_!r}: expected a number, got {value!r:.60}")
        odds[id_] = value
    return odds


def _object(path: Path | str, expected: str) -> dict[str, object]:
    values = read_values(path, expected=expected)
    if not isinstance(values, dict):
        raise DataError(f"{path}: expected {expected}, got {type(values).__name__}")
    return values


def _squad(
    questions: Sequence[Question], texts: Mapping[str, str], odds: NullOdds | None, threshold: float
) -> dict[str, float]:
    version_2 = any(not question.answers for question in questions)
    return (_squad2 if version_2 else _squad1)(questions, texts, odds, threshold)


def _squad1(
    questions: Sequence[Question], texts: Mapping[str, str], odds: NullOdds | None, threshold: float
) -> dict[str, float]:
    _refuse_odds(odds, "SQuAD 1.1 asks no questions without answer")
    return squad_v1(gold_texts(questions), texts)


def _squad2(
    questions: Sequence[Question], texts: Mapping[str, str], odds: NullOdds | None, threshold: float
) -> dict[str, float]:
    return squad_v2(gold_texts(questions), texts, null_odds=odds, threshold=threshold)


def _cmrc(
    questions: Sequence[Question], texts: Mapping[str, str], odds: NullOdds | None, threshold: float
) -> dict[str, float]:
    _refuse_odds(odds, "CMRC asks no questions without answer")
    return cmrc2018(gold_texts(questions), texts)


def _refuse_odds(odds: NullOdds | None, reason: str) -> None:
    if odds is not None:
        raise DataError(f"null odds are of no use here: {reason}; leave them out, or take the evaluator 'squad2'")


EVALUATORS: Mapping[
    str, Callable[[Sequence[Question], Mapping[str, str], NullOdds | None, float], dict[str, float]]
] = {"squad": _squad, "squad1": _squad1, "squad2": _squad2, "cmrc": _cmrc}
"""Name -> scores of texts for questions, with null odds and threshold for those that take them."""
