"""A run learns what can be learned, checks everything first, and leaves a folder that can be used at once."""

from __future__ import annotations

import json
import os
import random
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import plm
from plm.config import read_json
from plm.data import Example
from plm.errors import ConfigError, DataError, TrainingError
from plm.runs import RunConfig, RunReport, TaskData, preparation, run, train
from plm.runs.report import predictions_table
from plm.tasks import Classification, Decision
from plm.training import Callback, CurvePlot, Record, Run, TrainingConfig
from tests.runs.distillations import moods
from tests.tiny_folders import tiny_folder, write_rows
from tests.tiny_models import FAMILY_NAMES

QUICK = TrainingConfig(learning_rate=1e-2, num_train_epochs=8)
LONG = TrainingConfig(learning_rate=1e-2, num_train_epochs=30, early_stopping_patience=10)
SIZES = {"hidden_size": 16, "num_attention_heads": 2, "intermediate_size": 32, "num_hidden_layers": 1}


@pytest.fixture(autouse=True)
def no_curves(monkeypatch: pytest.MonkeyPatch) -> None:
    """Drawing takes longer than these trainings; one test asks for it."""
    monkeypatch.setattr(run, "CurvePlot", lambda path: Callback())


@pytest.fixture
def files(tmp_path: Path) -> dict[str, str]:
    """Two tsv files with the columns label and text."""
    written = {}
    for name, count, seed in (("train", 96, 1), ("dev", 32, 2)):
        written[name] = str(write_rows(tmp_path / f"{name}.tsv", [("label", "text"), *moods(count, seed)]))
    return written


