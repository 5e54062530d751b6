"""What one training differs in from another: from a model and a batch to losses, and what they are means over."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from torch import Tensor, nn

from plm.blocks.labels import IGNORED_LABEL
from plm.errors import TrainingError

# Entries of a batch that say where it comes from: they stay on the CPU, and models never see them.
BOOKKEEPING = frozenset({"index", "task"})

Batch = Mapping[str, Tensor]
"""Arguments of a model by name; also "index", (rows,), the numbers of its examples, and "task", a number."""

Weights = Mapping[str, float | Tensor]
"""What each loss of a batch is a mean over, by the name of the loss: a number of examples or tokens."""


@dataclass(frozen=True)
class StepResult:
    """losses: by name, each a scalar with gradient, the mean over what `Step.weigh` says; what is trained on is their
        sum.
    logs: further means for the log, such as accuracies: "mlm_loss.accuracy" over what the loss "mlm_loss" is a mean
        over, any other name over what the first loss is.
    """

    losses: Mapping[str, Tensor]
    logs: Mapping[str, float | Tensor] = field(default_factory=dict)


class Step(Protocol):
    """A training objective. Fine-tuning, distillation and several tasks at once are different steps of one trainer.

    An update takes several batches, perhaps in several processes. Its loss is, for each name, the sum of loss * weight
    over all of them by the sum of the weights, which is the loss of one batch as large as all of them, however unequal
    they are. A batch may lack some of the names.

    A step of several tasks may have `tasks`, their names in the order of their numbers, for messages.
    """

    def weigh(self, batch: Batch) -> Weights:
        """What each loss is a mean over. Comes before any forward pass; the batch is where it was made, on the CPU."""
        ...

    def __call__(self, model: nn.Module, batch: Batch) -> StepResult:
        """The losses of a batch, whose tensors, but for the bookkeeping, are on the device of the model."""
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


def count_positions(batch: Batch) -> int:
    """Tokens of a batch and its padding: all of its input_ids; without them, as count_tokens."""
    return batch["input_ids"].numel() if "input_ids" in batch else count_tokens(batch)


def weigh_labels(batch: Batch) -> Weights:
    """The weights of a model with one loss, the mean over its labels."""
    return {"loss": count_labels(batch)}


@dataclass(frozen=True, kw_only=True)
class SupervisedStep:
    """The losses that the model itself computes from the targets in the batch: fields of `model(**batch)`.

    weigh: batch -> what each of them is a mean over, by field; the fields that it names are trained on.
    factors: how much each counts; 1 where not named.
    logs: (output, batch) -> further means for the log, as in StepResult; None = none.
    """

    weigh: Callable[[Batch], Weights] = weigh_labels
    factors: Mapping[str, float] = field(default_factory=dict)
    logs: Callable[[Any, Batch], Mapping[str, float | Tensor]] | None = None

    def __call__(self, model: nn.Module, batch: Batch) -> StepResult:
        """Raises TrainingError when the model does not return one of the losses."""
        output = model(**model_inputs(batch))
        losses = {name: self.loss(output, name) for name in self.weigh(batch)}
        return StepResult(losses, {} if self.logs is None else self.logs(output, batch))

    def loss(self, output: object, name: str) -> Tensor:
        """A loss that a model returned, times its factor. Raises TrainingError when it returned none of this name."""
        loss: Tensor | None = getattr(output, name, None)
        if loss is None:
            raise TrainingError(f"the model returned no {name!r}; its head must take the targets in the batch")
        return loss * self.factors[name] if name in self.factors else loss


def model_inputs(batch: Batch) -> dict[str, Tensor]:
    """The entries of a batch that are arguments of a model."""
    return {name: tensor for name, tensor in batch.items() if name not in BOOKKEEPING}
