"""Questions with several answers to choose from: DREAM, C3, RACE, PIQA, SWAG, ROCStories, and tables of one's own.

| format | file | context | question | options | answer |
|---|---|---|---|---|---|
| dream, c3 | JSON, `[[turns], [{question, choice, answer}], id]` | turns, one a line | question | choice | its text |
| race | folder of JSON files | article | questions | options | its letter |
| piqa | jsonl | goal | - | sol1, sol2 | label, from 0, or the lines of the file NAME-labels.lst |
| swag | csv or jsonl | sent1 | sent2, the start of an ending | ending0 to ending3 | label, from 0 |
| rocstories | csv | the four sentences | - | the two quizzes | number, from 1 |
| jsonl, csv, tsv | that | as ChoiceColumns say | | | |
"""

from __future__ import annotations

import csv
import dataclasses
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

from plm.data.tables import Cell, format_of, read_lines, read_rows, without_blank_end
from plm.errors import DataError, did_you_mean
from plm.registry import Registry

AnswerForm = Literal["index", "number", "letter", "text"]

Column = str | int
"""A name of line 1, a JSON key, or an index from 0 (negative: from the end)."""


@dataclass(frozen=True, slots=True)
class Choice:
    """A question and the options to answer it with.

    context: what to read first; may be empty. question: may be empty; options then go on where the context ends.
    answer: index of the right option; None = unknown. place: where it stands in its file, for people.
    """

    id: str
    context: str
    question: str
    options: tuple[str, ...]
    answer: int | None
    place: str


@dataclass(frozen=True, kw_only=True)
class ChoiceColumns:
    """Which column of a table holds what.

    context, question: several columns are joined by spaces; () = there is none.
    options: one column for each option, or one that holds a list (JSON).
    answer: a table that has no column of this name is one without answers.
    answer_form: "index" (from 0), "number" (from 1), "letter" (from A), or the "text" of the option.
    id: None = the number of the line.
    """

    context: Column | tuple[Column, ...] = "context"
    question: Column | tuple[Column, ...] = "question"
    options: Column | tuple[Column, ...] = "options"
    answer: Column = "answer"
    answer_form: AnswerForm = "index"
    id: Column | None = None


CHOICE_TABLES: Mapping[str, ChoiceColumns] = {
    "piqa": ChoiceColumns(context="goal", question=(), options=("sol1", "sol2"), answer="label"),
    "swag": ChoiceColumns(
        context="sent1", question="sent2", options=("ending0", "ending1", "ending2", "ending3"), answer="label"
    ),
    "rocstories": ChoiceColumns(
        context=("InputSentence1", "InputSentence2", "InputSentence3", "InputSentence4"),
        question=(),
        options=("RandomFifthSentenceQuiz1", "RandomFifthSentenceQuiz2"),
        answer="AnswerRightEnding",
        answer_form="number",
        id="InputStoryid",
    ),
}

CHOICE_FORMATS: Registry[Callable[[Path], list[Choice]]] = Registry("format of choices")


def read_choices(path: Path | str, *, format: str | None = None, columns: ChoiceColumns | None = None) -> list[Choice]:
    """All questions of a file, or of a folder for "race", in its order.

    format: a name in CHOICE_FORMATS; None = a table (jsonl, csv, tsv) with these columns.
    Raises DataError naming the place of a question with fewer than two options, an empty one, an answer that is none
    of them, or nothing to decide by.
    """
    path = Path(path)
    if format is not None and columns is not None:
        raise DataError(f"{path}: the format {format!r} knows its columns; give the one or the other")
    choices = (
        read_choice_table(path, columns or ChoiceColumns()) if format is None else CHOICE_FORMATS.get(format)(path)
    )
    if not choices:
        raise DataError(f"{path}: holds no questions")
    for choice in choices:
        _check(choice, path)
    return choices