def split(folder: Path, header: tuple[str, ...], rows: list[tuple[str, ...]]) -> dict[str, str]:
    """Four fifths of the rows to train on, one to evaluate on."""
    parts = {"train": rows[: len(rows) * 4 // 5], "dev": rows[len(rows) * 4 // 5 :]}
    return {name: str(write_rows(folder / f"{name}.tsv", [header, *part])) for name, part in parts.items()}


TASK_FIELDS = {"train", "dev", "test", "max_length", "batch_size", "tokens_per_batch", "bucket_batches"}


def config_for(tmp_path: Path, files: dict[str, str], **changes: Any) -> RunConfig:
    """A run of a small classifier; changes: fields of Classification, TaskData and RunConfig alike."""
    values: dict[str, Any] = {"batch_size": 8, **files, **changes}
    options = {name: value for name, value in values.items() if name in Classification.__dataclass_fields__}
    own = {name: value for name, value in values.items() if name in TASK_FIELDS}
    return RunConfig(
        model=str(tmp_path / "start"),
        output_dir=values.get("output_dir", str(tmp_path / "out")),
        task=TaskData(task=Classification(**options), **own),
        training=values.get("training", QUICK),
    )


def finetune(tmp_path: Path, files: dict[str, str], *, family: str = "bert", **changes: Any) -> RunReport:
    if not (tmp_path / "start").exists():
        tiny_folder(tmp_path / "start", family, **SIZES)
    return train(config_for(tmp_path, files, **changes))


def labels_of(folder: Path) -> tuple[str, ...]:
    return plm.AutoConfig.from_pretrained(folder).labels


@pytest.mark.parametrize("family", FAMILY_NAMES)
def test_every_family_learns_a_separable_task(family: str, files: dict[str, str], tmp_path: Path) -> None:
    report = finetune(tmp_path, files, family=family)
    assert report.metrics["accuracy"] >= 0.95
    assert labels_of(tmp_path / "out") == ("bad", "good")
    classify = plm.pipeline("text-classification", tmp_path / "out")
    assert [answer["label"] for answer in classify(["the good day", "the red bad night"])] == ["good", "bad"]


def test_the_folder_holds_model_tokenizer_and_records(files: dict[str, str], tmp_path: Path) -> None:
    report = finetune(tmp_path, files)
    folder = tmp_path / "out"
    names = {file.name for file in folder.iterdir()}
    assert names >= {
        "config.json",
        "model.safetensors",
        "vocab.txt",
        "metrics.json",
        "train_log.jsonl",
        "dev_predictions.tsv",
        "run.json",
    }
    config = read_json(folder / "config.json")
    assert config["id2label"] == {"0": "bad", "1": "good"}
    assert config["problem_type"] == "single_label_classification"
    assert read_json(folder / "metrics.json")["metrics"] == report.metrics
    assert read_json(folder / "metrics.json")["training"]["tokens_per_second"] > 0
    log = [json.loads(line) for line in (folder / "train_log.jsonl").read_text().splitlines()]
    assert [entry["kind"] for entry in log].count("evaluation") == QUICK.num_train_epochs
    assert RunConfig.from_dict(read_json(folder / "run.json")) == config_for(tmp_path, files)


def test_curves_are_drawn_where_matplotlib_is(
    files: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("matplotlib")
    monkeypatch.setattr(run, "CurvePlot", CurvePlot)
    finetune(tmp_path, files, training=TrainingConfig(max_steps=2))
    assert (tmp_path / "out" / "curve.png").read_bytes().startswith(b"\x89PNG")


def test_the_metrics_are_those_of_the_saved_model_and_of_the_predictions(files: dict[str, str], tmp_path: Path) -> None:
    report = finetune(tmp_path, files, training=TrainingConfig(learning_rate=5e-3, num_train_epochs=1))
    header, *rows = (line.split("\t") for line in (tmp_path / "out" / "dev_predictions.tsv").read_text().splitlines())
    assert header == ["id", "line", "label", "predicted", "probability"]
    assert sum(row[2] == row[3] for row in rows) / len(rows) == pytest.approx(report.metrics["accuracy"])
    classify = plm.pipeline("text-classification", tmp_path / "out")
    dev = [line.split("\t") for line in Path(files["dev"]).read_text().splitlines()[1:]]
    answers = classify([text for _, text in dev])
    assert [answer["label"] for answer in answers] == [row[3] for row in rows]
    assert [answer["score"] for answer in answers] == pytest.approx([float(row[4]) for row in rows], abs=1e-4)


def test_the_best_weights_are_saved_not_the_last(
    files: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Spoil(Callback):
        """Ruins the model once it is good."""

        def on_step(self, run: Run, record: Record) -> None:
            if run.best_metrics.get("accuracy", 0.0) > 0.9:
                with torch.no_grad():
                    _weight(made[0]).zero_()

    tiny_folder(tmp_path / "start", "bert", **SIZES)
    config = config_for(tmp_path, files)
    made = preparation.starting_point(config, {"task": Classification(labels=("bad", "good"))})
    monkeypatch.setattr(run, "starting_point", lambda config, task: made)
    report = train(config, callbacks=[Spoil()])
    history = [record.values["accuracy"] for record in report.training.history if record.kind == "evaluation"]
    assert history[-1] < max(history)
    assert report.metrics["accuracy"] == max(history)
    saved = plm.AutoModelForSequenceClassification.from_pretrained(tmp_path / "out")
    assert _weight(saved).abs().max() > 0


def test_the_best_model_is_on_disk_before_the_training_ends(files: dict[str, str], tmp_path: Path) -> None:
    class Crash(Callback):
        def on_step(self, run: Run, record: Record) -> None:
            if run.evaluated_update:
                raise MemoryError

    tiny_folder(tmp_path / "start", "bert")
    with pytest.raises(MemoryError):
        train(config_for(tmp_path, files), callbacks=[Crash()])
    assert len(plm.pipeline("text-classification", tmp_path / "out" / "best")(["good"])) == 1


def test_the_same_seed_gives_the_same_weights_and_global_randomness_stays(
    files: dict[str, str], tmp_path: Path
) -> None:
    before = torch.get_rng_state()
    for name in ("one", "two"):
        finetune(tmp_path, files, output_dir=str(tmp_path / name), training=TrainingConfig(max_steps=3))
        torch.rand(1)
    assert (tmp_path / "one" / "model.safetensors").read_bytes() == (
        tmp_path / "two" / "model.safetensors"
    ).read_bytes()
    torch.set_rng_state(before)
    finetune(tmp_path, files, output_dir=str(tmp_path / "three"), training=TrainingConfig(max_steps=1))
    assert torch.equal(torch.get_rng_state(), before)


def test_pairs_are_told_apart_as_first_and_second(tmp_path: Path) -> None:
    source = random.Random(0)
    rows = [(label, " ".join(source.choices(["good", "bad", "the"], k=3)), text) for label, text in moods(160, 5)]
    files = split(tmp_path, ("y", "a", "b"), rows)
    report = finetune(tmp_path, files, text="a", pair="b", label="y", training=LONG)
    assert report.metrics["accuracy"] >= 0.9
    answers = plm.pipeline("text-classification", tmp_path / "out")(
        [("the bad bad", "good day"), ("good good", "the bad")]
    )
    assert [answer["label"] for answer in answers] == ["good", "bad"]


def test_regression_gives_numbers(tmp_path: Path) -> None:
    rows = [(str(text.count("good") * 2.0 - 1.0), text) for _, text in moods(128, 3)]
    files = split(tmp_path, ("score", "text"), rows)
    report = finetune(tmp_path, files, label="score", problem_type="regression")
    assert report.metrics["pearson"] > 0.9
    assert labels_of(tmp_path / "out") == ("score",)
    good, bad = plm.pipeline("text-classification", tmp_path / "out")(["the good day", "the bad day"])
    assert good["score"] > 0.5 > bad["score"]
    assert "\t\n" in (tmp_path / "out" / "dev_predictions.tsv").read_text()


def test_several_labels_a_text(tmp_path: Path) -> None:
    rows = [
        ("|".join(word for word in ("good", "old", "red") if word in text.split()), text) for _, text in moods(160, 4)
    ]
    files = split(tmp_path, ("label", "text"), rows)
    options = {"label_separator": "|", "problem_type": "multi_label_classification"}
    report = finetune(tmp_path, files, training=LONG, **options)
    assert labels_of(tmp_path / "out") == ("good", "old", "red")
    assert report.metrics["micro_f1"] > 0.9
    answer = plm.pipeline("text-classification", tmp_path / "out")(["the good red book"])[0]
    assert set(answer["labels"]) == {"good", "red"}


def test_gpt1_gets_a_pad_token_and_a_row_for_it(files: dict[str, str], tmp_path: Path) -> None:
    finetune(tmp_path, files, family="openai-gpt", training=TrainingConfig(max_steps=2))
    tokenizer = plm.AutoTokenizer.from_pretrained(tmp_path / "out")
    config = plm.AutoConfig.from_pretrained(tmp_path / "out")
    assert tokenizer.pad_token == "<pad>"
    assert config.pad_token_id == tokenizer.pad_token_id == config.vocab_size - 1


def test_bf16_computes_in_16_bits_and_saves_32(files: dict[str, str], tmp_path: Path) -> None:
    training = TrainingConfig(learning_rate=1e-2, num_train_epochs=5, precision="bf16")
    report = finetune(tmp_path, files, training=training)
    assert report.metrics["accuracy"] >= 0.95
    assert read_json(tmp_path / "out" / "config.json")["dtype"] == "float32"


@pytest.mark.parametrize("layout", ["google-tf1", "huawei"])
def test_checkpoints_of_other_layouts_are_starting_points_too(
    layout: str, files: dict[str, str], tmp_path: Path
) -> None:
    tiny_folder(tmp_path / "start", "bert", layout=layout, **SIZES)
    assert finetune(tmp_path, files).metrics["accuracy"] >= 0.95


def test_an_unknown_dev_label_is_named_with_file_and_line_before_any_work(
    files: dict[str, str], tmp_path: Path
) -> None:
    dev = write_rows(tmp_path / "dev.tsv", [("label", "text"), ("good", "the film"), ("badd", "the book")])
    with pytest.raises(DataError, match=r"dev.tsv, line 3: unknown label 'badd'; did you mean 'bad'"):
        finetune(tmp_path, {**files, "dev": str(dev)})
    assert not (tmp_path / "out").exists()


def test_one_class_is_nothing_to_learn(files: dict[str, str], tmp_path: Path) -> None:
    path = write_rows(tmp_path / "train.tsv", [("label", "text"), ("good", "the film"), ("good", "the book")])
    with pytest.raises(DataError, match="expected several classes to tell apart, got 'good'"):
        finetune(tmp_path, {**files, "train": str(path)})


def test_results_are_never_overwritten_unasked(files: dict[str, str], tmp_path: Path) -> None:
    quick = TrainingConfig(max_steps=1)
    finetune(tmp_path, files, training=quick)
    with pytest.raises(TrainingError, match="holds files already"):
        finetune(tmp_path, files, training=quick)
    config = config_for(tmp_path, files, training=TrainingConfig(max_steps=2))
    assert train(config, overwrite=True).training.updates == 2


def test_a_length_that_the_model_has_not_is_refused(files: dict[str, str], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="max_length: 99 is more than the 24 tokens"):
        finetune(tmp_path, files, max_length=99)


def test_a_stored_classifier_is_kept_for_the_same_labels_and_dropped_for_others(
    files: dict[str, str], tmp_path: Path
) -> None:
    start = tiny_folder(tmp_path / "start", "bert", "sequence_classification", id2label={0: "bad", 1: "good"})
    stored = plm.AutoModelForSequenceClassification.from_pretrained(start)
    config = config_for(tmp_path, files)
    same, _, notes = preparation.starting_point(config, {"task": Classification(labels=("bad", "good"))})
    assert torch.equal(same.heads["sequence_classification"].classifier.linear.weight, _weight(stored))
    assert notes == []
    other, _, notes = preparation.starting_point(config, {"task": Classification(labels=("good", "worse"))})
    assert not torch.equal(_weight(other), _weight(stored))
    assert "other labels" in notes[0]


def _weight(model: Any) -> torch.Tensor:
    return model.heads["sequence_classification"].classifier.linear.weight  # type: ignore[no-any-return]


def test_predictions_are_one_line_for_each_example() -> None:
    task = Classification(labels=("a", "b"))
    examples = [Example(id=f"x{n}", text="t", pair=None, label=label, line=n) for n, label in ((2, "a"), (3, "b"))]
    table = predictions_table(task, examples, [Decision("b", 0.5, np.zeros(2)), Decision("b", 0.25, np.zeros(2))])
    assert table.splitlines() == ["id\tline\tlabel\tpredicted\tprobability", "x2\t2\ta\tb\t0.5", "x3\t3\tb\tb\t0.25"]


class Told(Callback):
    """Sends this process a signal after its second update."""

    def __init__(self, number: signal.Signals) -> None:
        self.number = number

    def on_step(self, run: Run, record: Record) -> None:
        if run.update == 2:
            os.kill(os.getpid(), self.number)


def test_after_ctrl_c_what_was_learned_is_judged_and_after_sigterm_only_written(
    files: dict[str, str], tmp_path: Path
) -> None:
    config = config_for(tmp_path, files)
    tiny_folder(tmp_path / "start", "bert", **SIZES)
    stopped = train(config, callbacks=[Told(signal.SIGINT)])
    assert (stopped.training.stopped, stopped.training.updates) == ("interrupted", 2)
    assert stopped.metrics
    assert (tmp_path / "out" / "dev_predictions.tsv").exists()
    (tmp_path / "out" / "dev_predictions.tsv").unlink()
    stopped = train(config, overwrite=True, callbacks=[Told(signal.SIGTERM)])
    assert (stopped.training.stopped, stopped.training.updates) == ("terminated", 2)
    assert stopped.metrics == read_json(tmp_path / "out" / "metrics.json")["metrics"] == {}
    assert not (tmp_path / "out" / "dev_predictions.tsv").exists()
    assert plm.AutoModel.from_pretrained(tmp_path / "out") is not None


def test_a_run_is_not_continued_with_another_dev_file(files: dict[str, str], tmp_path: Path) -> None:
    training = TrainingConfig(max_steps=2, save_strategy="steps", save_steps=1, resume="auto")
    finetune(tmp_path, files, training=training)
    dev = Path(files["dev"])
    dev.write_text(dev.read_text().replace("\ngood\t", "\nbad\t", 1))
    with pytest.raises(TrainingError, match=r"another run; then -> now:\n  data: evaluation: features: "):
        finetune(tmp_path, files, training=training)


def test_batches_may_be_of_tokens_or_of_similar_lengths(files: dict[str, str], tmp_path: Path) -> None:
    few = finetune(tmp_path, files, tokens_per_batch=40, training=TrainingConfig(num_train_epochs=1))
    assert few.training.updates > 96 * 4 / 40  # a text has four tokens and more
    bucketed = finetune(
        tmp_path,
        files,
        bucket_batches=4,
        output_dir=str(tmp_path / "other"),
        training=TrainingConfig(num_train_epochs=1),
    )
    assert bucketed.training.updates == 96 / 8
    with pytest.raises(ConfigError, match="bucket_batches: batches by tokens_per_batch are made of similar lengths"):
        TaskData(task=Classification(), train="a", dev="b", tokens_per_batch=40, bucket_batches=4)
