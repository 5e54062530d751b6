"""The same training on both sides of a comparison: with plm's Trainer and with that of transformers.

Both start from the same weights, head included, and read the same token ids in the same batches, drawn at random; the
metrics come from the same code. Each side pads and draws dropout in its own default way.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import chain, count
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import Sampler

from benchmarks.measure import ratios
from benchmarks.recipes import Material
from plm.auto.models import AutoModel
from plm.auto.tokenizer import AutoTokenizer
from plm.data import Batches, batches_by_count
from plm.training import Callback, Record, Run, SupervisedStep, Trainer, TrainingConfig, outputs

# Updates before the clock starts: memory is taken and kernels are made in them.
WARM_UP = 2


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """One training. score: the task's first metric, `metric`, on the dev examples, in points.

    losses: of every update.

    seconds, cpu_seconds: by the wall, and of all threads, for `examples`, those after the warm-up.
    """

    metric: str
    score: float
    losses: Sequence[float]
    seconds: float
    cpu_seconds: float
    examples: int


class Clock:
    """Reads both clocks at the end of every update."""

    def __init__(self) -> None:
        self.times: list[tuple[float, float]] = []

    def tick(self) -> None:
        """The end of an update."""
        self.times.append((time.perf_counter(), time.process_time()))

    def spent(self) -> tuple[float, float]:
        """Seconds by the wall and of the CPU between the warm-up and the last update."""
        first, last = self.times[WARM_UP - 1], self.times[-1]
        return last[0] - first[0], last[1] - first[1]


class Timer(Callback):
    """Ticks a clock after every update of plm's Trainer."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock

    def on_step(self, run: Run, record: Record) -> None:
        self.clock.tick()


class _Order(Sampler[int]):
    """The examples in the order in which batches hold them, epoch after epoch."""

    def __init__(self, batches: Batches[Any]) -> None:
        self.batches, self.epochs = batches, count()

    def __len__(self) -> int:
        return len(self.batches.features)

    def __iter__(self) -> Iterator[int]:
        return chain.from_iterable(batch.tolist() for batch in self.batches.epoch(next(self.epochs)).plan)