def read_choice_table(path: Path, columns: ChoiceColumns) -> list[Choice]:
    """One question a row."""
    roles = {role: _several(getattr(columns, role)) for role in ("context", "question", "options")}
    roles["id"] = () if columns.id is None else (columns.id,)
    roles["answer"] = (columns.answer,) if isinstance(columns.answer, int) or columns.answer in _names(path) else ()
    wanted = {str(column): column for own in roles.values() for column in own}
    choices = []
    for line, cells in read_rows(path, wanted):
        where = f"{path}, line {line}"
        texts = {role: _texts(cells, own, where) for role, own in roles.items()}
        written, here = " ".join(texts["answer"]), f"{where}, column {columns.answer!r}"
        choices.append(
            Choice(
                id=" ".join(texts["id"]) or str(line),
                context=" ".join(texts["context"]),
                question=" ".join(texts["question"]),
                options=texts["options"],
                answer=_answer(written, texts["options"], columns.answer_form, here) if roles["answer"] else None,
                place=f"line {line}",
            )
        )
    return choices


def read_piqa(path: Path) -> list[Choice]:
    """PIQA as it is distributed, the labels in a file beside: train.jsonl and train-labels.lst; or with them inside."""
    choices, beside = read_choice_table(path, CHOICE_TABLES["piqa"]), path.with_name(f"{path.stem}-labels.lst")
    if any(choice.answer is not None for choice in choices) or not beside.exists():
        return choices
    labels = list(without_blank_end(read_lines(beside), lambda line: not line.strip()))
    if len(labels) != len(choices):
        raise DataError(f"{beside}: expected a label for each of the {len(choices)} questions, got {len(labels)}")
    return [
        dataclasses.replace(choice, answer=_answer(label, choice.options, "index", f"{beside}, line {line}"))
        for choice, (line, label) in zip(choices, labels, strict=True)
    ]


def read_dialogues(path: Path) -> list[Choice]:
    """DREAM and C3: documents with several questions each. The turns of a dialogue become lines."""
    choices = []
    documents = _json(path)
    for number, document in enumerate(documents if isinstance(documents, list) else [documents], 1):
        where = f"{path}, document {number}"
        if not isinstance(document, list) or len(document) != 3:
            raise DataError(f"{where}: expected [[turns], [questions], id], got {document!r:.60}")
        turns, questions, name = document
        context = "\n".join(_strings(turns, f"{where}, the turns"))
        for place, question in enumerate(_objects(questions, where), 1):
            here = f"{where} ({name}), question {place}"
            options = _strings(question.get("choice"), f"{here}, 'choice'")
            written = question.get("answer")
            choices.append(
                Choice(
                    id=f"{name}-{place}",
                    context=context,
                    question=_string(question.get("question"), f"{here}, 'question'"),
                    options=options,
                    answer=None if written is None else _answer(written, options, "text", f"{here}, 'answer'"),
                    place=f"document {name}, question {place}",
                )
            )
    return choices


def read_race(path: Path) -> list[Choice]:
    """RACE: a folder, with folders inside or not, of .txt files that each hold one JSON object."""
    choices = []
    for file in sorted(path.rglob("*.txt")):
        (article,) = _objects([_json(file)], str(file))
        text = _string(article.get("article"), f"{file}, 'article'")
        questions = _strings(article.get("questions"), f"{file}, 'questions'")
        options = article.get("options")
        letters = article.get("answers", [None] * len(questions))
        if not isinstance(options, list) or not isinstance(letters, list):
            raise DataError(f"{file}: expected lists of 'options' and 'answers'")
        if not len(questions) == len(options) == len(letters):
            raise DataError(f"{file}: {len(questions)} questions, {len(options)} options, {len(letters)} answers")
        for place, (question, listed, letter) in enumerate(zip(questions, options, letters, strict=True), 1):
            texts = _strings(listed, f"{file}, question {place}, 'options'")
            choices.append(
                Choice(
                    id=f"{file.relative_to(path).with_suffix('').as_posix()}-{place}",
                    context=text,
                    question=question,
                    options=texts,
                    answer=None if letter is None else _answer(letter, texts, "letter", f"{file}, question {place}"),
                    place=f"{file.relative_to(path).as_posix()}, question {place}",
                )
            )
    return choices


