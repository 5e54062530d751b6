"""What a pipeline is made of: a model, loaded or not, and a row of TASKS that knows what to do with it."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol, TypeVar

from plm.auto.choosing import TORCH, open_engine, open_runner, settled
from plm.backends.eager import TorchRunner
from plm.backends.runner import Runner
from plm.checkpoints.exported import exported_entry
from plm.checkpoints.store import Checkpoint, open_checkpoint, read_config_file
from plm.errors import ConfigError
from plm.heads.engine import CausalEngine
from plm.heads.model import Model
from plm.heads.preparing import decoding_engine
from plm.models.config import ModelConfig
from plm.registry import Registry
from plm.tasks import AnyTask
from plm.tasks.saving import SavedTask, load_tasks
from plm.tokenizers import Tokenizer
from plm.tokenizers.requests import UNKNOWN_LENGTH

Kind = TypeVar("Kind", bound=AnyTask)


@dataclass(frozen=True)
class Source:
    """The model of a pipeline, of which its task takes what it needs.

    task: name of the pipeline task, for messages. model: a folder, or a loaded model.
    backend, dtype: for a model that is loaded here. settings: what the caller says about the model's task, if anything.
    max_length: tokens of a text that the caller wants at most; None = the usual. tokens_per_batch: real tokens, about.
    """

    task: str
    model: Path | Model
    tokenizer: Tokenizer
    backend: str
    dtype: str
    settings: AnyTask | None
    max_length: int | None
    tokens_per_batch: int

    def __post_init__(self) -> None:
        """Raise ConfigError for a loaded model that another backend is to compute."""
        if isinstance(self.model, Model) and settled(self.backend, self.dtype)[0] != TORCH:
            raise ConfigError(
                f"{self.task}: a loaded model is PyTorch's; for backend {self.backend!r} and dtype {self.dtype!r} give "
                "the folder that it is saved in"
            )

    def runner(self, head: str | None) -> Runner:
        """The model with one head, or with none, ready to predict.

        Raises CheckpointError when the checkpoint lacks the head, ConfigError when a loaded model does.
        """
        if isinstance(self.model, Path):
            return open_runner(self.model, head, backend=self.backend, dtype=self.dtype)
        if head is None:
            return TorchRunner(Model(self.model.config, self.model.backbone, {}))
        if head not in self.model.heads:
            listed = ", ".join(self.model.heads) or "none"
            raise ConfigError(f"{self.task} needs the head {head!r}; this model has: {listed}")
        return TorchRunner(Model(self.model.config, self.model.backbone, {head: self.model.heads[head]}))

    def engine(self) -> CausalEngine:
        """The model, ready to go on with texts. Raises as `runner`, and PlmError kin for one that cannot do so."""
        if isinstance(self.model, Path):
            return open_engine(self.model, backend=self.backend, dtype=self.dtype)
        return decoding_engine(self.model)

    @property
    def config(self) -> ModelConfig:
        """That of the model."""
        if not isinstance(self.model, Path):
            return self.model.config
        return self._checkpoint.config if exported_entry(self.model) is None else read_config_file(self.model)

    @property
    def heads(self) -> Collection[str]:
        """Kinds of the heads that the model has."""
        if not isinstance(self.model, Path):
            return list(self.model.heads)
        exported = exported_entry(self.model)
        return self._checkpoint.stored_heads() if exported is None else exported.kinds

    def saved(self, kind: type[Kind]) -> SavedTask | None:
        """The task of this kind that the folder was trained for, as its tasks.json has it; None = it says nothing.

        Raises ConfigError when there are several.
        """
        tasks = load_tasks(self.model) if isinstance(self.model, Path) else {}
        found = {name: saved for name, saved in tasks.items() if isinstance(saved.task, kind)}
        if len(found) > 1:
            raise ConfigError(
                f"{self.model}: was trained for several tasks of this kind ({', '.join(found)}): open it with "
                "AutoModelForTasks and pass model.with_head(name), with settings= and tokenizer="
            )
        return next(iter(found.values()), None)

    @cached_property
    def _checkpoint(self) -> Checkpoint:
        assert isinstance(self.model, Path), "asked for folders alone"
        return open_checkpoint(self.model)


class PipelineTask(Protocol):
    """A row of TASKS: makes the function that answers."""

    def open(self, source: Source) -> Callable[[Any], list[Any]]:
        """A pipeline for this model. Raises PlmError kin when the model cannot do it."""
        ...


TASKS: Registry[PipelineTask] = Registry("pipeline task")


def checked_length(wanted: int | None, config: ModelConfig, tokenizer: Tokenizer) -> int | None:
    """Tokens that texts are cut to; None = none is cut, for models of relative positions without a limit.

    Raises ConfigError for a number that the model cannot take.
    """
    positions = config.longest_text or UNKNOWN_LENGTH
    if wanted is not None:
        if wanted < 1 or wanted > positions:
            most = "" if config.longest_text is None else f" of at most {positions}, as the model has"
            raise ConfigError(f"max_length: expected a positive number{most}, got {wanted}")
        return wanted
    longest = min(positions, tokenizer.model_max_length)
    return longest if longest < UNKNOWN_LENGTH else None
