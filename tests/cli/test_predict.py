"""`plm predict` answers every text in its order, whatever way it comes and whatever way the answer goes."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

import plm as package
from plm.runs import RunConfig, TaskData, predict, train
from plm.tasks import Classification, Gpt1Classification, MultipleChoice, Tagging
from plm.tasks.saving import SavedTask, save_tasks
from plm.training import TrainingConfig
from tests.cli.conftest import Plm
from tests.tiny_folders import tiny_folder, write_rows

TEXTS = ["the good film", "a very bad day", "rain"]


@pytest.fixture
def expected(classifier: Path) -> list[dict[str, Any]]:
    return package.pipeline("text-classification", classifier)(TEXTS)


def rows(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def assert_answers(found: list[dict[str, Any]], expected: list[dict[str, Any]]) -> None:
    assert [row["text"] for row in found] == TEXTS
    assert [row["label"] for row in found] == [answer["label"] for answer in expected]
    assert [row["score"] for row in found] == pytest.approx([answer["score"] for answer in expected])


def test_texts_as_arguments(plm: Plm, classifier: Path, expected: list[dict[str, Any]]) -> None:
    assert_answers(rows(plm("predict", classifier, *TEXTS).stdout), expected)


@pytest.mark.parametrize("options", [("--backend", "numpy"), ("--backend", "int8"), ("--dtype", "int8")])
def test_other_backends_give_the_same_labels(plm: Plm, classifier: Path, options: tuple[str, ...]) -> None:
    usual, other = (plm("predict", classifier, "good day", "bad", *given) for given in ((), options))
    assert other.exit_code == 0, other.output
    labels = [[json.loads(line)["label"] for line in one.stdout.splitlines()] for one in (usual, other)]
    assert labels[0] == labels[1]


def test_texts_from_standard_input(plm: Plm, classifier: Path, expected: list[dict[str, Any]]) -> None:
    assert_answers(rows(plm("predict", classifier, input="\r\n".join(TEXTS) + "\n\n").stdout), expected)


@pytest.mark.parametrize(("name", "separator"), [("texts.tsv", "\t"), ("texts.csv", ",")])
def test_texts_from_a_table(
    name: str, separator: str, plm: Plm, classifier: Path, expected: list[dict[str, Any]], tmp_path: Path
) -> None:
    lines = [f"{number}{separator}{text}" for number, text in enumerate(TEXTS)]
    (tmp_path / name).write_text("\n".join([f"key{separator}review", *lines]))
    found = rows(plm("predict", classifier, "--file", tmp_path / name, "--text", "review", "--id", "key").stdout)
    assert_answers(found, expected)
    assert [row["id"] for row in found] == ["0", "1", "2"]
    by_number = plm("predict", classifier, "--file", tmp_path / name, "--text", 1, "--header")
    assert_answers(rows(by_number.stdout), expected)


def test_pairs_from_json_lines_to_a_file(plm: Plm, classifier: Path, tmp_path: Path) -> None:
    (tmp_path / "pairs.jsonl").write_text("".join(json.dumps({"a": t, "b": "the sun"}) + "\n" for t in TEXTS))
    options = ("--file", tmp_path / "pairs.jsonl", "--text", "a", "--pair", "b", "--output", tmp_path / "out.jsonl")
    result = plm("predict", classifier, *options)
    assert (result.exit_code, result.stdout) == (0, "")
    expected = package.pipeline("text-classification", classifier)([(text, "the sun") for text in TEXTS])
    found = rows((tmp_path / "out.jsonl").read_text())
    assert_answers(found, expected)
    assert [row["pair"] for row in found] == ["the sun"] * 3


def test_tables_hold_tabs_and_line_ends_as_two_characters(plm: Plm, classifier: Path) -> None:
    result = plm("predict", classifier, "a\tgood\nday", "--to", "tsv")
    header, line = result.stdout.splitlines()
    assert header.split("\t") == ["id", "text", "label", "score"]
    assert line.split("\t")[1] == r"a\tgood\nday"


def test_embeddings_are_lists_of_numbers(plm: Plm, classifier: Path) -> None:
    found = rows(plm("predict", classifier, "--task", "sentence-embedding", *TEXTS).stdout)
    assert [len(row["output"]) for row in found] == [12, 12, 12]


def test_a_missing_column_names_the_nearest(plm: Plm, classifier: Path, tmp_path: Path) -> None:
    table = write_rows(tmp_path / "t.tsv", [["review", "stars"], ["good", "5"]])
    result = plm("predict", classifier, "--file", table, "--text", "reviews")
    assert result.exit_code == 1
    assert "did you mean 'review'" in result.stderr


@pytest.fixture(scope="module")
def tagger(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tagger") / "model"
    labels = ("O", "B-X", "I-X")
    tiny_folder(folder, "bert", "token_classification", id2label=dict(enumerate(labels)))
    save_tasks(folder, {"names": SavedTask(Tagging(scheme="bio", labels=labels, tag="ner", joiner=" "), 16)})
    return folder


def test_a_trained_folder_reads_files_as_in_training(plm: Plm, tagger: Path, tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"words": ["the", "sun"]}\n{"words": ["red"], "ner": ["O"]}\n')
    found = rows(plm("predict", tagger, "--file", tmp_path / "a.jsonl").stdout)
    assert found == json.loads(json.dumps(predict(tagger, tmp_path / "a.jsonl").records))
    assert [row["words"] for row in found] == [["the", "sun"], ["red"]]
    table = plm("predict", tagger, "--file", tmp_path / "a.jsonl", "--to", "tsv", "--task", "names").stdout.splitlines()
    assert table[0].split("\t")[:3] == ["id", "line", "text"]
    assert len(table) == 3


def test_a_tagger_finds_entities_in_texts(plm: Plm, tagger: Path, tmp_path: Path) -> None:
    found = rows(plm("predict", tagger, *TEXTS).stdout)
    answers = package.pipeline("ner", tagger)(TEXTS)
    assert [row["text"] for row in found] == TEXTS
    assert [[item["text"] for item in row["entities"]] for row in found] == [[i["text"] for i in a] for a in answers]
    write_rows(tmp_path / "a.tsv", [["body"], *([text] for text in TEXTS)])
    named = plm("predict", tagger, "--task", "ner", "--file", tmp_path / "a.tsv", "--text", "body")
    assert [row["entities"] for row in rows(named.stdout)] == [row["entities"] for row in found]


def test_questions_are_answered_from_a_table(plm: Plm, tmp_path: Path) -> None:
    folder = tiny_folder(tmp_path / "qa", "bert", "question_answering")
    path = write_rows(tmp_path / "q.tsv", [["q", "c"], ["the sun", "old red book"], ["rain", "bad film"]])
    options = ("--task", "question-answering", "--file", path, "--text", "q", "--pair", "c")
    found = rows(plm("predict", folder, *options).stdout)
    assert [row["pair"][row["start"] : row["end"]] for row in found] == [row["answer"] for row in found]


def test_a_classifier_reads_the_columns_that_it_was_trained_on(
    plm: Plm, classifier: Path, tmp_path: Path, expected: list[dict[str, Any]]
) -> None:
    folder = tmp_path / "model"
    shutil.copytree(classifier, folder)
    save_tasks(folder, {"task": SavedTask(Classification(text="review", labels=("bad", "good")), 16)})
    path = write_rows(tmp_path / "a.tsv", [["review", "note"], *([text, "x"] for text in TEXTS)])
    assert_answers(rows(plm("predict", folder, "--file", path).stdout), expected)
    assert [row["text"] for row in rows(plm("predict", folder, "--file", path, "--text", "note").stdout)] == ["x"] * 3


def test_what_a_folder_cannot_be_asked_is_explained(plm: Plm, tagger: Path, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("the\n")
    result = plm("predict", tagger, "--file", tmp_path / "a.txt", "--text", "review")
    assert (result.exit_code, "--text says nothing here" in result.stderr) == (2, True)
    result = plm("predict", tagger, "sun", "--task", "nams")
    assert (result.exit_code, "has no task 'nams'; did you mean 'names'" in result.stderr) == (1, True)
    folder = tiny_folder(tmp_path / "choices", "bert", "multiple_choice")
    result = plm("predict", folder, "sun", "--task", "nre")
    assert (result.exit_code, "unknown pipeline task 'nre'; did you mean 'ner'" in result.stderr) == (1, True)
    save_tasks(folder, {"task": SavedTask(MultipleChoice(), 16)})
    result = plm("predict", folder, "sun")
    assert (result.exit_code, "'task' (MultipleChoice) is asked about files: give --file" in result.stderr) == (2, True)


@pytest.mark.parametrize(
    ("arguments", "text", "status", "word"),
    [
        (("one", "--file", "x.tsv"), None, 2, "not both"),
        ((), "", 1, "holds no texts"),
        ((), "one\n\ntwo\n", 1, "text 2 is empty"),
        ((), b"good \xff day", 1, "byte 6: not UTF-8"),
    ],
)
def test_what_cannot_be_read_is_refused(
    arguments: tuple[str, ...], text: str | bytes | None, status: int, word: str, plm: Plm, classifier: Path
) -> None:
    result = plm("predict", classifier, *arguments, input=text)
    assert result.exit_code == status
    assert word in result.stderr


def test_a_folder_for_the_answers_that_is_not_there_is_noticed_first(plm: Plm, tmp_path: Path) -> None:
    result = plm("predict", tmp_path / "no-model", "x", "--output", tmp_path / "nowhere" / "answers.jsonl")
    assert result.exit_code == 2
    assert "there is no folder" in result.stderr


def test_one_of_several_tasks_of_a_kind_reads_its_file_as_in_training(plm: Plm, tmp_path: Path) -> None:
    for split in ("mood", "colour"):
        (tmp_path / split).mkdir()
        (tmp_path / split / "seq.in").write_text("good film\nred book\n")
        (tmp_path / split / "label").write_text("a\nb\n")
    start = tiny_folder(tmp_path / "start", "bert")
    tasks = {
        name: TaskData(task=Classification(), train=str(tmp_path / name), dev=str(tmp_path / name), batch_size=2)
        for name in ("mood", "colour")
    }
    out = tmp_path / "out"
    training = TrainingConfig(max_steps=1)
    train(RunConfig(model=str(start), output_dir=str(out), tasks=tasks, log_to=(), training=training))
    result = plm("predict", out, "--task", "colour", "--file", tmp_path / "mood")
    assert result.exit_code == 0, result.stderr
    assert rows(result.stdout) == predict(out, tmp_path / "mood", task="colour").records


def test_gpt1s_own_classifiers_are_asked_about_texts(plm: Plm, tmp_path: Path) -> None:
    file = write_rows(tmp_path / "t.tsv", [("label", "text"), ("a", "good film"), ("b", "bad day")])
    start = tiny_folder(tmp_path / "start", "openai-gpt")
    data = TaskData(task=Gpt1Classification(), train=str(file), dev=str(file))
    out = tmp_path / "out"
    training = TrainingConfig(max_steps=1)
    train(RunConfig(model=str(start), output_dir=str(out), task=data, log_to=(), training=training))
    for arguments in (["good film"], ["--file", file]):
        result = plm("predict", out, *arguments)
        assert result.exit_code == 0, result.stderr
        assert rows(result.stdout)[0]["label"] in ("a", "b")
