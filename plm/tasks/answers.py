"""Answers to questions about a text, with what else was possible, and the files in which they are handed in."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from plm.config import write_text
from plm.data.features.question_answering import Places
from plm.data.squad import Question
from plm.tasks.spans import Span

AnswerStyle = Literal["exact", "google"]
"""exact: the characters from the first token to the last, as they stand in the context; google: as `run_squad.py`."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """One of the best answers to a question.

    text: "" = there is no answer. start, end: characters [start, end) of the context; None without answer.
    probability: among the candidates of the question. start_logit, end_logit: of the first and last token.
    """

    text: str
    start: int | None
    end: int | None
    probability: float
    start_logit: float
    end_logit: float


@dataclass(frozen=True, slots=True)
class SpanAnswer:
    """What a model answers to one question.

    text: "" = there is no answer. start, end: characters [start, end) of the context, None without answer. With the
        style "exact" context[start:end] is the text.
    probability: among the candidates. null_score: the logits of "no answer" less those of the best answer; None where
        every question has one. candidates: the best ones, with different texts, the best first.
    """

    text: str
    start: int | None
    end: int | None
    probability: float
    null_score: float | None
    candidates: tuple[Candidate, ...]

    @property
    def best_text(self) -> str:
        """The best answer that there is, whatever speaks for "no answer"; "" when none was found."""
        return next((candidate.text for candidate in self.candidates if candidate.text), "")


def choose_answer(
    question: Question,
    places: Places,
    spans: Iterable[Span],
    *,
    n_best: int,
    style: AnswerStyle,
    null: Span | None,
    null_threshold: float,
) -> SpanAnswer:
    """The answer that the best spans give.

    places: of the tokens of the context. spans: the best first, as plm.tasks.spans.best_spans gives them.
    n_best: candidates at most ("no answer" may come on top).
    null: "no answer" with its logits, where that may be said: when its logits exceed those of the best answer by more
        than null_threshold; None = every question has an answer.
    """
    write = _STYLES[style]
    found: dict[str, Span] = {}
    for span in spans:
        if len(found) == n_best:
            break
        found.setdefault("" if span.tokens is None else write(question.context, places, *span.tokens), span)
    if null is not None:
        found.setdefault("", null)
    if not found:  # no pair of the best starts and ends fits; Google's code then answers "empty"
        found["empty" if style == "google" else ""] = Span(None, 0.0, 0.0)
    candidates = _candidates(found, places)
    best = next((candidate for candidate in candidates if candidate.text), None)
    if null is None:
        return _answer(candidates[0], candidates, null_score=None)
    score = null.logit - best.start_logit - best.end_logit if best else null.logit
    is_answered = best is not None and not score > null_threshold
    chosen = best if is_answered and best else next(candidate for candidate in candidates if not candidate.text)
    return _answer(chosen, candidates, null_score=score)


def answer_files(questions: Sequence[Question], answers: Sequence[SpanAnswer]) -> dict[str, str]:
    """The files of Google's run_squad.py, which the official evaluators read: name -> content.

    predictions.json: id of the question -> text. nbest_predictions.json: id -> candidates, each with text, probability,
    start_logit and end_logit. null_odds.json, where there may be no answer: id -> null_score.
    """
    pairs = list(zip(questions, answers, strict=True))
    names = ("text", "probability", "start_logit", "end_logit")
    files: dict[str, object] = {
        "predictions.json": {question.id: answer.text for question, answer in pairs},
        "nbest_predictions.json": {
            question.id: [{name: getattr(candidate, name) for name in names} for candidate in answer.candidates]
            for question, answer in pairs
        },
    }
    if any(answer.null_score is not None for answer in answers):
        files["null_odds.json"] = {question.id: answer.null_score for question, answer in pairs}
    return {name: json.dumps(values, indent=4) + "\n" for name, values in files.items()}


def write_answers(folder: Path | str, questions: Sequence[Question], answers: Sequence[SpanAnswer]) -> list[Path]:
    """Write the `answer_files` into a folder; returns their paths."""
    files = answer_files(questions, answers)
    for name, content in files.items():
        write_text(Path(folder) / name, content)
    return [Path(folder) / name for name in files]


def softmax(values: Sequence[float]) -> list[float]:
    """Probabilities of values, added up from the first on as Google's code does, so that even the last digits agree."""
    highest = max(values)
    powers = [math.exp(value - highest) for value in values]
    total = 0.0
    for power in powers:  # sum() rounds otherwise since Python 3.12
        total += power
    return [power / total for power in powers]


def _exact(text: str, places: Places, first: int, last: int) -> str:
    return text[places.spans[first, 0] : places.spans[last, 1]]


def _google(text: str, places: Places, first: int, last: int) -> str:
    assert places.google is not None, "encode_questions(google=True) made the windows"
    return places.google.text(first, last)


_STYLES: dict[AnswerStyle, Callable[[str, Places, int, int], str]] = {"exact": _exact, "google": _google}


def _candidates(found: dict[str, Span], places: Places) -> tuple[Candidate, ...]:
    probabilities = softmax([span.logit for span in found.values()])
    return tuple(
        Candidate(text, *_characters(span, places), probability, span.start_logit, span.end_logit)
        for (text, span), probability in zip(found.items(), probabilities, strict=True)
    )


def _characters(span: Span, places: Places) -> tuple[int | None, int | None]:
    if span.tokens is None:
        return None, None
    return int(places.spans[span.tokens[0], 0]), int(places.spans[span.tokens[1], 1])


def _answer(chosen: Candidate, candidates: tuple[Candidate, ...], *, null_score: float | None) -> SpanAnswer:
    return SpanAnswer(chosen.text, chosen.start, chosen.end, chosen.probability, null_score, candidates)
