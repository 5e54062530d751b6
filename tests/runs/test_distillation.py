"""A distillation goes through its stages once, goes on where it stopped, and leaves a student that can be asked."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

import plm
from plm.config import read_json
from plm.errors import CheckpointError, ConfigError, DataError, TrainingError
from plm.runs.architectures import architecture_file
from plm.runs.distilling import DistillationConfig, DistillationReport, distill
from plm.runs.distilling.ablation import PARTS, ablate, without
from plm.runs.distilling.measuring import text_flops
from plm.training import Callback, Record, Run
from tests.runs import distillations as data
from tests.tiny_folders import tiny_folder, write_rows

STAGES = ("general", "augment", "intermediate", "prediction")


@pytest.fixture(scope="session")
def mood(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a teacher of moods, its files, word vectors and a corpus."""
    folder = tmp_path_factory.mktemp("mood")
    data.trained_teacher(folder, data.classification(folder))
    (folder / "vectors.txt").write_text(data.VECTORS)
    data.corpus(folder)
    return folder


def recipe(tmp_path: Path, mood: Path, **changes: Any) -> dict[str, Any]:
    """Two stages of task distillation."""
    task = {"kind": "classification", **{name: str(mood / f"{name}.tsv") for name in ("train", "dev", "test")}}
    return data.recipe(tmp_path, mood / "teacher", task, **changes)


def everything(tmp_path: Path, mood: Path, **changes: Any) -> dict[str, Any]:
    """All four stages."""
    corpus = str(mood / "corpus")
    general = {"corpus": corpus, "dev": corpus, "max_length": 16, "batch_size": 16, "max_steps": 6}
    augmentation = {"vectors": str(mood / "vectors.txt"), "variants": 2, "candidates": 2}
    return recipe(tmp_path, mood, **{"general": general, "augmentation": augmentation, **changes})


def distilled(values: dict[str, Any], **options: Any) -> DistillationReport:
    return distill(DistillationConfig.from_dict(values), **options)


class Stop(Callback):
    """Sends this process SIGTERM after an update of some stage, as its folder is named."""

    def __init__(self, stage: str, update: int) -> None:
        self.stage, self.update = stage, update

    def on_step(self, run: Run, record: Record) -> None:
        assert run.output_dir is not None
        if (run.output_dir.name, run.update) == (self.stage, self.update):
            os.kill(os.getpid(), signal.SIGTERM)


class Updates(Callback):
    """Counts updates by stage."""

    def __init__(self) -> None:
        self.count: dict[str, int] = {}

    def on_step(self, run: Run, record: Record) -> None:
        assert run.output_dir is not None
        self.count[run.output_dir.name] = self.count.get(run.output_dir.name, 0) + 1


def test_all_stages_run_and_the_student_can_be_asked(tmp_path: Path, mood: Path) -> None:
    report = distilled(everything(tmp_path, mood))
    assert (tuple(report.stages), report.stopped) == (STAGES, "finished")
    for name in ("general", "intermediate"):
        outcome = report.stages[name]
        assert {"attention", "hidden", "embedding"} <= outcome["dev"].keys()
        assert outcome["dev"]["loss"] < outcome["first"]["loss"]
    assert report.stages["augment"]["rows_written"] > 64
    assert report.metrics["accuracy"] >= 0.9
    assert report.student is not None
    assert set(report.student.scores) == {"dev", "test"}
    classify = plm.pipeline("text-classification", tmp_path / "out")
    assert [answer["label"] for answer in classify(["the good day", "the red bad night"])] == ["good", "bad"]
    config = plm.AutoConfig.from_pretrained(tmp_path / "out")
    assert (config.model_type, config.labels) == ("tinybert", ("bad", "good"))
    assert not any("fit" in name for name in _tensors(tmp_path / "out"))
    assert any("fit" in name for name in _tensors(tmp_path / "out" / "intermediate"))


def test_the_report_compares_student_and_teacher(tmp_path: Path, mood: Path) -> None:
    report = distilled(recipe(tmp_path, mood))
    assert report.teacher is not None
    assert report.student is not None
    assert report.teacher.cost.parameters > 2 * report.student.cost.parameters
    assert report.student.cost.inner < report.student.cost.parameters
    assert report.student.cost.seconds > 0
    assert next(iter(report.teacher.scores["dev"])) == next(iter(report.metrics)) == "accuracy"
    assert report.kept["dev accuracy"] == report.metrics["accuracy"] / report.teacher.scores["dev"]["accuracy"]
    assert "dev loss" not in report.kept
    told = (tmp_path / "out" / "report.md").read_text()
    for part in ("| parameters | 5,634 |", "| without embeddings | 4,754 |", "times less |", "% kept |", "16 tokens"):
        assert part in told
    assert read_json(tmp_path / "out" / "metrics.json")["student"]["scores"]["dev"] == report.metrics
    assert "| 14 updates, 2 epochs |" not in told
    assert "| intermediate | 4 updates, 2 epochs |" in told


