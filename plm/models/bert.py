"""BERT. Source: Devlin et al. 2019, https://arxiv.org/abs/1810.04805, and google-research/bert."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from plm.blocks.embeddings import Embeddings
from plm.blocks.kernels import DotProduct
from plm.models.backbone import Backbone
from plm.models.config import ModelConfig
from plm.models.family import block_config


@dataclass(frozen=True, kw_only=True)
class BertConfig(ModelConfig):
    """A BERT encoder, or a causal one with `attention_pattern="causal"` (the poem model)."""

    model_type: ClassVar[str] = "bert"


def build_bert(config: ModelConfig, *, pooler: bool = True) -> Backbone:
    """Learned positions, embedding norm, dot-product attention, tanh pooler."""
    return Backbone(
        embeddings=Embeddings(
            vocab_size=config.vocab_size,
            hidden_size=config.hidden_size,
            positions=config.max_position_embeddings,
            token_types=config.type_vocab_size,
            norm_eps=config.layer_norm_eps,
            dropout=config.hidden_dropout_prob,
        ),
        block=block_config(config),
        layers=config.num_hidden_layers,
        kernel=DotProduct(),
        pooler=pooler,
        pattern=config.attention_pattern,
        pad_token_id=config.pad_token_id,
    )
