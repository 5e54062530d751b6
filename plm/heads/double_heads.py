"""GPT-1's two heads at once: the next word, and one choice among several texts."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from plm.blocks.linear import Linear
from plm.errors import ShapeError
from plm.heads.causal_lm import next_token_loss
from plm.heads.head import HEADS, HeadSpec, Targets, mean_cross_entropy, never
from plm.heads.language_model import LanguageModel, build_language_model
from plm.heads.output import DoubleHeadsOutput
from plm.heads.sequence_classification import without_absent
from plm.models.backbone import Encoding
from plm.models.config import ModelConfig

LM_WEIGHT = 0.5


class DoubleHeads(nn.Module):
    """input_ids: (batch, choices, length).

    mc_token_ids: (batch, choices), int64, the token that decides; by default the last live one.
    labels: (batch, choices, length), next words as in CausalLanguageModel. mc_labels: (batch,), the right choice.
    loss: mc_loss + lm_weight * lm_loss, of those given. Source: Radford et al. 2018, equation 5 (0.5).
    Choices whose attention_mask is all zeros are not there: their mc_logits are the lowest finite value.
    plm.heads.with_language_model does the same for fine-tuning, without logits of the words.
    """

    targets = ("labels", "mc_labels", "mc_token_ids")

    def __init__(self, language_model: LanguageModel, *, hidden_size: int, dropout: float, lm_weight: float) -> None:
        super().__init__()
        self.language_model = language_model
        self.dropout = nn.Dropout(dropout)
        self.choice = Linear(hidden_size, 1)
        self.lm_weight = lm_weight

    def forward(self, encoding: Encoding, targets: Targets) -> DoubleHeadsOutput:
        """See the class. Raises ShapeError when input_ids have no dimension for choices."""
        if len(encoding.leading) < 2:
            raise ShapeError("double heads need input_ids of shape (batch, choices, length)")
        rows = self.language_model(encoding.hidden, encoding.word_embeddings)
        deciding = self.dropout(_deciding(encoding, targets.get("mc_token_ids")))
        mc_logits = without_absent(encoding, self.choice(deciding).squeeze(-1))
        lm_loss = next_token_loss(encoding, rows, targets["labels"]) if "labels" in targets else None
        mc_loss = mean_cross_entropy(mc_logits, targets["mc_labels"]) if "mc_labels" in targets else None
        loss = mc_loss
        if lm_loss is not None:
            loss = self.lm_weight * lm_loss + (0.0 if mc_loss is None else mc_loss)
        return DoubleHeadsOutput(
            logits=encoding.restore(rows), mc_logits=mc_logits, loss=loss, lm_loss=lm_loss, mc_loss=mc_loss
        )


def _deciding(encoding: Encoding, mc_token_ids: Tensor | None) -> Tensor:
    """(*leading, hidden), the state that decides about each text."""
    if mc_token_ids is None:
        return encoding.by_text(encoding.last_tokens)
    states = encoding.last_hidden_state
    index = mc_token_ids[..., None, None].expand(*mc_token_ids.shape, 1, states.shape[-1])
    return torch.gather(states, -2, index).squeeze(-2)


def build_double_heads(config: ModelConfig) -> DoubleHeads:
    """See DoubleHeads."""
    dropout = getattr(config, "summary_dropout", config.hidden_dropout_prob)
    language_model = build_language_model(config)
    return DoubleHeads(language_model, hidden_size=config.hidden_size, dropout=dropout, lm_weight=LM_WEIGHT)


HEADS.add(
    "double_heads",
    HeadSpec(
        build=build_double_heads,
        needs_pooler=never,
        parts=(("language_model", "language_model"), ("choice", "choice")),
        architecture="DoubleHeadsModel",
    ),
)
