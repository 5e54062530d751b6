"""Questions about texts, from files in the format of SQuAD (v1.1, v2.0, CMRC, DRCD, XQuAD) and in CMRC's own."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from plm.data.tables import read_lines
from plm.errors import DataError


class GoldAnswer(NamedTuple):
    """An answer as people wrote it.

    text: as it stands in the file; evaluators compare with this.
    start: character of the context where this text stands; None = it stands nowhere, so nothing can be learned from it.
    stated: where the file says that it stands; None = the file says nothing.
    """

    text: str
    start: int | None
    stated: int | None = None

    @property
    def is_moved(self) -> bool:
        """True when it stands elsewhere than the file says."""
        return None not in (self.start, self.stated) and self.start != self.stated


@dataclass(frozen=True, slots=True)
class Question:
    """One question about a text.

    question: may be blank, as one of CMRC's is.
    answers: any of them will do; none for a question that cannot be answered, or whose answer is not known.
    is_impossible: True = the file says that the context does not answer it (SQuAD 2.0).
    place: where it stands in its file, for people.
    """

    id: str
    question: str
    context: str
    answers: tuple[GoldAnswer, ...] = ()
    is_impossible: bool = False
    place: str = ""

    @property
    def located(self) -> tuple[GoldAnswer, ...]:
        """The answers that stand in the context."""
        return tuple(answer for answer in self.answers if answer.start is not None)

    @property
    def is_odd(self) -> bool:
        """True when it is blank, or an answer does not stand where the file says; see Oddities."""
        return not self.question.strip() or any(answer.start is None or answer.is_moved for answer in self.answers)


@dataclass(frozen=True)
class Oddities:
    """What is not as it should be among the questions of a file.

    answers: of all questions. moved: those that stand elsewhere than the file says. lost: those that stand nowhere.
    unusable: questions with answers none of which stands in the context; they are not learned from.
    blank: questions without a text. first: where the first question stands that has any of this.
    """

    answers: int
    moved: int
    lost: int
    unusable: int
    blank: int
    first: str

    @classmethod
    def of(cls, questions: Sequence[Question]) -> Oddities:
        """Count them."""
        answers = [answer for question in questions for answer in question.answers]
        odd = (question for question in questions if question.is_odd)
        return cls(
            answers=len(answers),
            moved=sum(answer.is_moved for answer in answers),
            lost=sum(answer.start is None for answer in answers),
            unusable=sum(bool(question.answers) and not question.located for question in questions),
            blank=sum(not question.question.strip() for question in questions),
            first=next((question.place or question.id for question in odd), ""),
        )

    def __bool__(self) -> bool:
        return bool(self.first)

    def __str__(self) -> str:
        return (
            f"{self.answers} answers: {self.moved} stand elsewhere than the file says, {self.lost} nowhere in their "
            f"context; {self.unusable} questions have no answer to learn from, {self.blank} are blank; the first of "
            f"all these is {self.first}"
        )


def read_questions(path: Path | str) -> list[Question]:
    """All questions of a file, in its order; those about the same text share it.

    Two formats, told apart by what is there: {"data": [{"paragraphs": [{"context", "qas": [{"id", "question",
    "answers": [{"text", "answer_start"}], "is_impossible"}]}]}]}, and CMRC's own [{"context_text", "qas":
    [{"query_id", "query_text", "answers": [text]}]}]. "answers" may be missing, as in files to predict.
    An answer that does not stand at its answer_start gets the place nearest to it where it does; see Oddities.
    Raises DataError naming file, article, paragraph and question of what is missing, of a wrong type, empty or double.
    """
    questions: list[Question] = []
    places: dict[str, str] = {}
    values = read_values(path, expected="the format of SQuAD or CMRC")
    for paragraph, where in _paragraphs(values, str(path)):
        context = _text(paragraph, ("context", "context_text"), where)
        for number, entry in enumerate(_list(paragraph, "qas", where), 1):
            question = _question(entry, context, f"{where}, question {number}")
            place = question.place.removeprefix(f"{path}, ")
            if question.id in places:
                raise DataError(
                    f"{question.place}: the id stands already at {places[question.id]}; predictions are told apart by "
                    f"id, so give every question its own"
                )
            places[question.id] = place
            questions.append(question)
    if not questions:
        raise DataError(f"{path}: holds no questions")
    return questions


def gold_texts(questions: Sequence[Question]) -> dict[str, tuple[str, ...]]:
    """The texts of the answers by id of the question, as the evaluators of plm.metrics take them."""
    return {question.id: tuple(answer.text for answer in question.answers) for question in questions}


def nearest(context: str, text: str, stated: int | None) -> int | None:
    """The place nearest to the stated one where a text stands in a context, the first where none is stated.

    Of two that are equally near the earlier one; None when it stands nowhere.
    """
    if stated is None or not 0 <= stated <= len(context):  # files write -1 for "nowhere"
        stated = 0
    after = context.find(text, stated)
    before = context.rfind(text, 0, stated + len(text))
    found = [place for place in (before, after) if place >= 0 and text.strip()]
    return min(found, key=lambda place: abs(place - stated), default=None)


def read_values(path: Path | str, *, expected: str) -> Any:
    """What a JSON file holds, also one that ends in .gz or .xz. expected: what that should be, for messages.

    Raises DataError when the file is missing, damaged, not UTF-8 or not JSON.
    """
    text = "\n".join(line for _, line in read_lines(path))
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: not JSON ({error}); expected {expected}") from error


def _paragraphs(values: Any, path: str) -> Iterator[tuple[dict[str, Any], str]]:
    """Every context with its questions, and where it stands."""
    articles = values if isinstance(values, list) else _list(_object(values, path), "data", path)
    for number, article in enumerate(articles, 1):
        where = f"{path}, article {number}"
        article = _object(article, where)
        if "paragraphs" not in article:  # CMRC's own format, which has one context an article
            yield article, where
            continue
        if isinstance(article.get("title"), str):
            where += f" {article['title']!r}"
        for count, paragraph in enumerate(_list(article, "paragraphs", where), 1):
            yield _object(paragraph, f"{where}, paragraph {count}"), f"{where}, paragraph {count}"


def _question(entry: Any, context: str, where: str) -> Question:
    entry = _object(entry, where)
    id_ = _text(entry, ("id", "query_id"), where)
    where = f"{where} ({id_})"
    impossible = entry.get("is_impossible", False)
    if not isinstance(impossible, bool):
        raise DataError(f"{where}, 'is_impossible': expected true or false, got {impossible!r:.60}")
    given = _list(entry, "answers", where) if entry.get("answers") is not None else []
    return Question(
        id=id_,
        question=_text(entry, ("question", "query_text"), where, may_be_blank=True),
        context=context,
        answers=tuple(_answer(answer, context, f"{where}, answer {number}") for number, answer in enumerate(given, 1)),
        is_impossible=impossible,
        place=where,
    )


def _answer(entry: Any, context: str, where: str) -> GoldAnswer:
    if isinstance(entry, str):
        return GoldAnswer(entry, nearest(context, entry, None))
    entry = _object(entry, where)
    text, stated = entry.get("text"), entry.get("answer_start")
    if not isinstance(text, str):
        raise DataError(f"{where}, 'text': expected a text, got {text!r:.60}")
    if stated is not None and (not isinstance(stated, int) or isinstance(stated, bool)):
        raise DataError(f"{where}, 'answer_start': expected a number of characters, got {stated!r:.60}")
    return GoldAnswer(text, nearest(context, text, stated), stated)


def _object(value: Any, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise DataError(f"{where}: expected a JSON object, got {type(value).__name__}")
    return value


def _list(values: dict[str, Any], name: str, where: str) -> list[Any]:
    value = values.get(name)
    if not isinstance(value, list):
        found = ", ".join(map(repr, values)) or "nothing"
        raise DataError(
            f"{where}, {name!r}: expected a list, got {type(value).__name__}"
            if name in values
            else f"{where}: has no {name!r} (it has: {found}); expected the format of SQuAD or CMRC"
        )
    return value


def _text(values: dict[str, Any], names: tuple[str, str], where: str, *, may_be_blank: bool = False) -> str:
    """The text under the first of the names that is there, SQuAD's or CMRC's."""
    name = next((name for name in names if name in values), None)
    if name is None:
        raise DataError(f"{where}: has neither {names[0]!r} nor {names[1]!r} (it has: {', '.join(map(repr, values))})")
    value = values[name]
    if not isinstance(value, str) or not (may_be_blank or value.strip()):
        raise DataError(f"{where}, {name!r}: expected a text{'' if may_be_blank else ' not blank'}, got {value!r:.60}")
    return value
