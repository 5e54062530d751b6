"""A small teacher, its files and recipes, for the tests of distillation. The sentences were made up for these tests."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from plm.runs import RunConfig, train
from plm.runs.distilling import DistillationConfig
from tests.runs.tiny_corpora import tiny_corpus, tiny_tokenizer
from tests.tiny_folders import tiny_folder, write_rows

FILLERS = ("film", "book", "the", "was", "day", "night", "old", "red")
TEACHER = {"hidden_size": 16, "num_attention_heads": 2, "intermediate_size": 32, "num_hidden_layers": 2}
STUDENT = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
VECTORS = "8 2\nfilm 1 0\nbook 0.9 0.1\nday 0 1\nnight 0.1 0.9\nold 1 1\nred 0.9 1\nslow 1 0.9\nsun 0 0.9\n"


def moods(count: int, seed: int) -> list[tuple[str, str]]:
    """(label, text): the label is whether "good" or "bad" stands among random words."""
    source = random.Random(seed)
    rows = []
    for _ in range(count):
        words = source.choices(FILLERS, k=source.randint(2, 6))
        label = source.choice(["good", "bad"])
        words.insert(source.randrange(len(words)), label)
        rows.append((label, " ".join(words)))
    return rows


def classification(folder: Path) -> dict[str, Any]:
    """[task] for moods, its files written into the folder."""
    parts = {"train": moods(64, 1), "dev": moods(32, 2), "test": moods(16, 3)}
    return {"kind": "classification", **_tables(folder, parts, ("label", "text"))}


def regression(folder: Path) -> dict[str, Any]:
    """[task] for numbers: 1 for good, 0 for bad."""
    rows = {name: moods(count, seed) for name, count, seed in (("train", 64, 1), ("dev", 32, 2))}
    parts = {name: [(str(float(label == "good")), text) for label, text in own] for name, own in rows.items()}
    table = _tables(folder, parts, ("score", "text"))
    return {"kind": "classification", "problem_type": "regression", "label": "score", **table}


def tagging(folder: Path) -> dict[str, Any]:
    """[task] for tags: B-M on good and bad."""
    files = {}
    for name, seed in (("train", 1), ("dev", 2)):
        lines = [
            "".join(f"{word} {'B-M' if word in ('good', 'bad') else 'O'}\n" for word in text.split())
            for _, text in moods(48, seed)
        ]
        files[name] = str(folder / f"{name}.conll")
        Path(files[name]).write_text("\n".join(lines) + "\n", encoding="utf-8")
    return {"kind": "tagging", **files}


def reading(folder: Path) -> dict[str, Any]:
    """[task] for questions: what is good or bad?"""
    files = {}
    for name, seed in (("train", 1), ("dev", 2)):
        paragraphs = [
            {
                "context": text,
                "qas": [
                    {
                        "id": f"{name}-{number}",
                        "question": "the mood",
                        "answers": [{"text": label, "answer_start": text.index(label)}],
                    }
                ],
            }
            for number, (label, text) in enumerate(moods(40, seed))
        ]
        files[name] = str(folder / f"{name}.json")
        Path(files[name]).write_text(json.dumps({"data": [{"title": "moods", "paragraphs": paragraphs}]}))
    return {"kind": "question_answering", "version_2": False, **files}


def trained_teacher(folder: Path, task: Mapping[str, Any], *, family: str = "bert", epochs: int = 8) -> Path:
    """A model that has learned a task; its folder."""
    start = tiny_folder(folder / "start", family, **TEACHER)
    values = {
        "model": str(start),
        "output_dir": str(folder / "teacher"),
        "task": {"batch_size": 8, "max_length": 16, **task},
        "training": {"learning_rate": 1e-2, "num_train_epochs": epochs},
        "log_to": [],
    }
    train(RunConfig.from_dict(values))
    return folder / "teacher"


def student_file(folder: Path, family: str = "tinybert", **changes: Any) -> Path:
    """The config file of a small architecture. changes: further fields."""
    path = folder / f"{family}.json"
    path.write_text(json.dumps({"model_type": family, **STUDENT, "max_position_embeddings": 24, **changes}))
    return path


def corpus(folder: Path) -> Path:
    """A prepared corpus with the vocabulary of all these models."""
    return tiny_corpus(folder / "corpus", tiny_tokenizer(folder / "tokenizer"), documents=12)


def recipe(folder: Path, teacher: Path, task: Mapping[str, Any], **changes: Any) -> dict[str, Any]:
    """A short distillation without general distillation and augmentation, as nested tables."""
    values: dict[str, Any] = {
        "teacher": str(teacher),
        "student": str(student_file(folder)),
        "output_dir": str(folder / "out"),
        "log_to": ["jsonl"],
        "task": {"max_length": 16, **task},
        "intermediate": {"num_train_epochs": 2, "learning_rate": 1e-2, "objective": {"layers": "nearest"}},
        "prediction": {"num_train_epochs": 10, "learning_rate": 1e-2, "batch_size": 8},
        "latency": {"length": 16, "repetitions": 2, "warmup": 1},
    }
    return values | changes


def config_of(values: Mapping[str, Any]) -> DistillationConfig:
    return DistillationConfig.from_dict(values)


def _tables(folder: Path, parts: Mapping[str, list[tuple[str, str]]], header: tuple[str, str]) -> dict[str, str]:
    return {name: str(write_rows(folder / f"{name}.tsv", [header, *rows])) for name, rows in parts.items()}
