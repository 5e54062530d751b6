"""SQuAD's official scores, v1.1 and v2.0: exact match and F1 of words, after English normalization."""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Mapping, Sequence

from plm.errors import DataError

References = Mapping[str, Sequence[str]]
"""Texts of the expected answers by id of the question; none = it cannot be answered (v2.0)."""

Predictions = Mapping[str, str]
"""The text of the answer by id of the question; "" = none."""

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_NO_PUNCTUATION = str.maketrans("", "", string.punctuation)  # ASCII only: full-width signs stay


def normalize_answer(text: str) -> str:
    """In lower case, without ASCII punctuation and English articles, with single spaces."""
    return " ".join(_ARTICLES.sub(" ", text.lower().translate(_NO_PUNCTUATION)).split())


def squad_v1(references: References, predictions: Predictions) -> dict[str, float]:
    """What evaluate-v1.1.py prints: exact_match and f1, in percent.

    A question without prediction counts 0; predictions of other questions are passed over.
    Raises DataError for a question without expected answers.
    Source: https://rajpurkar.github.io/SQuAD-explorer, MIT.
    """
    _require_questions(references)
    exact = f1 = 0.0
    for id_, answers in references.items():
        if not answers:
            raise DataError(f"question {id_!r}: has no expected answer; questions without belong to squad_v2")
        if id_ in predictions:
            prediction = normalize_answer(predictions[id_])
            expected = [normalize_answer(answer) for answer in answers]
            exact += prediction in expected
            f1 += max(_f1(answer.split(), prediction.split()) for answer in expected)
    return {"exact_match": 100.0 * exact / len(references), "f1": 100.0 * f1 / len(references)}


def squad_v2(
    references: References,
    predictions: Predictions,
    *,
    null_odds: Mapping[str, float] | None = None,
    threshold: float = 1.0,
) -> dict[str, float]:
    """What evaluate-v2.0.py prints: exact, f1 and total; the same of the questions with answer (HasAns_) and without
    (NoAns_), where there are any; with null_odds also best_exact and best_f1, in percent, and their thresholds.

    null_odds: by id, higher = less likely that there is an answer (the script's --na-prob-file). A prediction with odds
        above the threshold counts as "no answer". best_...: the most that any other threshold would reach.
    Predictions of other questions are passed over. Raises DataError where the script fails: for a question without
    prediction, or without null odds when they are given.
    Source: https://rajpurkar.github.io/SQuAD-explorer, MIT.
    """
    _require_questions(references)
    _require_all(references, predictions, "prediction")
    exact, f1 = {}, {}
    for id_, answers in references.items():
        # An answer of nothing but articles and punctuation counts as none, but the question as one that has an answer.
        expected = [text for text in map(normalize_answer, answers) if text] or [""]
        prediction = normalize_answer(predictions[id_])
        exact[id_] = float(prediction in expected)
        f1[id_] = max(_f1_or_none(answer.split(), prediction.split()) for answer in expected)
    kept_exact, kept_f1 = exact, f1
    if null_odds is not None:
        _require_all(references, null_odds, "null odds")
        silent = [id_ for id_ in references if null_odds[id_] > threshold]
        right = {id_: float(not references[id_]) for id_ in silent}
        kept_exact, kept_f1 = exact | right, f1 | right
    answered = [id_ for id_, answers in references.items() if answers]
    unanswered = [id_ for id_, answers in references.items() if not answers]
    scores: dict[str, float] = {}
    for prefix, ids in (("", list(references)), ("HasAns_", answered), ("NoAns_", unanswered)):
        if ids:
            scores[f"{prefix}exact"] = 100.0 * sum(kept_exact[id_] for id_ in ids) / len(ids)
            scores[f"{prefix}f1"] = 100.0 * sum(kept_f1[id_] for id_ in ids) / len(ids)
            scores[f"{prefix}total"] = len(ids)
    if null_odds is not None:
        for name, values in (("exact", exact), ("f1", f1)):
            best, at = best_threshold(references, predictions, values, null_odds)
            scores |= {f"best_{name}": 100.0 * best / len(references), f"best_{name}_thresh": at}
    return scores


def best_threshold(
    references: References, predictions: Predictions, scores: Mapping[str, float], null_odds: Mapping[str, float]
) -> tuple[float, float]:
    """The highest sum of scores that one threshold on the null odds reaches, and that threshold.

    scores: of each prediction, by id. Starts from "no answer" everywhere and lets the predictions speak in the order of
    their odds; the threshold is 0.0, as in the official script, where none of them makes it better.
    """
    best = now = float(sum(not answers for answers in references.values()))
    threshold = 0.0
    for id_ in sorted((id_ for id_ in null_odds if id_ in references), key=lambda id_: null_odds[id_]):
        now += scores[id_] if references[id_] else -bool(predictions[id_])
        if now > best:
            best, threshold = now, null_odds[id_]
    return best, threshold


def _f1_or_none(expected: list[str], predicted: list[str]) -> float:
    """As `_f1`, but two empty answers agree."""
    return _f1(expected, predicted) if expected and predicted else float(expected == predicted)


def _f1(expected: list[str], predicted: list[str]) -> float:
    common = (Counter(expected) & Counter(predicted)).total()
    if common == 0:
        return 0.0
    precision, recall = common / len(predicted), common / len(expected)
    return 2 * precision * recall / (precision + recall)


def _require_questions(references: References) -> None:
    if not references:
        raise DataError("there are no questions to score")


def _require_all(references: References, values: Mapping[str, object], what: str) -> None:
    if missing := [id_ for id_ in references if id_ not in values]:
        raise DataError(
            f"{len(missing)} of {len(references)} questions have no {what}, the first is {missing[0]!r}; the official "
            f'evaluator fails on this file. Give every question one; the prediction "" means that there is no answer'
        )
