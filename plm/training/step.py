"""What one training differs in from another: from a model and a batch to a loss."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from torch import Tensor, nn

from plm.errors import TrainingError

IGNORED_LABEL = -100

# Entries of a batch that say where it comes from; models never see them.
BOOKKEEPING = frozenset({"index"})

Batch = Mapping[str, Tensor]


@dataclass(frozen=True)
class StepResult:
    """loss: scalar, the mean over `weight` examples or tokens, with gradient.

    weight: what the mean was taken over. Several batches in one update are weighed by it, so that the update is that of
        one large batch, however unequal they are.
    logs: further means over the same examples, for the log: parts of the loss, accuracies.
    """

    loss: Tensor
    weight: float | Tensor
    logs: Mapping[str, float | Tensor] = field(default_factory=dict)


class Step(Protocol):
    """A training objective. Fine-tuning, distillation and several tasks at once are different steps of one trainer."""

    def __call__(self, model: nn.Module, batch: Batch) -> StepResult:
        """The loss of a batch, whose tensors are on the device of the model."""
        ...


def count_labels(batch: Batch) -> Tensor | int:
    """How many labels a mean over labels is taken over: whole numbers other than -100, or all floating ones.

    Raises TrainingError when the batch has no "labels".
    """
    if "labels" not in batch:
        raise TrainingError(f'cannot train on a batch without "labels" (it has: {", ".join(batch)})')
    labels = batch["labels"]
    return labels.numel() if labels.is_floating_point() else (labels != IGNORED_LABEL).sum()


def count_tokens(batch: Batch) -> int:
    """Real tokens of a batch: ones of its attention_mask, or all of its input_ids; 0 when it has neither."""
    if "attention_mask" in batch:
        return int(batch["attention_mask"].sum())
    return batch["input_ids"].numel() if "input_ids" in batch else 0


@dataclass(frozen=True)
class SupervisedStep:
    """The loss that the model itself computes from the labels in the batch: `model(**batch).loss`.

    count: batch -> what that loss is a mean over.
    """

    count: Callable[[Batch], float | Tensor] = count_labels

    def __call__(self, model: nn.Module, batch: Batch) -> StepResult:
        """Raises TrainingError when the model returns no loss."""
        weight = self.count(batch)
        output = model(**model_inputs(batch))
        if output.loss is None:
            raise TrainingError("the model returned no loss; its head must take the labels in the batch")
        return StepResult(loss=output.loss, weight=weight)


def model_inputs(batch: Batch) -> dict[str, Tensor]:
    """The entries of a batch that are arguments of a model."""
    return {name: tensor for name, tensor in batch.items() if name not in BOOKKEEPING}
