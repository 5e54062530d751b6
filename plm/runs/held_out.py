"""How a model does on held-out text, beside what guessing by how frequent words are would score."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from plm.corpus.batches import CorpusBatches
from plm.errors import ConfigError, DataError, did_you_mean
from plm.metrics.perplexity import perplexity
from plm.runs.example_options import Source
from plm.runs.objectives import ACCURACY, Objective
from plm.training import Batch, Precision, Step, StepResult
from plm.training.distributed import Processes, join
from plm.training.evaluation import collect

Counts = NDArray[np.int64]

# What labels are called on their way through plm.training.outputs, which keeps labels from models.
_LABELS = "judged_labels"

# Tokens that are counted of a large corpus; more would change no digit.
_COUNTED = 1 << 27


def count_tokens(corpus: Source) -> Counts:
    """(vocabulary,), how often each token is in a corpus, or in an even sample of a large one."""
    return corpus.count_tokens(_COUNTED)


def count_targets(batches: Iterable[Batch], objective: Objective, size: int) -> Counts:
    """(size,), how often each token is to be predicted."""
    counts = np.zeros(size, dtype=np.int64)
    for batch in batches:
        counts += np.bincount(objective.targets(batch).numpy(), minlength=size)
    return counts


def entropy(counts: Counts) -> float:
    """Loss in nats of guessing by how frequent tokens are, on the text that they were counted in."""
    shares = counts[counts > 0] / counts.sum()
    return -float((shares * np.log(shares)).sum())


@dataclass(frozen=True, kw_only=True)
class Unigram:
    """What a model would score that knows only how frequent each token is: loss in nats, share of right guesses."""

    loss: float
    accuracy: float

    @classmethod
    def of(cls, learned: Counts, asked: Counts) -> Unigram:
        """learned, asked: (vocabulary,), how often each token is in the training text, and is to be predicted.

        One more of each is added to `learned`, so that what never came there is possible.
        """
        if not asked.any():
            raise DataError("the evaluation has no token to predict")
        shares = (learned + 1.0) / (learned.sum() + len(learned))
        loss = -float((asked * np.log(shares)).sum() / asked.sum())
        return cls(loss=loss, accuracy=float(asked[learned.argmax()] / asked.sum()))


@dataclass(frozen=True, kw_only=True)
class PretrainingEvaluation:
    """How well a model does what it is pretrained for on held-out text, for Trainer(evaluate=...).

    batches: read anew each time, always the same. precision: as in training.
    unigram: what to compare with; its numbers stand beside those of the model.
    processes: that share the work; None = those that torchrun started.
    """

    objective: Objective
    batches: HeldOut
    unigram: Unigram
    precision: Precision = "fp32"
    processes: Processes | None = None

    def __call__(self, model: nn.Module) -> dict[str, float]:
        """The metrics by name; "loss", the sum of the losses, judges. Each is a mean over all batches at once."""
        processes = join() if self.processes is None else self.processes
        judged, batches = _Judged(model, self.objective.step), _Hidden(self.batches)
        parts = collect(judged, batches, self._sums, precision=self.precision, processes=processes).values()
        means = {}
        for name in self.objective.metrics:
            weights, sums = zip(*(part[name] for part in parts), strict=True)
            means[name] = math.fsum(sums) / max(1.0, math.fsum(weights))
        total = math.fsum(mean for name, mean in means.items() if not name.endswith(ACCURACY))
        shown = {self.objective.metrics[name]: mean for name, mean in means.items()}
        found = {"loss": total, **shown, "perplexity": perplexity(means[self.objective.words])}
        return found | {"unigram_loss": self.unigram.loss, "unigram_accuracy": self.unigram.accuracy}

    def require_metric(self, name: str | None) -> None:
        """Raise ConfigError for a name that is no metric which could tell the best weights. None = the first."""
        known = list(dict.fromkeys(["loss", *self.objective.metrics.values(), "perplexity"]))
        if name is not None and name not in known:
            raise ConfigError(
                f"metric_for_best: no metric {name!r}{did_you_mean(name, known)} (there are: {', '.join(known)})"
            )

    def fingerprint(self) -> dict[str, int | str]:
        """Facts that tell this text from other text."""
        return self.batches.fingerprint()

    def _sums(self, batch: Batch, result: StepResult) -> dict[int, dict[str, tuple[float, float]]]:
        """Of each metric of a batch what it is a mean over, and the sum; under the number of its first example."""
        weights = {name: float(weight) for name, weight in self.objective.weigh(_shown(batch)).items()}
        found = {name: float(value) for name, value in {**result.losses, **result.logs}.items()}
        counts = {name: weights[name.removesuffix(ACCURACY)] for name in found}
        return {int(batch["index"][0]): {name: (counts[name], counts[name] * found[name]) for name in found}}


class HeldOut:
    """The first batches of the first pass over a text, which are always the same: len(), iteration, held_out[number].

    batches: in an order that was drawn. most: no more than so many of them; None = all.
    """

    def __init__(self, batches: CorpusBatches, *, most: int | None = None) -> None:
        self.batches = batches
        self.count = len(batches) if most is None else min(most, len(batches))

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, number: int) -> Batch:
        if not 0 <= number < self.count:
            raise IndexError(f"batch {number} of {self.count}")
        return self.batches.epoch(0)[number]

    def __iter__(self) -> Iterator[Batch]:
        return (self[number] for number in range(self.count))

    def fingerprint(self) -> dict[str, int | str]:
        """Facts that tell these batches from others."""
        return {**self.batches.fingerprint(), "batches taken": self.count}


class _Hidden:
    """Batches whose labels have another name, under which what computes outputs passes them on."""

    def __init__(self, batches: HeldOut) -> None:
        self.batches = batches

    def __len__(self) -> int:
        return len(self.batches)

    def __getitem__(self, number: int) -> Batch:
        batch = dict(self.batches[number])
        return batch | {_LABELS: batch.pop("labels")}

    def __iter__(self) -> Iterator[Batch]:
        return (self[number] for number in range(len(self)))


class _Judged(nn.Module):
    """A model whose output is the result of a step: with labels it computes logits where words are masked alone."""

    def __init__(self, model: nn.Module, step: Step) -> None:
        super().__init__()
        self.model, self.step = model, step
        self.training = model.training

    def forward(self, **batch: Tensor) -> StepResult:
        """See the class."""
        return self.step(self.model, _shown(batch))


def _shown(batch: Batch) -> Batch:
    return {"labels" if name == _LABELS else name: tensor for name, tensor in batch.items()}
