"""What a model says about data: its outputs batch by batch, its logits in order, its metrics."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sized
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm import tqdm

from plm.errors import DataError, ShapeError
from plm.metrics.classification import DEFAULT_METRICS, ProblemType, compute_metrics, decide
from plm.training.distributed import ALONE, Processes, is_sharded, join
from plm.training.precision import Precision, autocast
from plm.training.shares import in_groups
from plm.training.step import Batch, model_inputs

Result = TypeVar("Result")
"""What is kept of a model's output for one example: small, on the CPU, picklable."""


def outputs(
    model: nn.Module,
    batches: Iterable[Batch],
    *,
    device: torch.device | str | None = None,
    precision: Precision = "fp32",
    processes: Processes = ALONE,
) -> Iterator[tuple[Batch, Any]]:
    """Each batch, as it came, with the model's output for it, which is on the device; nothing is kept.

    device: None = that of the model's first parameter. Labels are not passed to the model.
    processes: that share the batches, the same in each: every batch comes in one of them, in turn.
    The model is in evaluation mode inside and as before afterwards; no gradients. Shows a progress bar on a terminal.
    """
    where = next(model.parameters()).device if device is None else torch.device(device)
    was_training = model.training
    model.eval()
    total = -(-len(batches) // processes.count) if isinstance(batches, Sized) else None
    mine = _turns(batches, processes, is_sharded(model))
    is_hidden = None if processes.is_main else True
    try:
        for batch, counts in tqdm(
            mine, total=total, desc="predicting", unit="batch", disable=is_hidden, delay=2, leave=False
        ):
            inputs = {name: tensor.to(where, non_blocking=True) for name, tensor in model_inputs(batch).items()}
            inputs.pop("labels", None)
            with torch.no_grad(), autocast(precision, where):
                output = model(**inputs)
            if counts:
                yield batch, output
    finally:
        model.train(was_training)


def _turns(batches: Iterable[Batch], processes: Processes, in_step: bool) -> Iterator[tuple[Batch, bool]]:
    """The batches whose turn it is in this process, and whether they count.

    in_step: True = all processes get equally many: who has none left gets one that does not count.
    """
    for together in in_groups(batches, processes.count):
        if processes.rank < len(together):
            yield together[processes.rank], True
        elif in_step:
            yield together[0], False


def collect(
    model: nn.Module,
    batches: Iterable[Batch],
    results: Callable[[Batch, Any], Mapping[int, Result]],
    *,
    precision: Precision = "fp32",
    processes: Processes = ALONE,
) -> dict[int, Result]:
    """What `results` makes of every batch and the model's output for it, by index, in the order of the indexes.

    processes: that share the work; each gets the results of all. Arguments else as for `outputs`.
    Raises DataError when two batches have results for the same index.
    """
    own: dict[int, Result] = {}
    found = 0
    for batch, output in outputs(model, batches, precision=precision, processes=processes):
        new = results(batch, output)
        own.update(new)
        found += len(new)
    everything = {index: result for each in processes.gather(own) for index, result in each.items()}
    if len(everything) < sum(processes.gather(found)):
        raise DataError("several batches have results for the same index: every example must be in one batch only")
    return dict(sorted(everything.items()))


def predict(
    model: nn.Module,
    batches: Iterable[Batch],
    *,
    device: torch.device | str | None = None,
    precision: Precision = "fp32",
    processes: Processes = ALONE,
) -> tuple[Tensor, Tensor | None]:
    """(logits, labels) of all examples, on the CPU: (examples, ...), float32, and as in the batches, or None.

    In the original order if batches carry "index", else as they come. For outputs with one row for each example; where
    rows differ in length, as in token classification, use `outputs`.
    processes: that share the work; each gets everything.
    Raises DataError without batches, ShapeError when logits of different batches do not fit together.
    """
    own: list[dict[str, Tensor]] = []
    for batch, output in outputs(model, batches, device=device, precision=precision, processes=processes):
        kept = {name: batch[name].cpu() for name in ("labels", "index") if name in batch}
        own.append({"logits": output.logits.to("cpu", torch.float32), **kept})
    # Batches went to the processes in turn, so in turn they come back.
    turns = itertools.zip_longest(*processes.gather(own))
    parts = [part for turn in turns for part in turn if part is not None]
    if not parts:
        raise DataError("there are no batches to predict")
    shapes = {tuple(part["logits"].shape[1:]) for part in parts}
    if len(shapes) > 1:
        raise ShapeError(
            f"logits of different batches have different shapes {sorted(shapes)}; use plm.training.outputs"
        )
    logits, labels, indexes = (
        torch.cat([part[name] for part in parts]) if all(name in part for part in parts) else None
        for name in ("logits", "labels", "index")
    )
    assert logits is not None
    order = slice(None) if indexes is None else indexes.argsort()
    return logits[order], None if labels is None else labels[order]


@dataclass(frozen=True)
class Evaluation:
    """The metrics of a classifier or regressor on a data set, for Trainer(evaluate=...).

    batches: read anew each time; with labels.
    metrics: names in METRICS; None = those of DEFAULT_METRICS. The first one is what the Trainer judges by if not told.
    processes: that share the work; None = those that torchrun started.
    """

    batches: Iterable[Batch]
    problem_type: ProblemType = "single_label_classification"
    metrics: tuple[str, ...] | None = None
    precision: Precision = "fp32"
    processes: Processes | None = None

    def __call__(self, model: nn.Module) -> dict[str, float]:
        """The metrics by name, and "loss", the mean over all examples. Raises DataError when labels are missing."""
        logits, labels = predict(model, self.batches, precision=self.precision, processes=self.processes or join())
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
