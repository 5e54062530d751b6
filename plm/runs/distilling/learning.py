"""One training of the student: a Trainer with a DistillationStep, and the account of what came of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from plm.auto.model import PretrainedModel
from plm.data.fingerprint import facts
from plm.distillation import Answers, DistillationStep, Objective, Teacher
from plm.runs.distilling.config import DistillationConfig
from plm.runs.distilling.identity import weights_digest
from plm.runs.distilling.models import keep_or_drop_projection
from plm.runs.distilling.options import Stage
from plm.runs.distilling.stages import Stopped
from plm.runs.report import finite, flops_per_token
from plm.runs.run import run_records
from plm.tasks import AnyTask
from plm.training import Batch, Callback, Precision, ProgressBar, SupervisedStep, Trainer, TrainingBatches
from plm.training.distributed import Processes, join
from plm.training.precision import autocast
from plm.training.run import EXIT_CODES, TrainingReport


@dataclass(frozen=True, kw_only=True)
class Lesson:
    """What a stage trains.

    evaluate: model -> metrics; None = nothing is evaluated. save: writes what the stage leaves.
    """

    student: PretrainedModel
    step: DistillationStep
    batches: TrainingBatches
    evaluate: Callable[[nn.Module], Mapping[str, float]] | None
    save: Callable[[Path], None]

    def train(
        self, folder: Path, config: DistillationConfig, stage: Stage, callbacks: Sequence[Callback]
    ) -> dict[str, Any]:
        """Train in a folder, from the newest checkpoint there if there is one; save; return the outcome.

        Raises Stopped when a signal ended it.
        """
        processes = join()
        flops = partial(_flops, self.student, None if self.step.answers else self.step.teacher.model)
        records = run_records(folder, config.log_to, flops_per_token=flops)
        report = Trainer(
            self.student,
            config.training(stage),
            batches=self.batches,
            step=self.step,
            evaluate=self.evaluate,
            output_dir=folder,
            callbacks=[ProgressBar(), *records, *callbacks],
            processes=processes,
        ).train()
        if report.stopped in EXIT_CODES:
            raise Stopped(folder.name, report.stopped)
        keep_or_drop_projection(self.student)
        if processes.is_main:
            self.save(folder)
        processes.barrier()
        return {"digest": weights_digest(self.student), **_account(report), "skipped": dict(self.step.skipped)}


def distillation_step(
    student: PretrainedModel,
    teacher: Teacher,
    objective: Objective,
    task: AnyTask | None = None,
    *,
    answers: Answers | None = None,
) -> DistillationStep:
    """The step of a stage. task: whose losses on labels count, where the objective has a weight for them.

    answers: as for DistillationStep.

    Raises ConfigError for two models that the objective is not for.
    """
    labels = None if task is None else SupervisedStep(weigh=task.weigh, factors=task.loss_factors)
    return DistillationStep(student, teacher, objective, labels=labels, answers=answers)


@dataclass(frozen=True)
class Imitation:
    """How far a student is from its teacher on other texts, for Trainer(evaluate=...): the losses of its step.

    processes: that share the work; None = those that torchrun started.
    """

    step: DistillationStep
    batches: Iterable[Batch]
    precision: Precision = "fp32"
    processes: Processes | None = None

    def __call__(self, model: nn.Module) -> dict[str, float]:
        """Each loss by name after "loss", their sum, which judges. Each is a mean over all batches at once."""
        processes = join() if self.processes is None else self.processes
        device = next(model.parameters()).device
        sums: dict[str, float] = {}
        for number, batch in enumerate(self.batches):
            if number % processes.count != processes.rank:
                continue
            weights = self.step.weigh(batch)
            moved = {name: tensor.to(device, non_blocking=True) for name, tensor in batch.items()}
            with torch.no_grad(), autocast(self.precision, device):
                losses = self.step(model, moved).losses
            for name, loss in losses.items():
                weight = float(weights[name])
                sums[name] = sums.get(name, 0.0) + float(loss) * weight
                sums[f"{name} weight"] = sums.get(f"{name} weight", 0.0) + weight
        sums = processes.sums(sums)
        means = {name: total / max(1.0, sums[f"{name} weight"]) for name, total in sums.items() if " " not in name}
        return {"loss": sum(means.values()), **means}

    def fingerprint(self) -> dict[str, int | str]:
        """Facts that tell these texts from others."""
        return facts(self.batches)


def _account(report: TrainingReport) -> dict[str, Any]:
    """What a record of a stage keeps of a training."""
    by_kind: dict[str, list[Mapping[str, float]]] = {"train": [], "evaluation": []}
    for record in report.history:
        by_kind[record.kind].append(record.values)
    told: dict[str, Any] = {
        name: getattr(report, name)
        for name in ("stopped", "updates", "epochs", "seconds", "tokens", "tokens_per_second", "best_update")
    }
    for name, values in (("first", by_kind["train"][:1]), ("last", by_kind["train"][-1:])):
        told[name] = dict(*values) if values else {}
    told["dev"] = dict(by_kind["evaluation"][-1]) if by_kind["evaluation"] else {}
    known: dict[str, Any] = finite(told)
    return known


def _flops(student: nn.Module, teacher: nn.Module | None) -> float:
    """Of training the student, and of asking the teacher, if that is done, on one token."""
    return flops_per_token(student) + (0.0 if teacher is None else flops_per_token(teacher) / 3.0)
