"""Questions with options are read from every format, or the message says where they are wrong. All texts are ours."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from plm.data.choices import CHOICE_FORMATS, ChoiceColumns, read_choices
from plm.errors import DataError, UnknownNameError
from tests.shared_data import shared_data

TALK = ["A: Is the boat ready?", "B: It needs paint first."]
ASKED = {"question": "What does the boat need?", "choice": ["Paint", "Sails", "A crew"], "answer": "Paint"}


def write(path: Path, *objects: Any) -> Path:
    """JSON lines; texts as they are."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [line if isinstance(line, str) else json.dumps(line, ensure_ascii=False) for line in objects]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def refuses(path: Path, match: str, **options: Any) -> None:
    with pytest.raises(DataError, match=match) as caught:
        read_choices(path, **options)
    assert path.name in str(caught.value)


@pytest.mark.parametrize("name", ["dream", "c3"])
def test_dialogues_have_questions_whose_answers_are_texts(name: str, tmp_path: Path) -> None:
    other = {"question": "谁在说话?", "choice": ["船长", "画家"], "answer": "画家"}
    path = write(tmp_path / "d.json", [[TALK, [ASKED, other], "3-7"]])
    first, second = read_choices(path, format=name)
    assert (first.context, first.question) == ("\n".join(TALK), ASKED["question"])
    assert (first.options, first.answer) == (("Paint", "Sails", "A crew"), 0)
    assert (second.id, len(second.options), second.answer) == ("3-7-2", 2, 1)
    assert second.place == "document 3-7, question 2"


def test_race_is_a_folder_of_articles_with_letters(tmp_path: Path) -> None:
    article = {
        "article": "Owls hunt by ear.",
        "questions": ["Owls _ at night.", "How do owls hunt?"],
        "options": [["sleep", "hunt"], ["by ear", "by nose"]],
        "answers": ["B", "a"],
    }
    write(tmp_path / "middle" / "1.txt", article)
    choices = read_choices(tmp_path, format="race")
    assert [choice.answer for choice in choices] == [1, 0]
    assert [choice.id for choice in choices] == ["middle/1-1", "middle/1-2"]
    write(tmp_path / "middle" / "1.txt", article | {"answers": ["B"]})
    with pytest.raises(DataError, match=r"1.txt: 2 questions, 2 options, 1 answers"):
        read_choices(tmp_path, format="race")
    write(tmp_path / "middle" / "1.txt", article | {"answers": ["B", "ß"]})
    with pytest.raises(DataError, match=r"question 2: the answer 'ß' is none of the options; expected the letter"):
        read_choices(tmp_path, format="race")


def test_piqa_has_its_labels_inside_or_beside(tmp_path: Path) -> None:
    rows = [{"goal": "Dry a map", "sol1": "in the sun", "sol2": "in a lake"}, {"goal": "g", "sol1": "x", "sol2": "y"}]
    path = write(tmp_path / "train.jsonl", *rows)
    assert [choice.answer for choice in read_choices(path, format="piqa")] == [None, None]
    beside = write(tmp_path / "train-labels.lst", "0", "1")
    choices = read_choices(path, format="piqa")
    assert [choice.answer for choice in choices] == [0, 1]
    assert (choices[0].context, choices[0].question) == ("Dry a map", "")
    write(beside, "0")
    with pytest.raises(DataError, match=r"train-labels.lst: expected a label for each of the 2 questions, got 1"):
        read_choices(path, format="piqa")
    write(beside, "0", "2")
    with pytest.raises(DataError, match=r"train-labels.lst, line 2: the answer '2' is none of the options"):
        read_choices(path, format="piqa")
    write(path, rows[0] | {"label": 1})
    assert [choice.answer for choice in read_choices(path, format="piqa")] == [1]


def test_swag_goes_on_where_the_start_of_an_ending_stops(tmp_path: Path) -> None:
    names = "n,video-id,sent1,sent2,gold-source,ending0,ending1,ending2,ending3,label"
    path = write(
        tmp_path / "train.csv", names, '0,v1,"A cook, tired, sits.",The cook,gold,naps.,"flies, low.",sinks.,melts.,0'
    )
    (choice,) = read_choices(path, format="swag")
    assert (choice.context, choice.question) == ("A cook, tired, sits.", "The cook")
    assert (choice.options[1], choice.answer) == ("flies, low.", 0)
    test = write(tmp_path / "test.csv", names.removesuffix(",label"), "0,v1,A b.,C,gold,d,e,f,g")
    assert read_choices(test, format="swag")[0].answer is None


