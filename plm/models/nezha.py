"""NEZHA: BERT with functional relative positions, for texts of any length.

Source: Wei et al. 2019, https://arxiv.org/abs/1909.00204, and huawei-noah/Pretrained-Language-Model.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from plm.blocks.embeddings import Embeddings
from plm.blocks.kernels import Relative
from plm.config import require_positive
from plm.models.backbone import Backbone
from plm.models.config import ModelConfig
from plm.models.family import block_config


@dataclass(frozen=True, kw_only=True)
class NezhaConfig(ModelConfig):
    """As BERT, without a position table.

    max_relative_position: longest distance told apart; 64 in the released models, 127 in the English one.
    max_position_embeddings: kept for other readers of config.json; nothing here is limited by it.
    """

    model_type: ClassVar[str] = "nezha"

    max_relative_position: int = 64

    def __post_init__(self) -> None:
        super().__post_init__()
        require_positive(self, "max_relative_position")

    @property
    def longest_text(self) -> int | None:
        """No limit: longer distances count as the longest one told apart."""
        return None


def build_nezha(config: NezhaConfig, *, pooler: bool = True) -> Backbone:
    """No positions in the embeddings; one relative kernel shared by all blocks."""
    return Backbone(
        embeddings=Embeddings(
            vocab_size=config.vocab_size,
            hidden_size=config.hidden_size,
            positions=0,
            token_types=config.type_vocab_size,
            norm_eps=config.layer_norm_eps,
            dropout=config.hidden_dropout_prob,
        ),
        block=block_config(config),
        layers=config.num_hidden_layers,
        kernel=Relative(max_relative_position=config.max_relative_position, head_size=config.head_size),
        pooler=pooler,
        pattern=config.attention_pattern,
        pad_token_id=config.pad_token_id,
    )
