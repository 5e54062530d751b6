"""The training loop: one for fine-tuning, pretraining, several tasks and distillation, which differ in their Step."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Sized
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor, nn

from plm.errors import TrainingError
from plm.training.callbacks import Callback, CallbackList, History, ProgressBar
from plm.training.config import TrainingConfig
from plm.training.interrupt import Interrupt
from plm.training.run import Run, TrainingReport
from plm.training.saving import save_folder
from plm.training.step import Batch, Step, SupervisedStep, count_tokens
from plm.training.update import Updater


class TrainingBatches(Protocol):
    """What to train on; plm.data.Batches is one."""

    def __len__(self) -> int:
        """Batches of an epoch."""
        ...

    def epoch(self, number: int) -> Iterable[Batch]:
        """Pass `number` over the data, from 0. If it has a length, that one counts instead of len(batches)."""
        ...


@dataclass(frozen=True)
class _Group:
    """The batches of one update. epoch: passes over the data after it. closes_epoch: True = the last of its epoch."""

    batches: list[Batch]
    epoch: float
    closes_epoch: bool


class Trainer:
    """Trains a model on the device where it is.

    step: batch -> loss; None = the model computes it from the labels.
    evaluate: model -> metrics, called with the model in evaluation mode; plm.training.Evaluation is one.
    save: writes whatever makes up the trained model into an empty folder that exists; needs output_dir.
    callbacks: told in this order; None = a progress bar.
    """

    def __init__(
        self,
        model: nn.Module,
        config: TrainingConfig,
        *,
        batches: TrainingBatches,
        step: Step | None = None,
        evaluate: Callable[[nn.Module], Mapping[str, float]] | None = None,
        save: Callable[[Path], None] | None = None,
        output_dir: Path | str | None = None,
        callbacks: Sequence[Callback] | None = None,
    ) -> None:
        if save is not None and output_dir is None:
            raise TrainingError("save is given, but no output_dir to save to")
        if config.early_stopping_patience is not None and evaluate is None:
            raise TrainingError("early_stopping_patience needs an evaluate function")
        self.model, self.config, self.batches = model, config, batches
        self.step = step or SupervisedStep()
        self.evaluate, self.save = evaluate, save
        self.output_dir = None if output_dir is None else Path(output_dir)
        self.history = History()
        self.callbacks = CallbackList([self.history, *([ProgressBar()] if callbacks is None else callbacks)])

    def train(self) -> TrainingReport:
        """Train to the planned end, to an early stop, or to Ctrl-C, which lets the current update finish.

        Afterwards the model is in evaluation mode and, with config.load_best, has its best weights; torch's random
        state is as it was before. Raises TrainingError when there is nothing to train on, or a loss is not finite.
        """
        started = time.perf_counter()
        self.run = run = Run(self.config, self._planned_updates(), self.output_dir)
        self.updater = Updater(self.model, self.config, self.step)
        self.best_weights: dict[str, Tensor] = {}
        self.last_saved: dict[str, int] = {}
        with _random_state_kept(self.updater.device), Interrupt() as interrupt:
            self.callbacks.on_start(run)
            try:
                self._loop(interrupt)
                self._finish()
            finally:
                self.callbacks.on_stop(run)
        return TrainingReport(
            stopped=run.stop_reason or "finished",
            updates=run.update,
            epochs=run.epoch,
            best_update=run.best_update,
            best_metrics=run.best_metrics,
            history=tuple(self.history.records),
            seconds=time.perf_counter() - started,
            tokens=run.tokens,
            tokens_per_second=run.tokens / max(run.seconds, 1e-9),
        )

    def _loop(self, interrupt: Interrupt) -> None:
        run = self.run
        self.mark = time.perf_counter()
        try:
            for group in self._groups():
                self._update(group)
                if interrupt.requested:
                    run.request_stop("interrupted")
                elif self._is_evaluation_due(group):
                    self._evaluate()
                if run.stop_reason is not None or run.update == run.total_updates:
                    return
        except KeyboardInterrupt:
            if interrupt.requested:  # the second Ctrl-C: out, at once
                raise
            run.request_stop("interrupted")  # raised by a step or an evaluation; the weights are those of whole updates

    def _planned_updates(self) -> int:
        if self.config.max_steps is not None:
            return self.config.max_steps
        whole = int(self.config.num_train_epochs)
        part = math.ceil((self.config.num_train_epochs - whole) * self._updates_of(whole))
        planned = part + sum(self._updates_of(epoch) for epoch in range(whole))
        if planned == 0:
            raise TrainingError("nothing to train on: there are no batches")
        return planned

    def _updates_of(self, epoch: int) -> int:
        batches = self.batches.epoch(epoch)
        count = len(batches) if isinstance(batches, Sized) else len(self.batches)
        return math.ceil(count / self.config.gradient_accumulation_steps)

    def _groups(self) -> Iterator[_Group]:
        """The batches of every update, epoch after epoch, without end; no update crosses the border of an epoch."""
        for epoch in itertools.count():
            updates, batches = self._updates_of(epoch), iter(self.batches.epoch(epoch))
            number = 0
            while group := list(itertools.islice(batches, self.config.gradient_accumulation_steps)):
                number += 1
                yield _Group(group, epoch + min(1.0, number / updates), number == updates)
            if number == 0:
                raise TrainingError(f"nothing to train on: epoch {epoch} has no batches")

    def _update(self, group: _Group) -> None:
        run, config = self.run, self.config
        factor = config.rate_factor(run.update, run.total_updates)
        values = self.updater(group.batches, number=run.update + 1, factor=factor)
        now = time.perf_counter()
        run.seconds, self.mark = run.seconds + now - self.mark, now
        run.tokens += sum(count_tokens(batch) for batch in group.batches)
        run.update, run.epoch = run.update + 1, group.epoch
        self.callbacks.on_step(run, run.record("train", values))

    def _is_evaluation_due(self, group: _Group) -> bool:
        if self.config.eval_strategy == "epoch":
            return group.closes_epoch
        return self.config.eval_steps is not None and self.run.update % self.config.eval_steps == 0

    def _evaluate(self) -> None:
        """Evaluate, remember the best, save, and ask to stop when patience is at its end."""
        run, patience = self.run, self.config.early_stopping_patience
        if self.evaluate is not None:
            self.model.eval()
            metrics = dict(self.evaluate(self.model))
            is_best = run.judge(metrics)
            self.callbacks.on_evaluate(run, run.record("evaluation", metrics))
            if is_best:
                self._keep_best()
            if patience is not None and run.evaluations_since_best >= patience:
                run.request_stop("early stopping")
        self._save("last")
        self.mark = time.perf_counter()

    def _keep_best(self) -> None:
        if self.config.load_best:
            # copy=True: on the CPU, `to` alone would hand out the weights themselves, which go on changing.
            self.best_weights = {name: tensor.to("cpu", copy=True) for name, tensor in self.model.state_dict().items()}
        self._save("best")

    def _save(self, name: str) -> None:
        """Write output_dir/last or output_dir/best, once for each update."""
        run = self.run
        if self.save is None or self.output_dir is None or name not in self.config.keep:
            return
        if self.last_saved.get(name) != run.update:
            self.model.eval()
            save_folder(self.output_dir / name, self.save)
            self.last_saved[name] = run.update
            self.callbacks.on_save(run, self.output_dir / name)

    def _finish(self) -> None:
        """A last evaluation if there was none since the last update, the last weights saved, the best ones restored."""
        run = self.run
        is_evaluated = run.evaluated_update == run.update or self.config.eval_strategy == "no"
        if is_evaluated or run.stop_reason == "interrupted":
            self._save("last")
        else:
            self._evaluate()
        if self.best_weights and run.best_update < run.update:
            self.model.load_state_dict(self.best_weights)
        self.model.eval()


@contextmanager
def _random_state_kept(device: torch.device) -> Iterator[None]:
    """Leave the random state of the CPU and of a CUDA device as it was found."""
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        yield
