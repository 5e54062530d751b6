"""Several tasks in one training: each batch goes to the head of its task, each task has its own loss."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn

from plm.errors import ConfigError, TrainingError, did_you_mean
from plm.training.state import is_stateful
from plm.training.step import Batch, Step, StepResult, Weights

# The field of a head's output that is its loss; the task itself then names it.
_LOSS = "loss"


class OneHead(nn.Module):
    """A model of several heads, asked for one of them: `OneHead(model, "slots")(**batch)`.

    model: takes `head`, as plm.heads.model.Model does. Nothing is copied; mode and weights are those of the model.
    """

    def __init__(self, model: nn.Module, head: str) -> None:
        super().__init__()
        self.model, self.head = model, head
        self.training = model.training

    def forward(self, *arguments: Any, **named: Any) -> Any:
        """Whatever the head returns."""
        return self.model(*arguments, head=self.head, **named)


@dataclass(frozen=True)
class MixtureStep:
    """The step of the task that a batch says it is of, on the head of the same name.

    steps: by task, in the order of their numbers, those of plm.data.Mixture: SupervisedStep(weigh=task.weigh,
        factors=task.loss_factors), or any other.
    loss_weights: how much each task counts; 1 where not named.

    A loss is named for its task, "slots", or if the head has several "slots.start_loss"; so each has a denominator of
    its own. The loss of an update is the sum over the tasks in it. Logs are named "slots.accuracy".
    """

    steps: Mapping[str, Step]
    loss_weights: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, weight in self.loss_weights.items():
            if name not in self.steps:
                raise ConfigError(f"loss_weights: no task {name!r}{did_you_mean(name, self.steps)}")
            if not 0.0 < weight < float("inf"):
                raise ConfigError(f"loss_weights: {name}: expected a positive number, got {weight}")

    @property
    def tasks(self) -> Sequence[str]:
        """Names of the tasks, by number."""
        return list(self.steps)

    def weigh(self, batch: Batch) -> Weights:
        """What each loss of the task is a mean over. Raises TrainingError for a batch of no task."""
        task = self._task(batch)
        return {_named(task, name): weight for name, weight in self.steps[task].weigh(batch).items()}

    def __call__(self, model: nn.Module, batch: Batch) -> StepResult:
        """The losses of the task, times its weight."""
        task = self._task(batch)
        result, weight = self.steps[task](OneHead(model, task), batch), self.loss_weights.get(task, 1.0)
        losses: dict[str, Tensor] = {_named(task, name): loss * weight for name, loss in result.losses.items()}
        return StepResult(losses, {f"{task}.{name}": value for name, value in result.logs.items()})

    def state_dict(self) -> dict[str, Any]:
        """That of every step that has one."""
        return {name: step.state_dict() for name, step in self.steps.items() if is_stateful(step)}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Go on from such a state."""
        for name, state in state_dict.items():
            step = self.steps[name]
            assert is_stateful(step), "as when the state was taken"
            step.load_state_dict(state)

    def _task(self, batch: Batch) -> str:
        if "task" not in batch:
            raise TrainingError(f'a batch of several tasks needs "task", its number (it has: {", ".join(batch)})')
        number, tasks = int(batch["task"]), self.tasks
        if not 0 <= number < len(tasks):
            raise TrainingError(
                f"a batch says that it is of task {number}, and there are {len(tasks)}: {', '.join(tasks)}"
            )
        return tasks[number]


def _named(task: str, loss: str) -> str:
    return task if loss == _LOSS else f"{task}.{loss}"