def test_floating_point_operations_are_those_of_the_paper() -> None:
    published = {"tinybert-4l-312.json": 1.2e9, "tinybert-6l-768.json": 11.3e9, "bert-base.json": 22.5e9}
    for file, expected in published.items():
        config = plm.AutoConfig.from_pretrained(architecture_file(file), vocab_size=8)
        assert text_flops(plm.AutoModel.from_config(config), 128) == pytest.approx(expected, rel=0.04)


def test_what_is_finished_is_not_done_again(tmp_path: Path, mood: Path) -> None:
    values = everything(tmp_path, mood)
    first, again = Updates(), Updates()
    before = distilled(values, callbacks=[first])
    written = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").glob("*/*")}
    after = distilled(values, callbacks=[again])
    assert set(first.count) == {"general", "intermediate", "prediction"}
    assert again.count == {}
    assert after.stages == before.stages
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "out").glob("*/*")} == written


@pytest.mark.parametrize(("stage", "update"), [("general", 3), ("intermediate", 3), ("prediction", 1)])
def test_a_distillation_that_was_stopped_ends_with_the_same_bits(
    stage: str, update: int, tmp_path: Path, mood: Path
) -> None:
    values = everything(tmp_path, mood, training={"log_every": 1})
    distilled({**values, "output_dir": str(tmp_path / "whole")})
    stopped = distilled(values, callbacks=[Stop(stage, update)])
    assert (stopped.stopped, stopped.student) == ("terminated", None)
    assert not (tmp_path / "out" / "config.json").exists()
    rest = Updates()
    assert distilled(values, callbacks=[rest]).stopped == "finished"
    assert next(iter(rest.count)) == stage
    assert rest.count[stage] == read_json(tmp_path / "out" / stage / "stage.json")["outcome"]["updates"] - update
    for name in ("general", "intermediate", "prediction", "."):
        first, second = (tmp_path / folder / name / "model.safetensors" for folder in ("whole", "out"))
        assert first.read_bytes() == second.read_bytes(), name
    assert not list((tmp_path / "out").glob("*/checkpoints"))


def test_a_finished_stage_is_not_asked_for_something_else(tmp_path: Path, mood: Path) -> None:
    values = everything(tmp_path, mood)
    distilled(values)
    changed = {**values, "intermediate": {**values["intermediate"], "learning_rate": 2e-2, "batch_size": 16}}
    with pytest.raises(TrainingError) as refused:
        distilled(changed)
    assert "intermediate: the stage was asked for something else; then -> now:" in str(refused.value)
    assert "stage.learning_rate: 0.01 -> 0.02" in str(refused.value)
    assert "stage.batch_size: 32 -> 16" in str(refused.value)
    done = Updates()
    distilled(changed, overwrite=True, callbacks=[done])
    assert set(done.count) == {"intermediate", "prediction"}
    distilled({**changed, "training": {"log_every": 1, "save_strategy": "no"}})  # changes nothing that was learned


def test_changed_data_and_another_teacher_are_something_else(tmp_path: Path, mood: Path) -> None:
    table = tmp_path / "train.tsv"
    shutil.copy(mood / "train.tsv", table)
    values = recipe(tmp_path, mood)
    values["task"]["train"] = str(table)
    distilled(values)
    write_rows(table, [("label", "text"), *data.moods(64, 9)])
    with pytest.raises(TrainingError, match=r"data\.train: \w{16} -> \w{16}"):
        distilled(values)
    shutil.copy(mood / "train.tsv", table)
    other = shutil.copytree(mood / "teacher", tmp_path / "teacher")
    model = plm.AutoModelForSequenceClassification.from_pretrained(other)
    model.backbone.embeddings.word.weight.data[0, 0] += 1.0
    model.save_pretrained(other)
    with pytest.raises(TrainingError, match=r"teacher: \w{16} -> \w{16}"):
        distilled({**values, "teacher": str(other)})