@dataclass(frozen=True)
class Contest:
    """One task for both sides. model: a folder that plm and transformers read. dropout: None = as its config says."""

    material: Material
    model: str
    batch_size: int
    dropout: float | None = None

    @cached_property
    def tokenizer(self) -> Any:
        """plm's."""
        return AutoTokenizer.from_pretrained(self.model)

    @cached_property
    def features(self) -> Sequence[Any]:
        """Of the training examples."""
        return self._encode(self.material.train)

    @cached_property
    def dev_features(self) -> Sequence[Any]:
        """Of the dev examples."""
        return self._encode(self.material.dev)

    def start(self, seed: int) -> Any:
        """The pretrained model with a new head, drawn from the seed."""
        task = self.material.task

        class AutoModelForTask(AutoModel):
            heads = (task.head,)

        torch.manual_seed(seed)
        options = {"pad_token_id": self.tokenizer.pad_token_id, **task.model_options()}
        if self.dropout is not None:
            options |= dict.fromkeys(("hidden_dropout_prob", "attention_probs_dropout_prob"), self.dropout)
        return AutoModelForTask.from_pretrained(self.model, **options)

    def train_plm(self, model: Any, config: TrainingConfig) -> Outcome:
        """With plm.training.Trainer, batches as plm's runs make them."""
        task, clock = self.material.task, Clock()
        step = SupervisedStep(weigh=task.weigh, factors=task.loss_factors)
        batches = self._batches(self.features, seed=config.seed)
        report = Trainer(model, config, batches=batches, step=step, callbacks=[Timer(clock)]).train()
        losses = [record.values["loss"] for record in report.history if record.kind == "train"]
        return self._outcome(clock, losses, self._score(model))

    def train_peer(self, folder: Path, config: TrainingConfig) -> Outcome:
        """With transformers.Trainer and its default collator, from weights that plm has saved."""
        import transformers

        clock = Clock()
        tokenizer = transformers.AutoTokenizer.from_pretrained(self.model)
        model = getattr(transformers, self.material.recipe.peer).from_pretrained(folder)
        is_tagger = "TokenClassification" in self.material.recipe.peer
        collator = (
            transformers.DataCollatorForTokenClassification if is_tagger else transformers.DataCollatorWithPadding
        )
        with tempfile.TemporaryDirectory() as output_dir:
            trainer, losses = peer_trainer(
                model=model,
                args=peer_arguments(config, output_dir, batch_size=self.batch_size),
                rows=self._rows(),
                order=_Order(self._batches(self.features, seed=config.seed)),
                collator=getattr(transformers, collator)(tokenizer),
                clock=clock,
            )
            trainer.train()
        return self._outcome(clock, losses, self._score(_without_extras(model)))

    def _encode(self, examples: Sequence[Any]) -> Sequence[Any]:
        return self.material.task.encode(examples, self.tokenizer, max_length=self.material.recipe.max_length)

    def _batches(self, features: Sequence[Any], *, seed: int | None) -> Batches[Any]:
        task = self.material.task
        lengths = [task.length(feature) for feature in features]
        return Batches(
            features,
            plan=lambda epoch: batches_by_count(lengths, batch_size=self.batch_size, seed=seed, epoch=epoch),
            collate=partial(task.collate, pad_token_id=self.tokenizer.pad_token_id),
        )

    def _rows(self) -> list[dict[str, Any]]:
        """The features as transformers' collators take them: each without padding, lists of numbers."""
        collate = partial(self.material.task.collate, pad_token_id=self.tokenizer.pad_token_id)
        rows = [collate([feature]) for feature in self.features]
        return [{name: tensor[0].tolist() for name, tensor in row.items() if name != "index"} for row in rows]

    def _score(self, model: Any) -> tuple[str, float]:
        """The metric that judges, and its value."""
        task, results = self.material.task, {}
        model.eval()
        for batch, output in outputs(model, self._batches(self.dev_features, seed=None).epoch(0)):
            results |= task.results(batch, output)
        answers = task.answers(self.material.dev, self.dev_features, results)
        return next(iter(task.score(self.material.dev, answers).items()))

    def _outcome(self, clock: Clock, losses: Sequence[float], score: tuple[str, float]) -> Outcome:
        seconds, cpu_seconds = clock.spent()
        epochs, rest = divmod(len(clock.times), -(-len(self.features) // self.batch_size))
        examples = epochs * len(self.features) + (rest - WARM_UP) * self.batch_size
        return Outcome(
            metric=score[0],
            score=100.0 * score[1],
            losses=losses,
            seconds=seconds,
            cpu_seconds=cpu_seconds,
            examples=examples,
        )


def peer_trainer(
    *,
    model: Any,
    args: Any,
    rows: Sequence[Mapping[str, Any]],
    order: Iterable[int],
    collator: Callable[[Any], Any],
    clock: Clock,
) -> tuple[Any, list[float]]:
    """transformers.Trainer for rows in a given order, and the list that will hold the losses of its updates."""
    import transformers

    losses: list[float] = []

    class SameOrder(transformers.Trainer):  # type: ignore[misc]
        def _get_train_sampler(self, *_: Any) -> Iterable[int]:
            return order

    class Listener(transformers.TrainerCallback):  # type: ignore[misc]
        def on_step_end(self, *_: Any, **__: Any) -> None:
            clock.tick()

        def on_log(self, *_: Any, logs: Mapping[str, float], **__: Any) -> None:
            if "loss" in logs:
                losses.append(logs["loss"])

    trainer = SameOrder(model=model, args=args, train_dataset=rows, data_collator=collator, callbacks=[Listener])
    trainer.remove_callback(transformers.PrinterCallback)
    return trainer, losses


def peer_arguments(config: TrainingConfig, output_dir: str, *, batch_size: int) -> Any:
    """The config in the words of transformers. AdamW decays no biases and norms there either."""
    import transformers

    return transformers.TrainingArguments(
        output_dir=output_dir,
        seed=config.seed,
        per_device_train_batch_size=batch_size,
        num_train_epochs=config.num_train_epochs,
        max_steps=-1 if config.max_steps is None else config.max_steps,
        learning_rate=config.learning_rate,
        lr_scheduler_type=config.lr_scheduler,
        warmup_steps=config.warmup_ratio,  # below 1 it is a share of all updates
        weight_decay=config.weight_decay,
        max_grad_norm=config.max_grad_norm,
        bf16=config.precision == "bf16",
        use_cpu=True,
        logging_steps=1,
        save_strategy="no",
        report_to=[],
        disable_tqdm=True,
        dataloader_pin_memory=False,
    )


def _without_extras(model: torch.nn.Module) -> torch.nn.Module:
    """A model that takes a batch of plm's: everything but what the forward pass does not know."""

    class Plain(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = model

        def forward(self, **batch: torch.Tensor) -> Any:
            return self.inner(**{name: tensor for name, tensor in batch.items() if name != "index"})

    return Plain()


def speed_ratio(outcomes: Mapping[str, Sequence[Outcome]], clock: str) -> dict[str, float]:
    """How many times faster plm is than transformers. clock: "seconds" or "cpu_seconds"."""
    seconds = {name: [getattr(run, clock) / run.examples for run in runs] for name, runs in outcomes.items()}
    return ratios(seconds, of="plm", to="transformers")


def curve_distance(ours: Sequence[Outcome], theirs: Sequence[Outcome], *, parts: int = 10) -> float:
    """How far the loss curves are apart: each cut into parts, their means compared, absolute, in nats, averaged."""
    curves = [
        np.mean([[part.mean() for part in np.array_split(one.losses, parts)] for one in side], axis=0)
        for side in (ours, theirs)
    ]
    return float(np.abs(curves[0] - curves[1]).mean())


def in_turn(seeds: Sequence[int], runs: Mapping[str, Callable[[int], Outcome]]) -> dict[str, list[Outcome]]:
    """The outcomes of every side, one a seed; who comes first changes from seed to seed."""
    outcomes: dict[str, list[Outcome]] = {name: [] for name in runs}
    for number, seed in enumerate(seeds):
        for name in sorted(runs, reverse=bool(number % 2)):
            outcomes[name].append(runs[name](seed))
    return outcomes
