"""TinyBERT's two steps in their stages: general distillation; then augmentation, inner values and predictions."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from torch import nn

from plm.config import write_json, write_text
from plm.data import Batches
from plm.distillation import Teacher
from plm.errors import ConfigError, did_you_mean
from plm.runs.distilling.answers import kept_answers
from plm.runs.distilling.augmenting import augment, variation_identity
from plm.runs.distilling.config import DistillationConfig
from plm.runs.distilling.identity import backbone_digest, content_digest
from plm.runs.distilling.learning import Imitation, Lesson, distillation_step
from plm.runs.distilling.measuring import circumstances, costs
from plm.runs.distilling.options import LatencyOptions, Stage
from plm.runs.distilling.parties import Parties
from plm.runs.distilling.report import DistillationReport, Scores, Standing
from plm.runs.distilling.stages import FILE, Done, Stages, Stopped
from plm.runs.distilling.texts import corpus_batches
from plm.runs.evaluation import TaskEvaluation
from plm.runs.folders import require_free
from plm.training import Callback
from plm.training.distributed import join

TEACHER = "teacher"
"""Where the scores of the teacher are kept, in a folder like that of a stage."""


def distill(
    config: DistillationConfig,
    *,
    stages: Sequence[str] = (),
    overwrite: bool = False,
    shared: Sequence[Path] = (),
    callbacks: Sequence[Callback] = (),
) -> DistillationReport:
    """Teach a student what the config says, stage by stage, and write everything about it into `config.output_dir`.

    Each stage has a folder there, with its model, logs and report, and stage.json. What is finished is not done again;
    a stage that was stopped goes on from its newest checkpoint and ends with the same bits. When all stages are done,
    the folder gets the student, its tokenizer and tasks.json, with which it can be asked; report.md and metrics.json,
    where it is compared with its teacher; and run.json, this config.
    stages: names in config.stages; only these are run; () = all. Those that they build on have to be finished.
    overwrite: True = a stage that was asked for something else before is done anew, and the folder may hold files.
    shared: folders of other distillations, whose finished stages serve where they are the same.
    callbacks: told about every training, besides the progress bar and the logs.
    After Ctrl-C or SIGTERM, `stopped` of the report says so; the same call goes on. Under torchrun all processes call
    this with the same config. Raises ConfigError, DataError, CheckpointError and TokenizerError for what cannot be
    used, before anything is trained; TrainingError for a stage that was asked for something else, and a folder that
    cannot be written.
    """
    processes, folder = join(), Path(config.output_dir)
    wanted = _wanted(config, stages)
    processes.by_main(lambda: _require_ours(folder, overwrite=overwrite))
    parties = Parties(config)
    parties.check()
    kept = Stages(folder, {TEACHER, *wanted}, processes, tuple(shared), overwrite)
    work = _Work(config, parties, kept, callbacks)
    report = work.report(wanted)
    if processes.is_main:
        write_json(folder / "run.json", config.to_dict())
        write_text(folder / "report.md", "\n".join(report.lines()) + "\n")
        write_json(folder / "metrics.json", report.to_dict())
    processes.barrier()
    return report


class _Work:
    """The stages, each done when somebody needs it."""

    def __init__(
        self, config: DistillationConfig, parties: Parties, stages: Stages, callbacks: Sequence[Callback]
    ) -> None:
        self.config, self.parties, self.stages, self.callbacks = config, parties, stages, callbacks
        self.finished: dict[str, Done] = {}

    def report(self, wanted: Sequence[str]) -> DistillationReport:
        """Do these stages; then, if the last of all is among them, the student is complete."""
        config, stopped = self.config, "finished"
        try:
            if "prediction" in wanted:
                self.teacher_scores()
            for name in wanted:
                self.done(name)
        except Stopped as stop:
            stopped = stop.reason
        outcomes = {name: self.finished[name].outcome for name in config.stages if name in self.finished}
        report = DistillationReport(output_dir=self.stages.folder, stages=outcomes, stopped=stopped)
        last = config.stages[-1]
        return self._complete(report, last) if stopped == "finished" and last in wanted else report

    def done(self, name: str) -> Done:
        """The outcome of a stage, which is done now if it has not been."""
        if name not in self.finished:
            make = {
                "general": self._general,
                "augment": self._augment,
                "intermediate": self._intermediate,
                "prediction": self._prediction,
            }
            self.finished[name] = make[name]()
        return self.finished[name]

    def teacher_scores(self) -> Scores:
        """What the teacher scores on the files of the task, by split."""
        parties, stage = self.parties, self._stage("prediction")
        asked = {"teacher": parties.teacher.digest, "data": parties.texts.identity("dev", "test")}

        def work(folder: Path) -> dict[str, Any]:
            evaluations = parties.texts.evaluations(stage.batching, stage.training.precision)
            return {"scores": _scored(evaluations, parties.teacher.model)}

        return _scores(self.stages.run(TEACHER, asked, work))

    def _general(self) -> Done:
        config, parties = self.config, self.parties
        assert config.general is not None
        general, stage = config.general, config.general.stage
        teacher = parties.general_teacher.model
        corpora = {"corpus": general.corpus} | ({} if general.dev is None else {"dev": general.dev})
        batches = {
            name: corpus_batches(general, folder, batching=stage.batching, seed=config.seed)
            for name, folder in corpora.items()
        }
        asked = {
            "student": parties.student.begun(),
            "teacher": backbone_digest(teacher),
            "stage": stage.asked() | {"seed": config.seed},
            **{name: dict(one.fingerprint()) for name, one in batches.items()},
        }

        def work(folder: Path) -> dict[str, Any]:
            student = parties.student.open(None, fit_size=teacher.config.hidden_size)
            step = distillation_step(student, Teacher(teacher), stage.objective)
            evaluate = Imitation(step, batches["dev"].epoch(0), stage.training.precision) if "dev" in batches else None
            save = partial(parties.save, student, has_task=False)
            lesson = Lesson(student=student, step=step, batches=batches["corpus"], evaluate=evaluate, save=save)
            return lesson.train(folder, config, stage, self.callbacks)

        return self.stages.run("general", asked, work)

    def _augment(self) -> Done:
        config = self.config
        assert config.task is not None
        assert config.augmentation is not None
        asked = {
            "train": content_digest(Path(config.task.train)),
            "task": self.parties.texts.identity()["task"],
            "augmentation": variation_identity(config.augmentation) | {"seed": config.seed},
        }
        device = self.parties.device
        work = partial(augment, config.task, config.augmentation, seed=config.seed, device=device)
        return self.stages.run("augment", asked, lambda folder: self._by_main(lambda: work(folder)))

    def _intermediate(self) -> Done:
        parties, stage = self.parties, self._stage("intermediate")
        before = self._before("general")

        def work(folder: Path) -> dict[str, Any]:
            student = parties.open_for(stage, None if before is None else before.folder)
            step = distillation_step(student, Teacher(parties.teacher.model), stage.objective, parties.texts.task)
            dev = parties.texts.dev(stage.batching).batches.epoch(0)
            lesson = Lesson(
                student=student,
                step=step,
                batches=self._train("intermediate", stage),
                evaluate=Imitation(step, dev, stage.training.precision),
                save=partial(parties.save, student, has_task=False),
            )
            return lesson.train(folder, self.config, stage, self.callbacks)

        return self.stages.run("intermediate", self._asked("intermediate", stage, before), work)

    def _prediction(self) -> Done:
        parties, stage = self.parties, self._stage("prediction")
        before = self._before("intermediate", "general")

        def work(folder: Path) -> dict[str, Any]:
            student = parties.open_for(stage, None if before is None else before.folder)
            evaluations = parties.texts.evaluations(stage.batching, stage.training.precision)
            batches, teacher = self._train("prediction", stage), Teacher(parties.teacher.model)
            answers = kept_answers(
                parties.texts,
                batches,
                parties.teacher,
                file=self._augmented("prediction") or Path(parties.texts.prepared.data.train),
                folder=self.config.teacher_cache if stage.objective.prediction else None,
                precision=stage.training.precision,
                processes=self.stages.processes,
            )
            lesson = Lesson(
                student=student,
                step=distillation_step(student, teacher, stage.objective, parties.texts.task, answers=answers),
                batches=batches,
                evaluate=evaluations["dev"],
                save=partial(parties.save, student, has_task=True),
            )
            outcome = lesson.train(folder, self.config, stage, self.callbacks)
            return outcome | {"scores": _scored(evaluations, student)}

        return self.stages.run("prediction", self._asked("prediction", stage, before), work)

    def _asked(self, name: str, stage: Stage, before: Done | None) -> dict[str, Any]:
        """What a stage of the task depends on. before: the stage whose student it takes on."""
        texts, parties = self.parties.texts, self.parties
        data = texts.identity("train", "dev", *(["test"] if name == "prediction" else []))
        if self.config.uses_augmented(name):
            data["train"] = self.done("augment").digest
        return {
            "student": parties.student.begun() if before is None else {before.name: before.digest},
            "teacher": parties.teacher.digest,
            "stage": stage.asked() | {"seed": self.config.seed},
            "data": data,
        }

    def _before(self, *names: str) -> Done | None:
        """The first of these stages that the config has; None = it has none of them."""
        return next((self.done(name) for name in names if name in self.config.stages), None)

    def _train(self, name: str, stage: Stage) -> Batches[Any]:
        """The batches of a stage of the task."""
        augmented = self._augmented(name)
        return self.parties.texts.train(stage.batching, seed=self.config.seed, augmented=augmented).batches

    def _augmented(self, name: str) -> Path | None:
        """The file that a stage learns from in place of that of the task, if it does."""
        if not self.config.uses_augmented(name):
            return None
        done = self.done("augment")
        return done.folder / str(done.outcome["file"])

    def _stage(self, name: str) -> Stage:
        stage: Stage | None = getattr(self.config, name)
        assert stage is not None
        return stage

    def _by_main(self, work: Any) -> dict[str, Any]:
        outcome: dict[str, Any] = self.stages.processes.by_main(work)
        return outcome

    def _complete(self, report: DistillationReport, last: str) -> DistillationReport:
        """Write the student beside the folders of the stages, and compare it with its teacher."""
        config, parties, has_task = self.config, self.parties, last == "prediction"
        teacher = parties.teacher if last != "general" else parties.general_teacher
        fit_size = None if has_task else teacher.model.config.hidden_size
        student = parties.open(self.finished[last].folder, has_head=has_task, fit_size=fit_size)
        models = {"teacher": teacher.model, "student": student.eval()}
        length = min(config.latency.length, parties.tokenizer.model_max_length)
        options: LatencyOptions = dataclasses.replace(config.latency, length=length)
        found = self.stages.processes.by_main(lambda: costs(models, options))
        if self.stages.processes.is_main:
            parties.save(student, self.stages.folder, has_task=has_task)
        return dataclasses.replace(
            report,
            teacher=Standing(cost=found["teacher"], scores=self.teacher_scores() if has_task else {}),
            student=Standing(cost=found["student"], scores=_scores(self.finished[last])),
            circumstances=circumstances(student, options),
        )


def _scored(evaluations: Mapping[str, TaskEvaluation], model: nn.Module) -> dict[str, list[tuple[str, float]]]:
    """By split, metrics as pairs: files of JSON are sorted by name, and the first metric is the one that judges."""
    return {split: [(name, float(value)) for name, value in one(model).items()] for split, one in evaluations.items()}


def _scores(done: Done) -> Scores:
    """The metrics that the record of a stage holds, if any."""
    return {split: dict(pairs) for split, pairs in done.outcome.get("scores", {}).items()}


def _wanted(config: DistillationConfig, stages: Sequence[str]) -> tuple[str, ...]:
    """The stages to run, in their order."""
    for name in stages:
        if name not in config.stages:
            raise ConfigError(
                f"stage: the recipe has no {name!r}{did_you_mean(name, config.stages)} (it has: "
                f"{', '.join(config.stages)})"
            )
    return tuple(name for name in config.stages if not stages or name in stages)


def _require_ours(folder: Path, *, overwrite: bool) -> None:
    """Raise TrainingError for a folder that holds anything but a distillation."""
    if not any(folder.glob(f"*/{FILE}")):
        require_free(folder, overwrite=overwrite, resume="never")
