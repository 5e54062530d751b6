"""Several tasks learned together from files to answers: those of plm, and those that users write."""

from __future__ import annotations

import dataclasses
import logging
import random
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from plm.auto.model import PretrainedModel
from plm.auto.models import AutoModelForTasks
from plm.data import Batches, batches_by_count, pad_batch
from plm.data.features.classification import Feature
from plm.data.mixture import Mixing, Mixture
from plm.heads.several import HeadPlan
from plm.tasks import AnyTask, Classification, MaskedLm, Task
from plm.tokenizers import Tokenizer, load_tokenizer
from plm.training import Callback, Record, Run, SupervisedStep, Trainer, TrainingConfig, TrainingReport, outputs
from plm.training.mixture_counts import MixtureCounts
from plm.training.mixture_evaluation import MixtureEvaluation
from plm.training.mixture_step import MixtureStep, OneHead
from tests import own_head
from tests.tiny_folders import tiny_folder, write_rows
from tests.training.tiny import weights

FILLERS = ("film", "book", "the", "was", "day", "old", "red")
SIZES = {"hidden_size": 16, "num_attention_heads": 2, "intermediate_size": 32, "num_hidden_layers": 1}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Ends(Task[str, Feature, int, str]):
    """A task as users write one: does a text begin with the word that it ends with? One text a line, "same: a b a"."""

    @property
    def head(self) -> str:
        return own_head.NAME

    def read(self, path: Path | str) -> list[str]:
        return Path(path).read_text().splitlines()

    def model_options(self) -> dict[str, Any]:
        return {"num_labels": 2}

    def encode(
        self,
        examples: Sequence[str],
        tokenizer: Tokenizer,
        *,
        max_length: int,
        source: str = "examples",
        has_labels: bool = True,
    ) -> list[Feature]:
        ids = tokenizer.encode_batch_ids([line.split(": ")[1] for line in examples], max_length=max_length)[0]
        return [Feature(row, None, int(examples[n].startswith("same")), n) for n, row in enumerate(ids)]

    def collate(self, features: Sequence[Feature], *, pad_token_id: int) -> dict[str, Tensor]:
        return pad_batch(features, pad_token_id=pad_token_id)

    def results(self, batch: Mapping[str, Tensor], output: Any) -> dict[int, int]:
        return dict(zip(batch["index"].tolist(), output.logits.argmax(-1).tolist(), strict=True))

    def answers(self, examples: Sequence[str], features: Sequence[Feature], results: Mapping[int, int]) -> list[str]:
        return [("other", "same")[results[feature.index]] for feature in features]

    def score(self, examples: Sequence[str], answers: Sequence[str]) -> dict[str, float]:
        right = [line.split(":")[0] == answer for line, answer in zip(examples, answers, strict=True)]
        return {"share": sum(right) / len(right)}

    def record(self, example: str, answer: str) -> dict[str, Any]:
        return {"line": example, "answer": answer}


def write_files(folder: Path) -> dict[str, Path]:
    """A file for each task."""
    source = random.Random(3)
    rows, lines, texts = [("label", "text")], [], []
    for _ in range(48):
        words = source.choices(FILLERS, k=source.randint(2, 5))
        label = source.choice(("good", "bad"))
        rows.append((label, " ".join([*words, label])))
        ends = source.sample(FILLERS, k=2)
        kind = source.choice(("same", "other"))
        lines.append(f"{kind}: {ends[0]} {' '.join(words)} {ends[0 if kind == 'same' else 1]}")
        texts.append(" ".join(source.choices(FILLERS, k=9)))
    (folder / "ends.txt").write_text("\n".join(lines[:24]))
    (folder / "words.txt").write_text("\n".join(texts[:32]))
    return {
        "mood": write_rows(folder / "mood.tsv", rows),
        "ends": folder / "ends.txt",
        "words": folder / "words.txt",
    }


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tasks")
    write_files(path)
    return tiny_folder(path / "model", "bert", "masked_lm", **SIZES).parent


@pytest.fixture(autouse=True)
def head_of_a_user() -> Iterator[None]:
    with own_head.registered():
        yield


