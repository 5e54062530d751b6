"""Classification learns its classes, refuses what it cannot learn, and says what the model says."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from plm.config import from_dict
from plm.data import Example
from plm.errors import ConfigError, DataError, UnknownNameError
from plm.tasks import TASKS, Classification
from plm.tasks.glue import glue_task
from tests.tiny_folders import write_rows


def examples(*labels: Any) -> list[Example]:
    return [Example(id=str(line), text="t", pair=None, label=label, line=line) for line, label in enumerate(labels, 1)]


def answers(task: Classification, logits: list[list[float]]) -> list[Any]:
    batch = {"index": torch.arange(len(logits)).flip(0)}
    results = task.results(batch, SimpleNamespace(logits=torch.tensor(logits).flip(0)))
    features = [SimpleNamespace(index=index) for index in range(len(logits))]
    return task.answers([], features, results)  # type: ignore[arg-type]


def test_columns_and_classes_come_from_the_file(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "t.tsv", [("stars", "review"), ("10", "good"), ("2", "bad")])
    task = Classification(text="review", label="stars")
    learned = task.learned(task.read(path))
    assert learned.labels == ("2", "10")
    assert learned.model_options()["id2label"] == {0: "2", 1: "10"}
    assert Classification(labels=("10", "2")).learned(task.read(path)).labels == ("10", "2")


def test_labels_that_no_class_stands_for_count_as_wrong_where_that_is_asked_for() -> None:
    task = Classification(labels=("a", "b"), unknown_labels="miss", metrics=("accuracy", "macro_f1"))
    rows = examples("a", "z", "b", "b")
    task.check(rows)
    assert task.class_counts(rows) == [1, 2]
    said = answers(task, [[2.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
    scores = task.score(rows, said)
    assert scores["accuracy"] == 0.75
    assert scores["macro_f1"] < 0.75
    assert scores["loss"] == pytest.approx(task.score(rows[:1] + rows[2:], said[:1] + said[2:])["loss"])


def test_folders_are_read_as_they_are_laid_out(tmp_path: Path) -> None:
    pairs, texts = tmp_path / "pairs", tmp_path / "texts"
    for folder in (pairs, texts / "pos", texts / "neg"):
        folder.mkdir(parents=True)
    (pairs / "seq.in").write_text("fly home\nwhat fare\n")
    (pairs / "label").write_text("flight\nfare\n")
    (texts / "pos" / "0_9.txt").write_text("fine")
    (texts / "neg" / "0_1.txt").write_text("poor")
    assert [(e.text, e.label) for e in Classification().read(pairs)] == [("fly home", "flight"), ("what fare", "fare")]
    assert [(e.text, e.label) for e in Classification().read(texts)] == [("poor", "neg"), ("fine", "pos")]


def test_classes_must_be_known_before_they_are_used() -> None:
    with pytest.raises(DataError, match="labels="):
        Classification().check(examples("a"))
    with pytest.raises(DataError, match="line 2: unknown label 'c'"):
        Classification(labels=("a", "b")).check(examples("a", "c"))


def test_one_class_is_nothing_to_learn() -> None:
    with pytest.raises(DataError, match="several classes"):
        Classification().learned(examples("a", "a"))


def test_answers_come_in_the_order_of_the_examples_and_are_scored() -> None:
    task = Classification(labels=("a", "b"))
    said = answers(task, [[2.0, 0.0], [1.0, 3.0], [0.0, 1.0]])
    assert [answer.label for answer in said] == ["a", "b", "b"]
    assert said[0].probability == pytest.approx(0.880797)
    scores = task.score(examples("a", "b", "a"), said)
    assert next(iter(scores)) == "accuracy"
    assert scores["accuracy"] == pytest.approx(2 / 3)
    expected = torch.nn.functional.cross_entropy(
        torch.tensor([[2.0, 0.0], [1.0, 3.0], [0.0, 1.0]]), torch.tensor([0, 1, 0])
    )
    assert scores["loss"] == pytest.approx(float(expected))


def test_several_labels_and_numbers() -> None:
    several = Classification(labels=("a", "b", "c"), problem_type="multi_label_classification")
    said = answers(several, [[2.0, -1.0, 0.5], [-1.0, -1.0, -1.0]])
    assert [answer.label for answer in said] == [("a", "c"), ()]
    assert several.score(examples(("a", "c"), ()), said)["micro_f1"] == 1.0
    number = Classification(problem_type="regression", label="score")
    said = answers(number, [[0.5], [2.0]])
    assert [answer.label for answer in said] == [0.5, 2.0]
    assert number.score(examples("0.5", "2"), said)["loss"] == 0.0
    assert number.model_options()["id2label"] == {0: "score"}


def test_it_is_registered_and_built_from_a_table() -> None:
    task = from_dict(TASKS.get("classification"), {"text": 3, "label": 1, "labels": ["0", "1"]})  # type: ignore[type-var]
    assert task == Classification(text=3, label=1, labels=("0", "1"))
    with pytest.raises(UnknownNameError):
        Classification(metrics=("acuracy",))


def test_unknown_glue_tasks_are_named_with_the_nearest() -> None:
    assert glue_task("sts-b").problem_type == "regression"
    with pytest.raises(UnknownNameError, match="did you mean 'mrpc'"):
        glue_task("mrcp")


def test_labels_that_stand_twice_or_occur_nowhere_are_refused() -> None:
    with pytest.raises(ConfigError, match="labels: 'a' stands there twice"):
        Classification(labels=("a", "b", "a"))
    strange = Example(id="1", text="t", pair=None, label="x", line=1)
    with pytest.raises(DataError, match=r"dev.tsv: none of the labels is one of a, b"):
        Classification(labels=("a", "b"), unknown_labels="miss").check([strange], source="dev.tsv")
