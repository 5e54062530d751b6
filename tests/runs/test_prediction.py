"""A trained folder answers the files of its task, with or without the expected answers in them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from plm.backends.exporting import export
from plm.checkpoints.saving import save_model
from plm.data.tsv import tsv_row
from plm.errors import CheckpointError, ConfigError, DataError, UnknownNameError
from plm.heads.model import build_model
from plm.heads.several import HeadPlan
from plm.runs import RunConfig, TaskData, train
from plm.runs.prediction import predict
from plm.tasks import Classification, MultipleChoice, QuestionAnswering, Tagging
from plm.tasks.saving import SavedTask, load_tasks, save_tasks
from plm.training import TrainingConfig
from tests.tiny_folders import VOCABULARY, tiny_folder, write_rows
from tests.tiny_models import randomized, tiny_config

TAGGED = "the O\nold B-X\nbooks I-X\n\nsun B-Y\nwas O\n\nred B-X\nday I-X\n"
LABELS = ("O", "B-X", "I-X", "B-Y")
TAGGING = Tagging(scheme="bio", labels=LABELS, joiner=" ")


@pytest.fixture(scope="module")
def tagger(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("tagger")
    (root / "train.txt").write_text(TAGGED)
    tiny_folder(root / "start", "bert", "masked_lm")
    task = {"kind": "tagging", "train": f"{root}/train.txt", "dev": f"{root}/train.txt", "decoder": "crf"}
    run = {"model": f"{root}/start", "output_dir": f"{root}/run", "task": task, "device": "cpu"}
    train(RunConfig.from_dict(run | {"training": {"num_train_epochs": 2}}))
    return root / "run"


def test_the_answers_are_those_that_training_saw(tagger: Path) -> None:
    found = predict(tagger, tagger.parent / "train.txt", device="cpu", batch_size=2)
    table = (tagger / "dev_predictions.tsv").read_text().splitlines()
    columns = table[0].split("\t")
    place = columns.index("predicted")
    assert [line.split("\t")[place] for line in table[1:]] == [tsv_row([row["predicted"]]) for row in found.records]
    metrics = json.loads((tagger / "metrics.json").read_text())["metrics"]
    assert {name: metrics[name] for name in found.score()} == pytest.approx(found.score())


def test_a_file_may_lack_the_tags(tagger: Path, tmp_path: Path) -> None:
    (tmp_path / "words.txt").write_text("the\nold\nbooks\n\nsun\nwas\n\nred\nday\n")
    bare = predict(tagger, tmp_path / "words.txt", device="cpu")
    tagged = predict(tagger, tagger.parent / "train.txt", device="cpu")
    assert [answer.tags for answer in bare.answers] == [answer.tags for answer in tagged.answers]
    assert [record["tags"] for record in bare.records] == [None] * 3
    with pytest.raises(DataError, match="the sentence has no tags"):
        bare.score()


def test_any_backend_answers_files_as_torch_does(tagger: Path) -> None:
    file = tagger.parent / "train.txt"
    wanted = predict(tagger, file, device="cpu")
    for backend, dtype in (("numpy", "float32"), ("int8", "float32"), ("torch", "int8"), ("torch", "bfloat16")):
        found = predict(tagger, file, batch_size=2, backend=backend, dtype=dtype)
        assert [answer.tags for answer in found.answers] == [answer.tags for answer in wanted.answers]
    with pytest.raises(ConfigError, match='go with backend "torch" in "float32", not with \'numpy\''):
        predict(tagger, file, backend="numpy", device="cpu")


@pytest.fixture
def several(tmp_path: Path) -> Path:
    """A folder with two taggers and a classifier."""
    folder = tiny_folder(tmp_path / "model", "bert")
    plans = {
        "names": HeadPlan("token_classification", {"labels": LABELS}),
        "verbs": HeadPlan("token_classification", {"labels": ("O", "V")}),
        "mood": HeadPlan("sequence_classification", {"labels": ("good", "bad")}),
    }
    save_model(randomized(build_model(tiny_config("bert", vocab_size=len(VOCABULARY)), plans)), folder)
    verbs = Tagging(scheme="none", labels=("O", "V"), joiner=" ")
    mood = Classification(labels=("good", "bad"))
    tasks = {"names": TAGGING, "verbs": verbs, "mood": mood}
    save_tasks(folder, {name: SavedTask(task, 16) for name, task in tasks.items()})
    return folder


@pytest.mark.parametrize("backend", ["torch", "int8", "onnx", "numpy"])
def test_each_of_several_tasks_is_answered_by_its_own_head_in_every_backend(several: Path, backend: str) -> None:
    if backend == "onnx":
        pytest.importorskip("onnxruntime")
        pytest.importorskip("onnx")
    (several / "a.txt").write_text("the\nsun\nwas\nold\n\nred\nbooks\n")
    (several / "a.tsv").write_text("text\tlabel\nthe sun\tgood\n")
    for task, file in (("names", "a.txt"), ("verbs", "a.txt")):
        wanted = predict(several, several / file, task=task, device="cpu").answers
        found = predict(several, several / file, task=task, backend=backend).answers
        assert [answer.tags for answer in found] == [answer.tags for answer in wanted]
    wanted = predict(several, several / "a.tsv", task="mood", device="cpu").answers
    found = predict(several, several / "a.tsv", task="mood", backend=backend).answers
    assert [answer.label for answer in found] == [answer.label for answer in wanted]


def test_an_exported_head_keeps_its_name_and_its_task(several: Path, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("the\nsun\n")
    export(several, tmp_path / "all", to="int8")
    export(several, tmp_path / "verbs", to="int8", head="verbs")
    assert list(load_tasks(tmp_path / "all")) == list(load_tasks(several))
    assert list(load_tasks(tmp_path / "verbs")) == ["verbs"]
    wanted = predict(several, tmp_path / "a.txt", task="verbs", backend="int8").answers
    assert predict(tmp_path / "all", tmp_path / "a.txt", task="verbs", backend="int8").answers == wanted
    assert predict(tmp_path / "verbs", tmp_path / "a.txt", backend="int8").answers == wanted


def test_each_of_several_tasks_has_its_own_head_and_name(several: Path, tmp_path: Path) -> None:
    folder = several
    (tmp_path / "a.txt").write_text("the\nsun\n")
    assert set(predict(folder, tmp_path / "a.txt", task="names").answers[0].tags) <= set(LABELS)
    assert set(predict(folder, tmp_path / "a.txt", task="verbs").answers[0].tags) <= {"O", "V"}
    (tmp_path / "a.tsv").write_text("text\tlabel\nthe sun\tgood\n")
    assert predict(folder, tmp_path / "a.tsv", task="mood").answers[0].label in ("good", "bad")
    with pytest.raises(ConfigError, match=r"several tasks \((names|mood), .*name one"):
        predict(folder, tmp_path / "a.txt")
    with pytest.raises(UnknownNameError, match="has no task 'name'; did you mean 'names'"):
        predict(folder, tmp_path / "a.txt", task="name")


def test_questions_and_choices_are_answered_without_answers(tmp_path: Path) -> None:
    folder = tiny_folder(tmp_path / "qa", "bert", "question_answering")
    save_tasks(folder, {"task": SavedTask(QuestionAnswering(version_2=True), 24)})
    paragraph = {"context": "the old red book", "qas": [{"id": "a", "question": "was"}]}
    (tmp_path / "qa.json").write_text(json.dumps({"data": [{"paragraphs": [paragraph]}]}))
    (row,) = predict(folder, tmp_path / "qa.json").records
    assert row["predicted"] == ("" if row["start"] is None else "the old red book"[row["start"] : row["end"]])
    folder = tiny_folder(tmp_path / "choices", "bert", "multiple_choice")
    save_tasks(folder, {"task": SavedTask(MultipleChoice(question=()), 24)})
    (tmp_path / "c.jsonl").write_text(json.dumps({"context": "the", "options": ["sun", "day"], "answer": 0}) + "\n")
    assert len(predict(folder, tmp_path / "c.jsonl").records) == 1


def test_a_folder_that_cannot_answer_is_refused(tmp_path: Path) -> None:
    folder = tiny_folder(tmp_path / "model", "bert", "masked_lm")
    (tmp_path / "a.txt").write_text("the\n")
    with pytest.raises(ConfigError, match=r"model: has no tasks.json, which says what the model was trained for"):
        predict(folder, tmp_path / "a.txt")
    save_tasks(folder, {"task": SavedTask(TAGGING, 16)})
    with pytest.raises(CheckpointError, match=r"its head is not stored: heads\.task.classifier"):
        predict(folder, tmp_path / "a.txt")


def test_a_file_may_lack_the_column_of_labels(tmp_path: Path) -> None:
    rows = [("label", "text"), *[("good", "the good film"), ("bad", "the bad film")] * 4]
    start = tiny_folder(tmp_path / "start", "bert")
    train_file = str(write_rows(tmp_path / "train.tsv", rows))
    data = TaskData(task=Classification(), train=train_file, dev=train_file, batch_size=4)
    out = str(tmp_path / "classifier")
    train(RunConfig(model=str(start), output_dir=out, task=data, training=TrainingConfig(max_steps=1)))
    plain = write_rows(tmp_path / "plain.tsv", [("text",), ("the good film",)])
    found = predict(out, plain)
    assert found.records[0]["label"] is None
    assert found.records[0]["predicted"] in ("good", "bad")
    assert predict(out, train_file).score()["accuracy"] >= 0.0
    (tmp_path / "other.tsv").write_text("title\nx\n")
    with pytest.raises(DataError, match="column"):
        predict(out, tmp_path / "other.tsv")


def test_labels_that_are_not_those_of_the_model_are_refused(tagger: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(tagger, tmp_path / "changed")
    tables = json.loads((folder / "tasks.json").read_text())
    tables["task"]["labels"].append("B-Z")
    (folder / "tasks.json").write_text(json.dumps(tables))
    with pytest.raises(CheckpointError, match=r"gives the task 'task' the labels O, .*config.json .*put it back"):
        predict(folder, tagger.parent / "train.txt", device="cpu")