class Together:
    """Three tasks on one backbone, put together as a user would do it."""

    def __init__(self, folder: Path, *, mixing: Mixing | None = None, **training: Any) -> None:
        tokenizer = load_tokenizer(folder / "model")
        self.config = TrainingConfig(**{"learning_rate": 5e-3, "num_train_epochs": 3, "log_every": 1} | training)
        self.tasks: dict[str, AnyTask] = {"mood": Classification(), "ends": Ends(), "words": MaskedLm(seed=5)}
        self.examples: dict[str, Any] = {}
        for name, file in write_files(folder).items():
            self.examples[name] = self.tasks[name].read(file)
            self.tasks[name] = self.tasks[name].learned(self.examples[name])
        self.features = {name: task.encode(self.examples[name], tokenizer, max_length=12)
                         for name, task in self.tasks.items()}  # fmt: skip
        self.sizes = {"mood": 8, "ends": 4, "words": 16}
        batches = {name: self.batches(name, seed=1) for name in self.tasks}
        accumulation, epochs = self.config.gradient_accumulation_steps, self.config.num_train_epochs
        self.mixture = Mixture(batches, mixing, seed=2, accumulation=accumulation, epochs=epochs)
        with torch.random.fork_rng():
            torch.manual_seed(4)
            plans = {name: HeadPlan(task.head, task.model_options()) for name, task in self.tasks.items()}
            self.model: PretrainedModel = AutoModelForTasks.from_pretrained(folder / "model", heads=plans)

    def batches(self, name: str, *, seed: int | None) -> Batches[Any]:
        task, features, size = self.tasks[name], self.features[name], self.sizes[name]
        lengths = [task.length(feature) for feature in features]
        return Batches(
            features,
            plan=lambda epoch: batches_by_count(lengths, batch_size=size, seed=seed, epoch=epoch),
            collate=partial(task.collate, pad_token_id=0),
            vary=task.vary,
        )

    def evaluate(self, name: str, model: Any) -> dict[str, float]:
        task, results = self.tasks[name], {}
        for batch, output in outputs(model, self.batches(name, seed=None).epoch(0)):
            results |= task.results(batch, output)
        return task.score(self.examples[name], task.answers(self.examples[name], self.features[name], results))

    def train(self, *callbacks: Callback, output_dir: Path | None = None) -> TrainingReport:
        steps = {name: SupervisedStep(weigh=task.weigh, factors=task.loss_factors) for name, task in self.tasks.items()}
        return Trainer(
            self.model,
            self.config,
            batches=self.mixture,
            step=MixtureStep(steps, {"words": 0.5}),
            evaluate=MixtureEvaluation(
                {name: partial(self.evaluate, name) for name in self.tasks}, judged=("mood", "ends")
            ),
            output_dir=output_dir,
            callbacks=callbacks,
        ).train()


AUXILIARY = Mixing(ratios={"words": 0.5}, epoch_of=("mood", "ends"))


def test_tasks_of_plm_and_of_users_are_learned_together_and_come_back_from_a_folder(
    folder: Path, tmp_path: Path
) -> None:
    run = Together(folder, mixing=AUXILIARY, num_train_epochs=30, learning_rates={"heads.ends.*": 1.5e-2})
    report = run.train()
    assert report.updates == 30 * (6 + 6 + 3)
    assert report.best_metrics["mood/accuracy"] == 1.0
    assert report.best_metrics["ends/share"] >= 0.75
    assert report.best_metrics["macro"] == pytest.approx(
        (report.best_metrics["mood/accuracy"] + report.best_metrics["ends/share"]) / 2
    )
    words = [record.values["words/loss"] for record in report.history if record.kind == "evaluation"]
    assert words[-1] < 0.9 * words[0]
    run.model.save_pretrained(tmp_path)
    again = AutoModelForTasks.from_pretrained(tmp_path)
    for name in run.tasks:
        assert run.evaluate(name, OneHead(again, name)) == run.evaluate(name, OneHead(run.model, name))
    batch = run.batches("mood", seed=None).epoch(0)[0]
    inputs = {name: batch[name] for name in ("input_ids", "attention_mask")}
    for name, output in again.predict_heads(**inputs).items():
        assert torch.equal(output.logits, again(**inputs, head=name).logits)


