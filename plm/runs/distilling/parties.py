"""Everybody who takes part in a distillation, opened when they are first needed, and checked before anything begins."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

import torch

from plm.auto.model import PretrainedModel
from plm.corpus.store import Corpus
from plm.distillation import Teacher
from plm.errors import ConfigError
from plm.runs.distilling.answers import require_keepable
from plm.runs.distilling.augmenting import require_augmentable
from plm.runs.distilling.config import DistillationConfig
from plm.runs.distilling.learning import distillation_step
from plm.runs.distilling.models import Opened, Student
from plm.runs.distilling.options import General, Stage
from plm.runs.distilling.texts import TaskTexts
from plm.runs.pretraining_model import require_same_vocabulary
from plm.tasks.saving import SavedTask, save_tasks
from plm.tokenizers import Tokenizer


class Parties:
    """Teachers, student and texts of a config."""

    def __init__(self, config: DistillationConfig) -> None:
        self.config = config
        self.device = config.device or ("cuda" if torch.cuda.is_available() else "cpu")

    @cached_property
    def teacher(self) -> Opened:
        """Of the task, with its head; without a task, a backbone."""
        head = None if self.config.task is None else self.config.task.task.head
        return Opened.teacher(self.config.teacher, head=head, device=self.device)

    @cached_property
    def general_teacher(self) -> Opened:
        """Of general distillation. Raises ConfigError for one with another vocabulary."""
        assert self.config.general is not None
        name = self.config.general.teacher
        if name is None:
            return self.teacher
        opened = Opened.teacher(name, head=None, device=self.device)
        source = f"general.teacher: {name}"
        require_same_vocabulary(opened.tokenizer, self.teacher.tokenizer, source=source)
        return opened

    @cached_property
    def student(self) -> Student:
        """As it starts, and after each stage."""
        return Student(
            self.config.student, self.config.seed, self.device, self.teacher.model.config, self.teacher.tokenizer
        )

    @cached_property
    def tokenizer(self) -> Tokenizer:
        """The student's."""
        return self.student.own_tokenizer()

    @cached_property
    def texts(self) -> TaskTexts:
        """Of the task."""
        assert self.config.task is not None
        return TaskTexts.read(
            self.config.task,
            self.teacher,
            self.tokenizer,
            workers=self.config.workers,
            cache=self.config.feature_cache,
        )

    def check(self) -> None:
        """Raise ConfigError for whatever would come out only when a stage begins."""
        config = self.config
        if config.augmentation is not None:
            assert config.task is not None
            require_augmentable(config.task)
        if config.general is not None:
            self._check_general(config.general)
        for name, stage in (("intermediate", config.intermediate), ("prediction", config.prediction)):
            if name in config.stages and stage is not None:
                if name == "prediction" and config.teacher_cache is not None:
                    require_keepable(self.texts, stage.objective, self.teacher.model)
                distillation_step(
                    self.open_for(stage, None), Teacher(self.teacher.model), stage.objective, self.texts.task
                )

    def open_for(self, stage: Stage, folder: Path | None) -> PretrainedModel:
        """The student as a stage of the task finds it. folder: of the stage before; None = it starts."""
        decides = bool(stage.objective.prediction or stage.objective.labels)
        fit_size = self.teacher.model.config.hidden_size if stage.objective.looks_inside else None
        return self.open(folder, has_head=decides, fit_size=fit_size)

    def open(self, folder: Path | None, *, has_head: bool, fit_size: int | None = None) -> PretrainedModel:
        """The student, with the head of the task or without. fit_size: as in Student.open."""
        if not has_head:
            return self.student.open(folder, fit_size=fit_size)
        task = self.texts.task
        return self.student.open(folder, head=task.head, options=task.model_options(), fit_size=fit_size)

    def save(self, model: PretrainedModel, target: Path, *, has_task: bool) -> None:
        """Write what can be used later: model and tokenizer, and what it was trained for, so that it can be asked."""
        self.tokenizer.save_pretrained(target)
        if has_task:
            save_tasks(target, {"task": SavedTask(self.texts.task, self.texts.max_length)})
        model.save_pretrained(target)

    def _check_general(self, general: General) -> None:
        teacher = self.general_teacher
        for name, folder in (("corpus", general.corpus), ("dev", general.dev)):
            if folder is not None:
                source = f"general.{name}: {folder}"
                require_same_vocabulary(Corpus.open(folder).tokenizer, teacher.tokenizer, source=source)
        if general.max_length > self.tokenizer.model_max_length:
            raise ConfigError(
                f"general: max_length: {general.max_length} is more than the {self.tokenizer.model_max_length} tokens "
                "that student and teacher take"
            )
        student = self.student.open(None, fit_size=teacher.model.config.hidden_size)
        distillation_step(student, Teacher(teacher.model), general.stage.objective)
