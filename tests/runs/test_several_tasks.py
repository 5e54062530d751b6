"""Several tasks at once: one encoder, a head for each, learned, judged, saved and asked together."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
import torch

import plm
from plm.config import read_json, write_text
from plm.errors import ConfigError
from plm.runs import RunConfig, RunReport, TaskData, run, train
from plm.tasks import Classification, MaskedLm, Tagging
from plm.training import Callback, TrainingConfig
from tests.tiny_folders import tiny_folder, write_rows

FILLERS = ("film", "book", "the", "was", "day", "night", "old", "red")
SIZES = {"hidden_size": 16, "num_attention_heads": 2, "intermediate_size": 32, "num_hidden_layers": 1}
TRAINING = TrainingConfig(learning_rate=1e-2, num_train_epochs=8)


@pytest.fixture(autouse=True)
def no_curves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "CurvePlot", lambda path: Callback())


def sentences(count: int, seed: int) -> list[tuple[str, list[str], list[str]]]:
    """(class, words, tags): the class is whether "good" or "bad" stands there; "sun" and "rain" are entities."""
    source = random.Random(seed)
    found = []
    for _ in range(count):
        words = source.choices(FILLERS, k=source.randint(2, 5))
        label = source.choice(["good", "bad"])
        words.insert(source.randrange(len(words)), label)
        words.insert(source.randrange(len(words)), source.choice(["sun", "rain"]))
        found.append((label, words, ["B-sky" if word in ("sun", "rain") else "O" for word in words]))
    return found


@pytest.fixture
def tables(tmp_path: Path) -> dict[str, dict[str, str]]:
    """The files of three tasks on the same sentences: classes, tags, plain text."""
    files: dict[str, dict[str, str]] = {"mood": {}, "sky": {}, "words": {}}
    for split, count, seed in (("train", 96, 1), ("dev", 32, 2)):
        rows = sentences(count, seed)
        files["mood"][split] = str(
            write_rows(tmp_path / f"{split}.tsv", [("label", "text"), *((c, " ".join(w)) for c, w, _ in rows)])
        )
        tagged = "\n\n".join("\n".join(map(" ".join, zip(words, tags, strict=True))) for _, words, tags in rows)
        files["sky"][split] = str(tmp_path / f"{split}.conll")
        write_text(Path(files["sky"][split]), tagged + "\n")
    files["words"]["train"] = str(tmp_path / "plain.txt")
    write_text(Path(files["words"]["train"]), "".join(f"{' '.join(words)}\n" for _, words, _ in sentences(64, 3)))
    return files


def together(tmp_path: Path, tables: dict[str, dict[str, str]], **changes: Any) -> RunConfig:
    if not (tmp_path / "start").exists():
        tiny_folder(tmp_path / "start", "bert", **SIZES)
    values: dict[str, Any] = {
        "model": str(tmp_path / "start"),
        "output_dir": str(tmp_path / "out"),
        "tasks": {
            "mood": TaskData(task=Classification(), batch_size=8, **tables["mood"]),
            "sky": TaskData(task=Tagging(), batch_size=16, learning_rate=5e-3, **tables["sky"]),
            "words": TaskData(task=MaskedLm(), auxiliary=True, loss_weight=0.1, **tables["words"]),
        },
        "training": TRAINING,
    }
    return RunConfig(**values | changes)


@pytest.fixture
def report(tmp_path: Path, tables: dict[str, dict[str, str]]) -> RunReport:
    return train(together(tmp_path, tables))


def test_every_task_is_learned_judged_and_saved(report: RunReport, tmp_path: Path) -> None:
    assert report.metrics["mood/accuracy"] >= 0.95
    assert report.metrics["sky/entity_f1"] >= 0.95
    assert not any(name.startswith("words/") for name in report.metrics)
    evaluations = [record.values for record in report.training.history if record.kind == "evaluation"]
    assert next(iter(evaluations[0])) == next(iter(report.metrics)) == "macro"
    assert report.metrics["macro"] == (report.metrics["mood/accuracy"] + report.metrics["sky/entity_f1"]) / 2
    folder = tmp_path / "out"
    assert {"mood_dev_predictions.tsv", "sky_dev_predictions.tsv", "tasks.json"} <= {p.name for p in folder.iterdir()}
    assert read_json(folder / "tasks.json")["sky"]["labels"] == ["O", "B-sky"]


def test_one_encoding_answers_all_heads_of_the_saved_folder(report: RunReport, tmp_path: Path) -> None:
    model = plm.AutoModelForTasks.from_pretrained(tmp_path / "out")
    tokenizer = plm.AutoTokenizer.from_pretrained(tmp_path / "out")
    batch = {name: torch.tensor([ids]) for name, ids in tokenizer("the good sun").items()}
    with torch.no_grad():
        said = model.predict_heads(**batch)
    assert model.head_config("mood").labels[int(said["mood"].logits.argmax())] == "good"
    tags = [model.head_config("sky").labels[number] for number in said["sky"].logits[0].argmax(-1).tolist()]
    assert tags[1:-1] == ["O", "O", "B-sky"]


def test_a_recipe_says_the_same(tmp_path: Path, tables: dict[str, dict[str, str]]) -> None:
    config = together(tmp_path, tables)
    assert RunConfig.from_dict(config.to_dict()) == config
    table = config.to_dict() | {"mixture": {"size_exponent": 0.5}}
    assert RunConfig.from_dict(table).mixture.size_exponent == 0.5
    with pytest.raises(ConfigError, match="mixture: unknown field 'size_exponnt'; did you mean 'size_exponent'"):
        RunConfig.from_dict(table | {"mixture": {"size_exponnt": 0.5}})


def test_tasks_with_the_same_labels_can_share_a_head(tmp_path: Path, tables: dict[str, dict[str, str]]) -> None:
    first = TaskData(task=Classification(), **tables["mood"])
    second = TaskData(task=Classification(), shared_head="mood", **tables["mood"])
    training = TrainingConfig(max_steps=2)
    train(together(tmp_path, tables, tasks={"mood": first, "again": second}, training=training))
    model = plm.AutoModelForTasks.from_pretrained(tmp_path / "out")
    assert model.heads["mood"] is model.heads["again"]
    other = TaskData(task=Tagging(), shared_head="mood", **tables["sky"])
    with pytest.raises(ConfigError, match=r"tasks\.sky: shared_head: 'mood' has a head of another kind"):
        train(together(tmp_path, tables, tasks={"mood": first, "sky": other}), overwrite=True)
    lost = TaskData(task=Classification(), shared_head="moods", **tables["mood"])
    with pytest.raises(ConfigError, match="no task 'moods'; did you mean 'mood'"):
        train(together(tmp_path, tables, tasks={"mood": first, "again": lost}), overwrite=True)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"task": {}}, "a task, or several tasks by name, and not both"),
        ({"tasks": {"words": {"auxiliary": True}}}, "all are auxiliary"),
        ({"tasks": {"words": {}}}, "missing field 'dev'"),
    ],
)
def test_what_cannot_be_mixed_is_refused(
    changes: dict[str, Any], message: str, tmp_path: Path, tables: dict[str, dict[str, str]]
) -> None:
    def table(options: dict[str, Any]) -> dict[str, Any]:
        return {"kind": "masked_lm", "train": tables["words"]["train"], **options}

    values = together(tmp_path, tables).to_dict()
    if "task" in changes:
        values["task"] = table({"dev": "dev.txt"})
    else:
        values["tasks"] = {name: table(options) for name, options in changes["tasks"].items()}
    with pytest.raises(ConfigError, match=message):
        RunConfig.from_dict(values)


def test_the_sole_task_of_a_run_has_no_options_of_mixtures(tmp_path: Path, tables: dict[str, dict[str, str]]) -> None:
    data = TaskData(task=Classification(), learning_rate=1e-3, **tables["mood"])
    with pytest.raises(ConfigError, match="for runs of several tasks"):
        RunConfig(model="m", output_dir="o", task=data)


def test_a_mixture_goes_on_where_it_stopped(tmp_path: Path, tables: dict[str, dict[str, str]]) -> None:
    """The same bits as without the stop."""

    class Stop(Callback):
        def on_step(self, run: Any, record: Any) -> None:
            if run.update == 5:
                run.request_stop("enough")

    options: dict[str, Any] = {"max_steps": 9, "save_strategy": "steps", "save_steps": 2, "learning_rate": 1e-3}
    whole = together(tmp_path, tables, output_dir=str(tmp_path / "whole"), training=TrainingConfig(**options))
    train(whole)
    train(together(tmp_path, tables, training=TrainingConfig(**options)), callbacks=[Stop()])
    report = train(together(tmp_path, tables, training=TrainingConfig(**options, resume="auto")))
    assert report.training.updates == 9
    files = [tmp_path / name / "model.safetensors" for name in ("whole", "out")]
    assert files[0].read_bytes() == files[1].read_bytes()
