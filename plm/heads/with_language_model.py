"""GPT-1's fine-tuning: a decision about texts and, besides, their next words.

OpenAI's train.py adds half the loss of the language model to that of the decision. Where this differs from train.py:
its softmax over next words has 512 rows more, those of the position embeddings, which it keeps in the same matrix.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from plm.blocks.labels import IGNORED_LABEL
from plm.blocks.layout import Layout, Packed
from plm.blocks.linear import Linear
from plm.errors import ConfigError, ShapeError
from plm.heads.causal_lm import following_labels
from plm.heads.double_heads import LM_WEIGHT
from plm.heads.head import HEADS, HeadSpec, Targets, mean_cross_entropy, never
from plm.heads.output import DecisionOutput
from plm.heads.sequence_classification import classification_loss, without_absent
from plm.models.backbone import Encoding
from plm.models.config import ModelConfig


class SummedTexts(nn.Module):
    """Classes of one text, (batch, length), or of several that are summed, (batch, texts, length).

    Dropout and a linear layer on the sum of the states of the last tokens. Source: Radford et al. 2018, 3.3.
    """

    def __init__(self, *, hidden_size: int, outputs: int, dropout: float, bias: bool) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.linear = Linear(hidden_size, outputs, bias=bias)

    def forward(self, encoding: Encoding) -> Tensor:
        """(batch, classes)."""
        states = encoding.by_text(encoding.last_tokens)
        logits: Tensor = self.linear(self.dropout(states if states.dim() == 2 else states.sum(1)))
        return logits


class ComparedTexts(nn.Module):
    """One score for each of several texts, (batch, choices, length).

    Dropout on the states of the last tokens, the same for all choices of an example, and a linear layer. Texts without
    a live token get the lowest finite value. Source: openai/finetune-transformer-lm, train.py, clf and model.
    """

    def __init__(self, *, hidden_size: int, dropout: float) -> None:
        super().__init__()
        self.dropout = dropout
        self.linear = Linear(hidden_size, 1)

    def forward(self, encoding: Encoding) -> Tensor:
        """(batch, choices). Raises ShapeError when input_ids have no dimension for choices."""
        if len(encoding.leading) < 2:
            raise ShapeError("a choice needs input_ids of shape (batch, choices, length)")
        states = encoding.by_text(encoding.last_tokens)
        kept = F.dropout(states.new_ones(states.shape[0], 1, states.shape[-1]), self.dropout, self.training)
        return without_absent(encoding, self.linear(states * kept).squeeze(-1))


class WithLanguageModel(nn.Module):
    """A decision and the tied language model of the backbone, which has no parameters of its own.

    labels: what the decision learns, see `loss`.
    lm_labels: shaped like input_ids, int64; usually the input ids, -100 where nothing is to be learned. They count only
        beside labels: without, nothing is learned, and the words are not computed.
    loss: (logits, labels) -> mean loss of the decision.
    """

    targets = ("labels", "lm_labels")

    def __init__(self, decision: nn.Module, loss: Callable[[Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.decision = decision
        self.loss = loss

    def forward(self, encoding: Encoding, targets: Targets) -> DecisionOutput:
        """See the class and DecisionOutput."""
        logits = self.decision(encoding)
        if "labels" not in targets:
            return DecisionOutput(logits=logits)
        decision_loss = self.loss(logits, targets["labels"])
        if "lm_labels" not in targets:
            return DecisionOutput(logits=logits, loss=decision_loss, decision_loss=decision_loss)
        lm_loss, text_lm_loss = next_token_losses(encoding, targets["lm_labels"])
        return DecisionOutput(
            logits=logits,
            loss=decision_loss + LM_WEIGHT * text_lm_loss,
            decision_loss=decision_loss,
            lm_loss=lm_loss,
            text_lm_loss=text_lm_loss,
        )


def next_token_losses(encoding: Encoding, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Cross-entropy in nats of the next tokens: mean over all of them, and mean over the texts of each text's mean.

    labels: (*leading, length), int64. Texts without a labelled next token do not count; 0 when there are none.
    """
    following = following_labels(encoding, labels)
    counted = following != IGNORED_LABEL
    logits = F.linear(encoding.hidden[counted], encoding.word_embeddings)
    losses = F.cross_entropy(logits.float(), following[counted], reduction="none")
    texts = _texts(encoding.layout, following)[counted]
    counts = texts.bincount()
    mean_by_text = (losses / counts[texts]).sum() / counts.count_nonzero().clamp(min=1)
    return losses.sum() / max(len(losses), 1), mean_by_text


def _texts(layout: Layout, rows: Tensor) -> Tensor:
    """Which text each of the rows belongs to, as any number of its own; shaped like rows, int64."""
    if isinstance(layout, Packed):
        return torch.bucketize(torch.arange(len(rows), device=rows.device), layout.ends, right=True)
    return torch.arange(len(rows), device=rows.device)[:, None].expand_as(rows)


def build_classification(config: ModelConfig) -> WithLanguageModel:
    """See SummedTexts."""
    _require_tied(config)
    dropout = config.hidden_dropout_prob if config.classifier_dropout is None else config.classifier_dropout
    decision = SummedTexts(
        hidden_size=config.hidden_size, outputs=config.num_labels, dropout=dropout, bias=config.classifier_bias
    )
    return WithLanguageModel(decision, partial(classification_loss, problem_type=config.problem_type))


def build_choice(config: ModelConfig) -> WithLanguageModel:
    """See ComparedTexts."""
    _require_tied(config)
    dropout = getattr(config, "summary_dropout", config.hidden_dropout_prob)
    return WithLanguageModel(ComparedTexts(hidden_size=config.hidden_size, dropout=dropout), mean_cross_entropy)


def _require_tied(config: ModelConfig) -> None:
    if config.language_model_transform or not config.tie_word_embeddings:
        raise ConfigError(
            f"a language model beside a decision must be the word embeddings alone, as GPT-1's is: expected "
            f"language_model_transform False and tie_word_embeddings True, got {config.language_model_transform} and "
            f"{config.tie_word_embeddings}"
        )


# Their tensors are those of transformers' OpenAIGPTForSequenceClassification (where classifier_bias is False) and
# OpenAIGPTDoubleHeadsModel, which open them.
HEADS.add(
    "classification_with_lm",
    HeadSpec(
        build=build_classification,
        needs_pooler=never,
        parts=(("decision.linear", "classifier"),),
        architecture="ForSequenceClassificationWithLM",
    ),
)
HEADS.add(
    "multiple_choice_with_lm",
    HeadSpec(
        build=build_choice,
        needs_pooler=never,
        parts=(("decision.linear", "choice"),),
        architecture="ForMultipleChoiceWithLM",
    ),
)
