"""GPT-1: a causal transformer without embedding norm, final norm and pooler.

Source: Radford et al. 2018, "Improving Language Understanding by Generative Pre-Training", and
openai/finetune-transformer-lm.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from plm.blocks.embeddings import Embeddings
from plm.blocks.kernels import DotProduct
from plm.blocks.layout import Pattern
from plm.config import require_probability
from plm.errors import ConfigError
from plm.models.backbone import Backbone
from plm.models.config import ModelConfig
from plm.models.family import block_config


@dataclass(frozen=True, kw_only=True)
class Gpt1Config(ModelConfig):
    """The fields of transformers' OpenAIGPTConfig under the names of ModelConfig (n_embd is hidden_size, ...).

    The classifier is by default transformers': a matrix on the last token. OpenAI's own is `classifier_bias=True,
    classifier_dropout=0.1`, on texts that end in `_classify_`.
    embedding_dropout_prob: embd_pdrop.
    summary_dropout: dropout before the multiple choice head (summary_first_dropout).
    """

    model_type: ClassVar[str] = "openai-gpt"

    hidden_act: str = "gelu_new"
    type_vocab_size: int = 0
    layer_norm_eps: float = 1e-5
    attention_pattern: Pattern = "causal"
    language_model_transform: bool = False
    pad_token_id: int | None = None
    embedding_dropout_prob: float = 0.1
    classifier_dropout: float | None = 0.0
    classifier_pooling: Literal["pooled", "last_token"] = "last_token"
    classifier_bias: bool = False
    summary_dropout: float = 0.1

    def __post_init__(self) -> None:
        super().__post_init__()
        require_probability(self, "embedding_dropout_prob", "summary_dropout")
        if self.classifier_pooling != "last_token":
            raise ConfigError("classifier_pooling: GPT-1 has no pooler, expected 'last_token'")


def build_gpt1(config: Gpt1Config, *, pooler: bool = False) -> Backbone:
    """Learned positions, no embedding norm, dot-product attention, causal. There is never a pooler."""
    return Backbone(
        embeddings=Embeddings(
            vocab_size=config.vocab_size,
            hidden_size=config.hidden_size,
            positions=config.max_position_embeddings,
            token_types=config.type_vocab_size,
            norm_eps=None,
            dropout=config.embedding_dropout_prob,
        ),
        block=block_config(config),
        layers=config.num_hidden_layers,
        kernel=DotProduct(),
        pooler=False,
        pattern=config.attention_pattern,
        pad_token_id=config.pad_token_id,
    )