def test_the_schedule_ends_at_zero_when_the_last_batch_is_seen(folder: Path) -> None:
    counts = MixtureCounts((run := Together(folder, mixing=AUXILIARY, eval_strategy="no")).mixture)
    assert counts.counts == {"mood": 0, "ends": 0, "words": 0}
    report = run.train(counts)
    rates = [record.values["learning_rate"] for record in report.history]
    assert rates[-1] == pytest.approx(5e-3 / 40, rel=1e-6)  # 45 updates, 5 of them warmup: one step before zero
    assert counts.counts == run.mixture.counts(3) == {"mood": 18, "ends": 18, "words": 9}


def test_counts_are_those_of_the_batches_that_were_really_seen(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    class Stop(Callback):
        def on_step(self, run: Run, record: Record) -> None:
            seen.update(name for name in ("mood", "ends", "words") if name in record.values)
            if run.update == 20:
                run.request_stop("enough")

    seen: Counter[str] = Counter()
    run = Together(folder, mixing=AUXILIARY)
    counts = MixtureCounts(run.mixture)
    with caplog.at_level(logging.INFO, logger="plm.training.mixture_counts"):
        report = run.train(Stop(), counts)
    assert report.stopped == "enough"
    assert counts.counts == seen
    assert sum(seen.values()) == 20
    assert caplog.messages[0] == "planned: mood: 18 of 45 batches (40.0%), 3.00 passes"
    assert caplog.messages[-3:] == [f"seen: {line}" for line in counts.lines()]


def test_one_update_can_mix_tasks(folder: Path) -> None:
    run = Together(folder, mixing=Mixing(), gradient_accumulation_steps=3, eval_strategy="no")
    report = run.train()
    assert all({"mood", "ends", "words"} <= record.values.keys() for record in report.history)
    assert report.updates == 3 * 6
    apart = Together(folder, mixing=Mixing(one_task_per_update=True), gradient_accumulation_steps=3, eval_strategy="no")
    for record in apart.train().history:
        assert len({"mood", "ends", "words"} & record.values.keys()) == 1


@pytest.mark.parametrize("stop", [4, 15, 23])
def test_a_run_that_is_continued_ends_with_the_same_bits(stop: int, folder: Path, tmp_path: Path) -> None:
    class Stop(Callback):
        def on_step(self, run: Run, record: Record) -> None:
            if run.update == stop:
                run.request_stop("enough")

    options: dict[str, Any] = {"save_strategy": "epoch", "eval_strategy": "no", "resume": "auto", "num_train_epochs": 2}
    mixing = dataclasses.replace(AUXILIARY, order="shuffled", size_exponent=1.0, last_size_exponent=0.0)
    whole = Together(folder, mixing=mixing, **options)
    expected = whole.train(output_dir=tmp_path / "whole")
    Together(folder, mixing=mixing, **options).train(Stop(), output_dir=tmp_path / "cut")
    again = Together(folder, mixing=mixing, **options)
    counts = MixtureCounts(again.mixture)
    report = again.train(counts, output_dir=tmp_path / "cut")
    assert [r.values["loss"] for r in report.history] == [r.values["loss"] for r in expected.history]
    for name, weight in weights(whole.model).items():
        assert torch.equal(weight, again.model.state_dict()[name]), name
    assert counts.counts == whole.mixture.counts(2)


def test_texts_are_masked_anew_in_every_pass_and_alike_in_every_run(folder: Path) -> None:
    first, second = (Together(folder).batches("words", seed=1) for _ in range(2))
    labels = [[batch["labels"] for batch in first.epoch(epoch)] for epoch in (0, 0, 1)]
    assert all(torch.equal(one, other) for one, other in zip(labels[0], labels[1], strict=True))
    assert all(torch.equal(one, b["labels"]) for one, b in zip(labels[2], second.epoch(1), strict=True))
    by_text = [
        {int(index): row[row != -100].tolist()
         for batch in first.epoch(epoch) for index, row in zip(batch["index"], batch["labels"], strict=True)}
        for epoch in (0, 1)
    ]  # fmt: skip
    assert np.mean([by_text[0][index] != by_text[1][index] for index in by_text[0]]) > 0.5
