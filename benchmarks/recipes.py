"""What `benchmarks.finetune` trains: real tasks, their files below a folder of data, how long their texts may be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from plm.errors import DataError
from plm.tasks import AnyTask
from plm.tasks.glue import glue_task
from plm.tasks.question_answering import QuestionAnswering
from plm.tasks.tagging import Tagging


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """One task. train, dev: files below the folder of data. max_length: tokens of a feature.

    peer: the class of transformers that learns it.
    """

    task: AnyTask
    train: str
    dev: str
    peer: str
    max_length: int = 128


_CLASSIFIER = "AutoModelForSequenceClassification"

RECIPES: Mapping[str, Recipe] = {
    **{
        name: Recipe(
            task=glue_task(task), train=f"glue/{folder}/train.tsv", dev=f"glue/{folder}/dev.tsv", peer=_CLASSIFIER
        )
        for name, task, folder in (
            ("sst2", "sst-2", "SST-2"),
            ("cola", "cola", "CoLA"),
            ("mrpc", "mrpc", "MRPC"),
            ("rte", "rte", "RTE"),
        )
    },
    "conll2003": Recipe(
        task=Tagging(format="conll", constrained=False),
        train="conll2003/eng.train",
        dev="conll2003/eng.testa",
        peer="AutoModelForTokenClassification",
    ),
    "squad": Recipe(
        task=QuestionAnswering(version_2=False),
        train="squad/train-newwiki-v1.1.json",
        dev="squad/dev-v1.1.part.json",
        peer="AutoModelForQuestionAnswering",
        max_length=256,
    ),
}


@dataclass(frozen=True)
class Material:
    """A recipe with its data, read and cut: the task knows its labels. recipe: where it comes from."""

    recipe: Recipe
    task: AnyTask
    train: Sequence[Any]
    dev: Sequence[Any]

    @classmethod
    def read(cls, recipe: Recipe, data: Path, *, examples: int, dev_examples: int) -> Material:
        """At most so many examples, the first of each file; labels are those of the whole training file."""
        for name in (recipe.train, recipe.dev):
            if not (data / name).exists():
                raise DataError(f"{data / name}: is not there; --data names the folder that has {name}")
        everything = recipe.task.read(data / recipe.train)
        task = recipe.task.learned(everything, source=recipe.train)
        return cls(recipe, task, everything[:examples], recipe.task.read(data / recipe.dev)[:dev_examples])