def _check(choice: Choice, path: Path) -> None:
    if len(choice.options) < 2:
        raise DataError(f"{path}, {choice.place}: expected at least two options, got {len(choice.options)}")
    if not all(option.strip() for option in choice.options):
        raise DataError(f"{path}, {choice.place}: an option is empty: {choice.options!r:.80}")
    if not (choice.context + choice.question).strip():
        raise DataError(f"{path}, {choice.place}: neither context nor question; remove it, or fill one of them")


def _answer(written: Any, options: Sequence[str], form: AnswerForm, where: str) -> int:
    """The index of the right option. Of equal options the first is taken."""
    index = _FORMS[form](str(written).strip(), options)
    if index is not None and 0 <= index < len(options):
        return index
    hint = did_you_mean(str(written), options) if form == "text" else f"; expected the {form} of one of {len(options)}"
    raise DataError(f"{where}: the answer {written!r:.80} is none of the options{hint}")


def _position(written: str, first: int) -> int | None:
    return int(written) - first if written.isascii() and written.isdigit() else None


def _letter(written: str) -> int | None:
    return ord(written.upper()) - ord("A") if len(written) == 1 and written.isascii() else None


def _place_of_text(written: str, options: Sequence[str]) -> int | None:
    stripped = [option.strip() for option in options]
    return stripped.index(written) if written in stripped else None


_FORMS: Mapping[AnswerForm, Callable[[str, Sequence[str]], int | None]] = {
    "index": lambda written, options: _position(written, 0),
    "number": lambda written, options: _position(written, 1),
    "letter": lambda written, options: _letter(written),
    "text": _place_of_text,
}


def _several(columns: Column | tuple[Column, ...]) -> tuple[Column, ...]:
    return columns if isinstance(columns, tuple) else (columns,)


def _names(path: Path) -> list[str]:
    """The columns of a table: the cells of its first line, or the keys of its first object."""
    first = next((line for _, line in read_lines(path)), "")
    kind = format_of(path)
    if kind == "jsonl":
        try:
            return list(json.loads(first))
        except (ValueError, TypeError, RecursionError):
            return []  # read_rows will say what is wrong, and where
    cells = next(csv.reader([first]), []) if kind == "csv" else first.split("\t")
    return [cell.strip() for cell in cells]


def _json(path: Path) -> Any:
    try:
        return json.loads("\n".join(line for _, line in read_lines(path)))
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: not JSON: {error}") from error


def _objects(values: Any, where: str) -> Iterator[dict[str, Any]]:
    for value in values if isinstance(values, list) else [values]:
        if not isinstance(value, dict):
            raise DataError(f"{where}: expected JSON objects, got {value!r:.60}")
        yield value


def _string(value: Any, where: str) -> str:
    if isinstance(value, str):
        return value
    raise DataError(f"{where}: expected a text, got {value!r:.60}")


def _strings(value: Any, where: str) -> tuple[str, ...]:
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return tuple(value)
    raise DataError(f"{where}: expected a list of texts, got {value!r:.60}")


def _texts(cells: Mapping[str, Cell | None], columns: Sequence[Column], where: str) -> tuple[str, ...]:
    """What some cells of a row hold: several texts where one is a list."""
    texts: list[str] = []
    for column in columns:
        cell = cells[str(column)]
        if cell is None:
            raise DataError(f"{where}, column {column!r}: expected a text, got null")
        texts += [cell] if isinstance(cell, str) else cell
    return tuple(texts)


for _name in ("dream", "c3"):
    CHOICE_FORMATS.add(_name, read_dialogues)
CHOICE_FORMATS.add("race", read_race)
CHOICE_FORMATS.add("piqa", read_piqa)
for _name in ("swag", "rocstories"):
    CHOICE_FORMATS.add(_name, partial(read_choice_table, columns=CHOICE_TABLES[_name]))
