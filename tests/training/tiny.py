"""A tiny classifier and its batches, for tests of training."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from plm.training import Batch, StepResult, SupervisedStep, TrainingConfig
from plm.training.step import Weights, weigh_labels


@dataclass
class Output:
    """What models return."""

    logits: Tensor
    loss: Tensor | None = None


class TinyModel(nn.Module):
    """Mean of word vectors, norm, dropout, two classes."""

    def __init__(self, *, dropout: float = 0.0, seed: int = 0) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.embedding = nn.Embedding(11, 8)
            self.norm = nn.LayerNorm(8)
            self.dropout = nn.Dropout(dropout)
            self.classifier = nn.Linear(8, 2)

    def forward(self, input_ids: Tensor, attention_mask: Tensor, labels: Tensor | None = None) -> Output:
        live = attention_mask[..., None].float()
        mean = (self.embedding(input_ids) * live).sum(1) / live.sum(1)
        logits = self.classifier(self.dropout(self.norm(mean)))
        return Output(logits, None if labels is None else F.cross_entropy(logits.float(), labels))


@dataclass
class Altered:
    """The step of a supervised model, with its loss changed by a function of loss and batch."""

    change: Callable[[Tensor, Batch], Tensor]
    weigh: Callable[[Batch], Weights] = weigh_labels

    def __call__(self, model: nn.Module, batch: Batch) -> StepResult:
        return StepResult({"loss": self.change(SupervisedStep()(model, batch).losses["loss"], batch)})


@dataclass
class TinyBatches:
    """Forty texts of one to six words in batches of the given sizes, over and over; class 1 = holds the word 1."""

    sizes: tuple[int, ...] = (8, 8, 8, 8, 8)
    asked: list[int] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.sizes)

    def epoch(self, number: int) -> list[dict[str, Tensor]]:
        self.asked.append(number)
        generator = torch.Generator().manual_seed(number)
        order = torch.randperm(40, generator=generator)
        return [examples(part) for part in order[: sum(self.sizes)].split(list(self.sizes))]


def examples(index: Tensor) -> dict[str, Tensor]:
    """The texts at these numbers, as a batch."""
    words = torch.randint(1, 11, (40, 6), generator=torch.Generator().manual_seed(7))
    live = torch.arange(6) < 1 + torch.arange(40)[:, None] % 6
    labels = ((words == 1) & live).any(1).long()
    return {
        "input_ids": words[index] * live[index],
        "attention_mask": live[index].long(),
        "labels": labels[index],
        "index": index,
    }


def config(**values: object) -> TrainingConfig:
    """A config for a short run; the learning rate is high because the model is tiny."""
    return TrainingConfig(**{"learning_rate": 1e-2, "num_train_epochs": 2, "eval_strategy": "no"} | values)  # type: ignore[arg-type]


def weights(model: nn.Module) -> dict[str, Tensor]:
    """A copy of a model's weights."""
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def distance(first: Mapping[str, Tensor], second: Mapping[str, Tensor]) -> float:
    """The largest difference between two sets of weights."""
    return max(float((first[name] - second[name]).abs().max()) for name in first)