def test_rocstories_join_four_sentences_and_count_from_one(tmp_path: Path) -> None:
    names = [f"InputSentence{n}" for n in range(1, 5)] + [f"RandomFifthSentenceQuiz{n}" for n in (1, 2)]
    header = ",".join(["InputStoryid", *names, "AnswerRightEnding"])
    path = write(tmp_path / "val.csv", header, "s1,Ann ran.,It rained.,She fell.,She rose.,She won.,She is a fish.,1")
    (choice,) = read_choices(path, format="rocstories")
    assert (choice.context, choice.answer) == ("Ann ran. It rained. She fell. She rose.", 0)
    assert choice.id == "s1"


def test_tables_of_ones_own_declare_their_columns(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", {"text": "T", "ask": "Q?", "picks": ["x", "y", "z"], "key": "C"})
    columns = ChoiceColumns(context="text", question="ask", options="picks", answer="key", answer_form="letter")
    (choice,) = read_choices(path, columns=columns)
    assert (choice.context, choice.question, choice.options, choice.answer) == ("T", "Q?", ("x", "y", "z"), 2)
    table = write(tmp_path / "a.tsv", "Q1?\tyes\tno\tno", "Q2?\tup\tdown\tup")
    columns = ChoiceColumns(context=(), question=0, options=(1, 2), answer=-1, answer_form="text")
    assert [choice.answer for choice in read_choices(table, columns=columns)] == [1, 0]


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        (
            {"answer": 3},
            "line 2, column 'answer': the answer '3' is none of the options; expected the index of one of 2",
        ),
        ({"answer": -1}, "line 2, column 'answer': the answer '-1'"),
        ({"answer": None}, "line 2, column 'answer': expected a text, got null"),
        ({"options": ["a"], "answer": 0}, "line 2: expected at least two options, got 1"),
        ({"options": ["a", " "]}, "line 2: an option is empty"),
        ({"options": None}, "line 2, column 'options': expected a text, got null"),
        ({"context": "", "question": " "}, "line 2: neither context nor question"),
    ],
)
def test_a_wrong_row_is_named_with_line_and_column(changes: dict[str, Any], match: str, tmp_path: Path) -> None:
    good = {"context": "c", "question": "q", "options": ["a", "b"], "answer": 1}
    refuses(write(tmp_path / "a.jsonl", good, good | changes), match)


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"answer": "Pain"}, "'answer': the answer 'Pain' is none of the options; did you mean 'Paint'"),
        ({"choice": ["Paint", 3]}, "'choice': expected a list of texts"),
        ({"choice": "Paint"}, "'choice': expected a list of texts, got 'Paint'"),
        ({"question": None}, "'question': expected a text, got None"),
    ],
)
def test_a_wrong_question_is_named_with_its_document(changes: dict[str, Any], match: str, tmp_path: Path) -> None:
    path = write(tmp_path / "d.json", [[TALK, [ASKED | changes], "3-7"]])
    refuses(path, rf"document 1 \(3-7\), question 1, {match}", format="dream")


@pytest.mark.parametrize(
    "content", ["[1]", "7", '[["one turn", [], "id"]]', '[[["t"], [3], "id"]]', "{", "[]", '["ab"]']
)
def test_what_is_no_list_of_dialogues_is_refused(content: str, tmp_path: Path) -> None:
    refuses(write(tmp_path / "d.json", content), "expected|not JSON|holds no questions", format="dream")


def test_formats_are_known_by_name_and_have_their_own_columns(tmp_path: Path) -> None:
    assert set(CHOICE_FORMATS.names()) == {"dream", "c3", "race", "piqa", "swag", "rocstories"}
    with pytest.raises(UnknownNameError, match="did you mean 'dream'"):
        read_choices(tmp_path / "x", format="dreams")
    with pytest.raises(DataError, match="give the one or the other"):
        read_choices(tmp_path / "x", format="swag", columns=ChoiceColumns())


@pytest.mark.parametrize(
    ("file", "name", "questions", "options"),
    [
        ("multiple_choice/dream_train.json", "dream", 6116, {3: 6116}),
        ("multiple_choice/dream_dev.json", "dream", 2040, {3: 2040}),
        ("multiple_choice/piqa_dev.jsonl", "piqa", 1198, {2: 1198}),
        ("multiple_choice/swag_format_sample.json", "swag", 10, {4: 10}),
        ("c3/c3-d-train.json", "c3", 5856, {4: 4868, 3: 988}),
        ("c3/c3-d-dev.json", "c3", 1825, {4: 1512, 3: 313}),
    ],
)
def test_real_files_are_read_whole(file: str, name: str, questions: int, options: dict[int, int]) -> None:
    choices = read_choices(shared_data(*file.split("/")), format=name)
    assert len(choices) == questions
    assert Counter(len(choice.options) for choice in choices) == options
    assert all(choice.answer is not None for choice in choices)
