"""Augmentation as a stage: a training file with variants of its texts."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from plm.auto.tokenizer import AutoTokenizer
from plm.distillation.augment_files import augment_file
from plm.distillation.augmentation import Augmenter
from plm.distillation.word_vectors import WordVectors
from plm.errors import ConfigError
from plm.runs.config import TaskData
from plm.runs.distilling.identity import content_digest, told_apart
from plm.runs.distilling.options import Variation
from plm.runs.preparation import auto_with
from plm.tasks import Classification


def require_augmentable(data: TaskData) -> Classification:
    """The task, if there is a table whose texts can be varied. Raises ConfigError for any other."""
    if not isinstance(data.task, Classification) or Path(data.train).is_dir():
        raise ConfigError(
            'augmentation: is for tables of texts and labels (kind = "classification", a tsv, csv or jsonl file); '
            "answers and tags have their places in a text, which it would move: leave [augmentation] out"
        )
    return data.task


def augment(data: TaskData, variation: Variation, folder: Path, *, seed: int, device: str) -> dict[str, Any]:
    """Write the augmented training file into a folder, and tell what it is: an outcome of a stage."""
    task, source = require_augmentable(data), Path(data.train)
    target = folder / source.name
    report = augment_file(
        source,
        target,
        task.columns,
        make_augmenter(variation, seed=seed, device=device),
        format=task.format,
        header=task.header,
    )
    added = {str(column): count for column, count in report.added.items()}
    facts = {"rows_read": report.rows_read, "rows_written": report.rows_written, "added": added}
    return {"digest": content_digest(target), "file": target.name, **facts}


def make_augmenter(variation: Variation, *, seed: int, device: str) -> Augmenter:
    """What varies texts, with its word vectors and its model."""
    settings = dataclasses.replace(variation.settings, seed=seed)
    vectors = None if variation.vectors is None else WordVectors.read(variation.vectors, limit=variation.words)
    if variation.model is None:
        return Augmenter(settings, vectors=vectors)
    model = auto_with("masked_lm").from_pretrained(variation.model, device=device)
    return Augmenter(settings, model=model, tokenizer=AutoTokenizer.from_pretrained(variation.model), vectors=vectors)


def variation_identity(variation: Variation) -> dict[str, Any]:
    """What tells one way of augmenting from another."""
    told = variation.to_dict()
    for name in ("vectors", "model"):
        if told.get(name) is not None:
            told[name] = told_apart(told[name])
    return told
