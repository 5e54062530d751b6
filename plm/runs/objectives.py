"""What a model is pretrained for: its head, its losses and what they are means over."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from plm.auto.model import PretrainedModel
from plm.auto.models import AutoModel, AutoModelForCausalLM, AutoModelForMaskedLM, AutoModelForPreTraining
from plm.blocks.labels import IGNORED_LABEL
from plm.blocks.layout import Pattern
from plm.errors import ConfigError
from plm.runs.report import flops_per_token
from plm.training import Batch, SupervisedStep
from plm.training.step import Weights, count_labels

ACCURACY = ".accuracy"
"""What follows the name of a loss where it is the share of right answers that is meant."""


@dataclass(frozen=True, kw_only=True)
class Objective:
    """One way of pretraining.

    auto: the door to models with its head. pattern: attention that it needs; with another one a model would see what it
        is to predict, or not see what it may.
    words: the loss of the words, a field of the head's output. weigh: batch -> what each loss is a mean over.
    measure: (output, batch) -> share of right answers of each loss, named "loss_of_the_head.accuracy".
    targets: batch -> the words to predict.
    metrics: what an evaluation calls the losses and accuracies.
    """

    auto: type[AutoModel]
    pattern: Pattern
    words: str
    weigh: Callable[[Batch], Weights]
    measure: Callable[[Any, Batch], Mapping[str, Tensor]]
    targets: Callable[[Batch], Tensor]
    metrics: Mapping[str, str]

    @property
    def step(self) -> SupervisedStep:
        """For a Trainer."""
        return SupervisedStep(weigh=self.weigh, logs=self.measure)

    def check(self, model: PretrainedModel) -> None:
        """Raise ConfigError for a model that attends otherwise."""
        pattern = model.config.attention_pattern
        if pattern != self.pattern:
            raise ConfigError(
                f"model: its attention_pattern is {pattern!r}, and with these examples it has to be {self.pattern!r}; "
                'take other examples ("pairs" for BERT and NEZHA, "stretches" for GPT-1), or another model'
            )

    def flops_per_token(self, model: PretrainedModel, share: float) -> float:
        """As plm.runs.report.flops_per_token, with the product of the words to predict and the word embeddings.

        share: of the tokens that are predicted.
        """
        return flops_per_token(model) + 6.0 * share * model.backbone.embeddings.word.weight.numel()


def _weigh_pairs(batch: Batch) -> Weights:
    return {"masked_lm_loss": count_labels(batch), "next_sentence_loss": len(batch["next_sentence_label"])}


def _measure_pairs(output: Any, batch: Batch) -> dict[str, Tensor]:
    right = output.seq_relationship_logits.argmax(-1) == batch["next_sentence_label"]
    return {
        "masked_lm_loss.accuracy": _masked_accuracy(output.prediction_logits, batch["labels"]),
        "next_sentence_loss.accuracy": right.float().mean(),
    }


def _weigh_masked(batch: Batch) -> Weights:
    return {"loss": count_labels(batch)}


def _measure_masked(output: Any, batch: Batch) -> dict[str, Tensor]:
    return {"loss.accuracy": _masked_accuracy(output.logits, batch["labels"])}


def _masked_accuracy(logits: Tensor, labels: Tensor) -> Tensor:
    """logits: (masked words, vocabulary), in the order of the labels of a batch. Waits for no device."""
    labels = labels.flatten()
    places = torch.nonzero_static(labels != IGNORED_LABEL, size=len(logits)).squeeze(-1)
    return _accuracy(logits, labels[places])


def _masked(batch: Batch) -> Tensor:
    """(masked words,)."""
    return batch["labels"][batch["labels"] != IGNORED_LABEL]


def _following(batch: Batch) -> Tensor:
    """(texts, length - 1), the label of the token after each; -100 where there is none."""
    return batch["labels"][..., 1:]


def _weigh_following(batch: Batch) -> Weights:
    return {"loss": (_following(batch) != IGNORED_LABEL).sum()}


def _measure_following(output: Any, batch: Batch) -> dict[str, Tensor]:
    return {"loss.accuracy": _accuracy(output.logits[..., :-1, :], _following(batch))}


def _accuracy(logits: Tensor, labels: Tensor) -> Tensor:
    counts = labels != IGNORED_LABEL
    right = (logits.detach().argmax(-1) == labels) & counts
    return right.sum() / counts.sum().clamp(min=1)


MASKED_WORDS_AND_NEXT_SENTENCE = Objective(
    auto=AutoModelForPreTraining,
    pattern="full",
    words="masked_lm_loss",
    weigh=_weigh_pairs,
    measure=_measure_pairs,
    targets=_masked,
    metrics={
        "masked_lm_loss": "masked_lm_loss",
        "masked_lm_loss.accuracy": "masked_lm_accuracy",
        "next_sentence_loss": "next_sentence_loss",
        "next_sentence_loss.accuracy": "next_sentence_accuracy",
    },
)
MASKED_WORDS = Objective(
    auto=AutoModelForMaskedLM,
    pattern="full",
    words="loss",
    weigh=_weigh_masked,
    measure=_measure_masked,
    targets=_masked,
    metrics={"loss": "masked_lm_loss", "loss.accuracy": "masked_lm_accuracy"},
)
NEXT_WORD = Objective(
    auto=AutoModelForCausalLM,
    pattern="causal",
    words="loss",
    weigh=_weigh_following,
    measure=_measure_following,
    targets=lambda batch: _following(batch)[_following(batch) != IGNORED_LABEL],
    metrics={"loss": "loss", "loss.accuracy": "accuracy"},
)