def test_stages_run_alone_when_those_before_are_finished(tmp_path: Path, mood: Path) -> None:
    values = everything(tmp_path, mood)
    with pytest.raises(TrainingError, match="the stage 'general' is not finished"):
        distilled(values, stages=["intermediate"])
    done = Updates()
    assert set(distilled(values, stages=["general"], callbacks=[done]).stages) == {"general"}
    assert set(distilled(values, stages=["augment"], callbacks=[done]).stages) == {"augment"}
    report = distilled(values, stages=["intermediate"], callbacks=[done])
    assert report.student is None
    assert set(done.count) == {"general", "intermediate"}
    assert distilled(values, stages=["prediction"]).metrics["accuracy"] > 0.8
    with pytest.raises(ConfigError, match="the recipe has no 'augment' "):
        distilled(recipe(tmp_path, mood), stages=["augment"])


def test_general_distillation_needs_no_task(tmp_path: Path, mood: Path) -> None:
    values = everything(tmp_path, mood)
    for name in ("task", "augmentation", "intermediate", "prediction"):
        del values[name]
    report = distilled({**values, "output_dir": str(tmp_path / "general")})
    assert list(report.stages) == ["general"]
    student = plm.AutoModel.from_pretrained(tmp_path / "general")
    assert student.config.num_hidden_layers == 1
    further = recipe(tmp_path, mood, student=str(tmp_path / "general"))
    assert distilled(further).metrics["accuracy"] > 0.8
    record = read_json(tmp_path / "out" / "intermediate" / "stage.json")
    assert "checkpoint" in record["asked"]["student"]


def test_a_bert_student_learns_from_another_family(tmp_path: Path) -> None:
    task = data.classification(tmp_path)
    teacher = data.trained_teacher(tmp_path, task, family="nezha")
    student = str(data.student_file(tmp_path, "bert"))
    report = distilled(data.recipe(tmp_path, teacher, task, student=student))
    assert report.metrics["accuracy"] >= 0.8
    assert plm.AutoConfig.from_pretrained(tmp_path / "out").model_type == "bert"


def test_numbers_are_learned_from_the_teachers_and_the_file_as_it_is(tmp_path: Path, mood: Path) -> None:
    task = data.regression(tmp_path)
    teacher = data.trained_teacher(tmp_path, task)
    augmentation = {"vectors": str(mood / "vectors.txt"), "variants": 2}
    longer = {"num_train_epochs": 12, "learning_rate": 1e-2, "batch_size": 8}
    report = distilled(data.recipe(tmp_path, teacher, task, augmentation=augmentation, prediction=longer))
    assert report.metrics["pearson"] > 0.7
    inner, outer = (report.stages[name] for name in ("intermediate", "prediction"))
    assert outer["updates"] == 12 * 64 // 8
    assert inner["updates"] > 2 * 64 // 32
    assert list(outer["first"])[-1] != "prediction.agreement"


def test_a_tagger_is_distilled(tmp_path: Path) -> None:
    task = data.tagging(tmp_path)
    teacher = data.trained_teacher(tmp_path, task)
    report = distilled(data.recipe(tmp_path, teacher, task))
    assert report.kept["dev entity_f1"] > 0.9
    assert plm.pipeline("token-classification", tmp_path / "out")("the good day")


def test_answers_to_questions_are_distilled(tmp_path: Path) -> None:
    task = {**data.reading(tmp_path), "max_length": 20, "doc_stride": 8}
    teacher = data.trained_teacher(tmp_path, task)
    report = distilled(data.recipe(tmp_path, teacher, task))
    assert report.teacher is not None
    assert set(report.metrics) == set(report.teacher.scores["dev"])
    assert report.stages["prediction"]["last"]["prediction"] < report.stages["prediction"]["first"]["prediction"]
    augmented = data.recipe(tmp_path, teacher, task, augmentation={"vectors": "vectors.txt"})
    with pytest.raises(ConfigError, match="is for tables of texts and labels"):
        distilled(augmented)


def test_labels_of_data_and_teacher_must_agree(tmp_path: Path, mood: Path) -> None:
    values = recipe(tmp_path, mood)
    with pytest.raises(ConfigError, match="labels: the teacher's classes are in another order: the task has good, bad"):
        distilled({**values, "task": {**values["task"], "labels": ["good", "bad"]}})
    strange = write_rows(tmp_path / "strange.tsv", [("label", "text"), ("good", "sun"), ("fine", "day")])
    with pytest.raises(DataError, match=r"strange\.tsv, line 3.*fine"):
        distilled({**values, "task": {**values["task"], "train": str(strange)}})
    assert not (tmp_path / "out").exists()


