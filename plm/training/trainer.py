"""The training loop: one for fine-tuning, pretraining, several tasks and distillation, which differ in their Step."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, closing, nullcontext
from functools import partial
from pathlib import Path
from typing import Any

from torch import nn

from plm.blocks.kernel_cache import bound_kernels
from plm.config import to_dict
from plm.errors import CheckpointError, PlmError, TrainingError
from plm.folders import save_folder
from plm.training.ahead import lost_workers_explained
from plm.training.callbacks import Callback, CallbackList, ProgressBar
from plm.training.config import TrainingConfig
from plm.training.course import Course, Group, TrainingBatches
from plm.training.distributed import Processes, join
from plm.training.ema import ExponentialAverage
from plm.training.heap import freed_memory_kept
from plm.training.interrupt import REASONS, CutShort, Interrupt
from plm.training.memory import memory_errors_explained
from plm.training.parts import BestWeights, RandomStates, UpdaterState
from plm.training.random_state import random_state_kept
from plm.training.resume import find_state, fingerprint, require_same_run
from plm.training.run import Record, Run, TrainingReport
from plm.training.shares import asked_for
from plm.training.spread import Spread
from plm.training.state import Checkpoints, Stateful, is_stateful
from plm.training.step import Step, SupervisedStep
from plm.training.update import Updater
from plm.training.window import Window

logger = logging.getLogger(__name__)


class Trainer:
    """Trains a model on the device where it is, or in several processes that torchrun started: each on its own.

    step: batch -> losses; None = the model computes its loss from the labels.
    evaluate: model -> metrics, called with the model in evaluation mode; plm.training.Evaluation is one. If it also has
        `fingerprint()`, as TrainingBatches may, a run is not continued with others.
    save: writes whatever makes up the trained model into an empty folder that exists; needs output_dir.
    output_dir: gets "best" and "last", written by `save`, and "checkpoints", which the run can be continued from.
    callbacks: told in this order; None = a progress bar. Of several processes only the main one has them.
    processes: that train together; None = those that torchrun started. Each makes a Trainer of the same model, config
        and batches; together they do what one does, and the main one saves. Their results differ from those of one
        process by rounding, and by other dropout where batches are cut by rows.
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
        processes: Processes | None = None,
    ) -> None:
        if save is not None and output_dir is None:
            raise TrainingError("save is given, but no output_dir to save to")
        if config.save_strategy != "no" and output_dir is None:
            raise TrainingError(f'save_strategy is "{config.save_strategy}", but there is no output_dir to save to')
        if config.early_stopping_patience is not None and evaluate is None:
            raise TrainingError("early_stopping_patience needs an evaluate function")
        self.model, self.config, self.batches = model, config, batches
        self.step = step or SupervisedStep()
        self.evaluate, self.save = evaluate, save
        self.output_dir = None if output_dir is None else Path(output_dir)
        self.processes = join() if processes is None else processes
        told = [ProgressBar()] if callbacks is None else callbacks
        self.callbacks = CallbackList(told if self.processes.is_main else ())

    def train(self, *, resume: str | Path | None = None) -> TrainingReport:
        """Train to the planned end, to an early stop, or to Ctrl-C or SIGTERM, which let the current update finish.

        resume: in place of config.resume. A run that is continued ends with the same bits as one that never stopped.
        Afterwards the model is in evaluation mode and has its best weights with config.load_best, else the last ones,
        or their average with config.ema_decay; all random states are as they were before.
        Raises TrainingError when there is nothing to train on, a loss is not finite, memory or disk are full, or the
        checkpoint is of another run; CheckpointError when none is whole.
        """
        self._prepare()
        run = self.run
        device = self.updater.device
        bound_kernels()
        with random_state_kept(device), freed_memory_kept(device), Interrupt() as interrupt:
            saved = self._restore(str(resume or self.config.resume))
            self.callbacks.on_start(run)
            if saved is not None:
                if self.processes.is_main:
                    self.callbacks.load_state_dict(saved["callbacks"])
                self.random.load_state_dict(saved["random"])  # last, as callbacks may have drawn from them
            try:
                self._loop(interrupt)
                self._finish()
            finally:
                self._log(self.window.close())
                run.elapsed = self._elapsed()
                self.callbacks.on_stop(run)
        return TrainingReport.of(run)

    def _prepare(self) -> None:
        """Whatever belongs to one run, at its beginning."""
        self.spread = Spread(self.model, self.config, self.processes)
        self.updater = Updater(self.spread.trained, self.config, self.step, self.processes)
        wanted = partial(asked_for, processes=self.processes, in_step=self.updater.is_sharded)
        self.course = Course(self.batches, self.config, wanted)
        self.run = Run(self.config, self.course.planned_updates(), self.output_dir)
        self.run.device = str(self.updater.device)
        decay = self.config.ema_decay
        self.average = None if decay is None else ExponentialAverage(self.spread.trained, decay)
        self.window = Window(self.config.log_every)
        self.best, self.random = BestWeights(), RandomStates(self.updater.device)
        self.data = fingerprint(self.batches, self.evaluate)
        self.started = self.mark = time.perf_counter()
        self.is_save_due = False
        self.held = (0, 0)  # updates and last evaluation in the newest checkpoint
        self.saved_at: dict[str, int] = {}  # "best", "last" -> update
        self.checkpoints: Checkpoints | None = None
        if self.output_dir is not None:
            folder = self.output_dir / "checkpoints"
            self.checkpoints = Checkpoints(folder, keep=self.config.keep_checkpoints, processes=self.processes)

    # The loop.

    def _loop(self, interrupt: Interrupt) -> None:
        run, self.mark = self.run, time.perf_counter()
        try:
            with lost_workers_explained(), closing(self.course.groups(run.place)) as groups:
                while not self._is_over(interrupt):
                    self._update(next(groups))
        except KeyboardInterrupt:
            # The second Ctrl-C: out, at once. And no process may leave the others alone in an update.
            if interrupt.reason is not None or self.processes.count > 1:
                raise
            run.request_stop("interrupted")  # raised by a step or an evaluation; the weights are those of whole updates

    def _is_over(self, interrupt: Interrupt) -> bool:
        """Do what belongs after an update, if need be that of the checkpoint. True = no more updates."""
        run, patience, agree = self.run, self.config.early_stopping_patience, self.processes.agree
        signal = agree(interrupt.reason)
        if signal is None and run.is_evaluation_due:
            self._evaluate(interrupt)
            signal = agree(interrupt.reason)
        if signal is not None:
            run.request_stop(signal)
        if patience is not None and run.evaluations_since_best >= patience:
            run.request_stop("early stopping")
        run.stop_reason = agree(run.stop_reason)  # only the main one has callbacks that could ask
        is_over = run.stop_reason is not None or run.update >= run.total_updates
        if self.is_save_due and not is_over:  # else _finish saves
            self._save_checkpoint()
        return is_over

    def _update(self, group: Group) -> None:
        run, config = self.run, self.config
        factor = config.rate_factor(run.update, run.total_updates)
        with memory_errors_explained(group.batches, number=run.update + 1):
            values = self.updater(group.batches, number=run.update + 1, factor=factor)
        if self.average is not None:
            self.average.update()
        now = time.perf_counter()
        run.seconds, self.mark = run.seconds + now - self.mark, now
        run.tokens, run.positions = run.tokens + self.updater.tokens, run.positions + self.updater.positions
        run.update, run.epoch, run.place = run.update + 1, group.epoch, group.place
        run.is_evaluation_due = _is_due(config.eval_strategy, config.eval_steps, group, run.update)
        self.is_save_due = _is_due(config.save_strategy, config.save_steps, group, run.update)
        record = run.record("train", values)
        self.callbacks.on_step(run, record)
        self._log(self.window.add(record))
        if run.update == run.total_updates:
            self._log(self.window.close())

    def _log(self, record: Record | None) -> None:
        """Take a finished entry into the history, if there is one."""
        if record is not None:
            self.run.history.append(record)
            self.callbacks.on_log(self.run, record)

    # Evaluating and saving.

    def _averaged(self) -> AbstractContextManager[None]:
        """Inside, the model has the weights that count: the averages, if they are asked for."""
        return nullcontext() if self.average is None else self.average.applied()

    def _evaluate(self, interrupt: Interrupt | None = None) -> None:
        """Evaluate, remember the best, save. A signal cuts the evaluation of one process short; it then stays due."""
        run = self.run
        with self._averaged():
            if self.evaluate is not None:
                self.spread.trained.eval()
                try:
                    with nullcontext() if interrupt is None or self.processes.count > 1 else interrupt.at_once():
                        found = self.evaluate(self.spread.trained)
                except CutShort:
                    return
                metrics = self.processes.from_main({name: float(value) for name, value in found.items()})
                self.spread.bring_home()
                is_best = run.judge(metrics)
                record = run.record("evaluation", metrics)
                self._log(self.window.close())
                self._log(record)
                self.callbacks.on_evaluate(run, record)
                if is_best and self.config.load_best:
                    self.best.keep(self.spread.trained)
                if is_best:
                    self._save("best")
            self._save("last")
        run.is_evaluation_due = False
        self.mark = time.perf_counter()

    def _save(self, name: str) -> None:
        """Write output_dir/last or output_dir/best, once for each update, with the weights that the model has."""
        run = self.run
        if self.save is None or self.output_dir is None or name not in self.config.keep:
            return
        if self.saved_at.get(name) != run.update:
            self.model.eval()
            self.spread.bring_home()
            if self.processes.is_main:
                save_folder(self.output_dir / name, self.save)
            self.processes.barrier()
            self.saved_at[name] = run.update
            self.callbacks.on_save(run, self.output_dir / name)

    def _save_checkpoint(self) -> None:
        """Write a checkpoint of the run, if there is something new to write."""
        run = self.run
        if self.checkpoints is None or self.config.save_strategy == "no" or self.held == self._progress():
            return
        run.elapsed = self._elapsed()
        folder = self.checkpoints.save(run.update, self._state())
        self.held, self.is_save_due = self._progress(), False
        self.callbacks.on_save(run, folder)
        self.mark = time.perf_counter()

    def _finish(self) -> None:
        """A last evaluation if there was none since the last update, everything saved, the best weights restored.

        A run that was asked to stop has its checkpoint first, which then knows nothing of what only the stop brought:
        continued, it is the run that was not stopped.
        """
        run = self.run
        if run.stop_reason is not None:
            self._save_checkpoint()
        is_evaluated = run.evaluated_update == run.update or self.config.eval_strategy == "no"
        if not is_evaluated and run.stop_reason not in REASONS.values():
            self._evaluate()
        if run.stop_reason is None:
            self._save_checkpoint()
        if self.average is not None:
            self.average.apply()
        self._save("last")
        if run.best_update < run.update:
            self.best.restore(self.spread.trained)
        self.spread.bring_home()
        self.model.eval()

    # Checkpoints.

    def _parts(self) -> dict[str, Stateful]:
        """Everything that a run is made of, but for its callbacks and random states, by its name in a checkpoint."""
        parts: dict[str, Stateful] = {
            "model": self.spread.trained,
            "updater": UpdaterState(self.updater),
            "best": self.best,
            "run": self.run,
            "window": self.window,
        }
        optional = {"average": self.average, "step": self.step, "batches": self.batches}
        return parts | {name: part for name, part in optional.items() if is_stateful(part)}

    def _state(self) -> dict[str, Any]:
        """What a checkpoint holds."""
        told: dict[str, Stateful] = {"callbacks": self.callbacks, "random": self.random, **self._parts()}
        state = {name: part.state_dict() for name, part in told.items()}
        return {"config": to_dict(self.config), "data": self.data, **state}

    def _restore(self, resume: str) -> dict[str, Any] | None:
        """Go on from a checkpoint; returns its state, None = there is none to go on from. resume: as in the config."""
        is_saving = self.config.save_strategy != "no"
        found = find_state(resume, self.checkpoints, is_saving=is_saving, mesh=self.spread.mesh)
        if found is None:
            return None
        path, saved = found
        try:
            require_same_run(path, saved, config=self.config, data=self.data, weights=self.spread.trained.state_dict())
            for name, part in self._parts().items():
                part.load_state_dict(saved[name])
        except PlmError:
            raise
        except (KeyError, TypeError, ValueError, AttributeError, RuntimeError) as error:
            raise CheckpointError(f"{path}: does not fit this run: {error!r}") from error
        self.held = self._progress()
        logger.info("%s: going on after update %d of %d", path, self.run.update, self.run.total_updates)
        return saved

    def _progress(self) -> tuple[int, int]:
        return self.run.update, self.run.evaluated_update

    def _elapsed(self) -> float:
        """Seconds of everything, with earlier parts of the run."""
        now = time.perf_counter()
        self.started, seconds = now, now - self.started
        return self.run.elapsed + seconds


def _is_due(strategy: str, every: int | None, group: Group, update: int) -> bool:
    """True = after this update. strategy, every: as eval_strategy and eval_steps."""
    return group.closes_epoch if strategy == "epoch" else every is not None and update % every == 0
