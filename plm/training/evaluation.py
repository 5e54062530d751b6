"""What a model says about data: its outputs batch by batch, its logits in order, its metrics."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sized
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm import tqdm

from plm.errors import DataError, ShapeError
from plm.metrics.classification import DEFAULT_METRICS, ProblemType, compute_metrics, decide
from plm.training.precision import Precision, autocast
from plm.training.step import Batch, model_inputs


def outputs(
    model: nn.Module,
    batches: Iterable[Batch],
    *,
    device: torch.device | str | None = None,
    precision: Precision = "fp32",
) -> Iterator[tuple[Batch, Any]]:
    """Each batch, as it came, with the model's output for it, which is on the device; nothing is kept.

    device: None = that of the model's first parameter. Labels are not passed to the model.
    The model is in evaluation mode inside and as before afterwards; no gradients. Shows a progress bar on a terminal.
    """
    where = next(model.parameters()).device if device is None else torch.device(device)
    was_training = model.training
    model.eval()
    total = len(batches) if isinstance(batches, Sized) else None
    try:
        for batch in tqdm(batches, total=total, desc="predicting", unit="batch", disable=None, delay=2, leave=False):
            inputs = {name: tensor.to(where, non_blocking=True) for name, tensor in model_inputs(batch).items()}
            inputs.pop("labels", None)
            with torch.no_grad(), autocast(precision, where):
                output = model(**inputs)
            yield batch, output
    finally:
        model.train(was_training)


def predict(
    model: nn.Module,
    batches: Iterable[Batch],
    *,
    device: torch.device | str | None = None,
    precision: Precision = "fp32",
) -> tuple[Tensor, Tensor | None]:
    """(logits, labels) of all examples, on the CPU: (examples, ...), float32, and as in the batches, or None.

    In the original order if batches carry "index", else as they come. For outputs with one row for each example; where
    rows differ in length, as in token classification, use `outputs`.
    Raises DataError without batches, ShapeError when logits of different batches do not fit together.
    """
    logits, labels, indexes = [], [], []
    for batch, output in outputs(model, batches, device=device, precision=precision):
        logits.append(output.logits.to("cpu", torch.float32))
        labels += [batch["labels"].cpu()] if "labels" in batch else []
        indexes += [batch["index"].cpu()] if "index" in batch else []
    if not logits:
        raise DataError("there are no batches to predict")
    shapes = {tuple(part.shape[1:]) for part in logits}
    if len(shapes) > 1:
        raise ShapeError(
            f"logits of different batches have different shapes {sorted(shapes)}; use plm.training.outputs"
        )
    order = torch.cat(indexes).argsort() if indexes else slice(None)
    return torch.cat(logits)[order], torch.cat(labels)[order] if labels else None


@dataclass(frozen=True)
class Evaluation:
    """The metrics of a classifier or regressor on a data set, for Trainer(evaluate=...).

    batches: read anew each time; with labels.
    metrics: names in METRICS; None = those of DEFAULT_METRICS. The first one is what the Trainer judges by if not told.
    """

    batches: Iterable[Batch]
    problem_type: ProblemType = "single_label_classification"
    metrics: tuple[str, ...] | None = None
    precision: Precision = "fp32"

    def __call__(self, model: nn.Module) -> dict[str, float]:
        """The metrics by name, and "loss", the mean over all examples. Raises DataError when labels are missing."""
        logits, labels = predict(model, self.batches, precision=self.precision)
        if labels is None:
            raise DataError("an evaluation needs batches with labels")
        names = DEFAULT_METRICS[self.problem_type] if self.metrics is None else self.metrics
        results = compute_metrics(names, decide(logits.numpy(), self.problem_type), labels.numpy())
        return results | {"loss": float(_LOSSES[self.problem_type](logits, labels))}


_LOSSES: Mapping[ProblemType, Callable[[Tensor, Tensor], Tensor]] = {
    "single_label_classification": F.cross_entropy,
    "multi_label_classification": F.binary_cross_entropy_with_logits,
    "regression": lambda logits, labels: F.mse_loss(logits.squeeze(-1), labels),
}