def test_what_cannot_be_is_said_before_anything_is_written(tmp_path: Path, mood: Path) -> None:
    values = everything(tmp_path, mood)
    backbone = tiny_folder(tmp_path / "backbone", "bert")
    (tmp_path / "small.json").write_text('{"model_type": "bert", "hidden_size": 8, "num_attention_heads": 2, '
                                         '"num_hidden_layers": 4, "intermediate_size": 8}')  # fmt: skip
    for changes, kind, message in (
        ({"teacher": str(backbone)}, CheckpointError, "was not trained for this task"),
        ({"student": "tinybert-4l.json"}, ConfigError, "did you mean 'tinybert-4l-312.json'"),
        ({"student": str(tmp_path / "small.json"), "intermediate": {}}, ConfigError, '"uniform" needs a teacher'),
        ({"general": {**values["general"], "max_length": 99}}, ConfigError, "99 is more than the 24 tokens"),
        ({"general": {"corpus": str(tmp_path)}}, DataError, "is no prepared corpus"),
    ):
        with pytest.raises(kind, match=message):
            distilled({**values, **changes})
    assert not (tmp_path / "out").exists()
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.txt").write_text("years of work")
    with pytest.raises(TrainingError, match="holds files already"):
        distilled(values)


def test_without_a_part_only_what_depends_on_it_is_done_again(tmp_path: Path, mood: Path) -> None:
    config = DistillationConfig.from_dict(everything(tmp_path, mood))
    report = ablate(config, ["prediction", "intermediate", "augmentation"])
    assert list(report.reports) == ["full", "prediction", "intermediate", "augmentation"]
    folder = tmp_path / "out" / "ablation"
    ran = {each.name: {path.parent.name for path in each.glob("*/stage.json")} for each in folder.iterdir()}
    assert ran == {
        "without-prediction": {"prediction"},
        "without-intermediate": {"prediction"},
        "without-augmentation": {"intermediate", "prediction"},
    }
    assert all(plm.AutoConfig.from_pretrained(variant).model_type == "tinybert" for variant in folder.iterdir())
    table = (tmp_path / "out" / "ablation.md").read_text()
    assert "| without augmentation | 0." in table or "| without augmentation | 1." in table
    assert (tmp_path / "out" / "ablation.json").exists()


def test_every_part_can_be_left_out_if_it_is_there(tmp_path: Path, mood: Path) -> None:
    config = DistillationConfig.from_dict(everything(tmp_path, mood))
    assert {without(config, part).output_dir for part in PARTS} == {
        str(tmp_path / "out" / "ablation" / f"without-{part}") for part in PARTS
    }
    with pytest.raises(ConfigError, match="has no general, so nothing can be left out"):
        without(DistillationConfig.from_dict(recipe(tmp_path, mood)), "general")
    with pytest.raises(ConfigError, match="did you mean 'attention'"):
        without(config, "atention")


def test_two_processes_distil_what_one_does(tmp_path: Path, mood: Path) -> None:
    alike = {"training": {"gradient_accumulation_steps": 2, "adam_epsilon": 1e-3}, "device": "cpu"}
    values = everything(tmp_path, mood, **alike, prediction={"num_train_epochs": 1, "learning_rate": 1e-2})
    # Batches that are cut by rows have other dropout.
    data.student_file(tmp_path, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
    (tmp_path / "recipe.json").write_text(json.dumps({**values, "output_dir": str(tmp_path / "together")}))
    script = tmp_path / "script.py"
    script.write_text("from plm.cli.distill import command\ncommand()\n")
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", str(script)]
    done = subprocess.run(
        [*torchrun, str(tmp_path / "recipe.json")], capture_output=True, text=True, timeout=200, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("| parameters |") == 1  # only the first process tells
    distilled(values)
    alone, both = (load_file(tmp_path / name / "model.safetensors") for name in ("out", "together"))
    for name, tensor in alone.items():
        torch.testing.assert_close(both[name], tensor, atol=1e-5, rtol=0)


def test_a_student_can_learn_from_labels_besides(tmp_path: Path, mood: Path) -> None:
    report = distilled(recipe(tmp_path, mood, prediction={"learning_rate": 1e-2, "objective": {"labels": 0.5}}))
    assert {"prediction", "labels"} <= report.stages["prediction"]["last"].keys()


def test_half_precision_distils(tmp_path: Path, mood: Path) -> None:
    report = distilled(recipe(tmp_path, mood, training={"precision": "bf16"}))
    assert report.metrics["accuracy"] > 0.8


def _tensors(folder: Path) -> list[str]:
    with safe_open(folder / "model.safetensors", "pt") as file:
        return list(file.keys())
