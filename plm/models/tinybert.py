"""TinyBERT: a small BERT that learned from a large one.

Source: Jiao et al. 2020, https://arxiv.org/abs/1909.10351, and huawei-noah/Pretrained-Language-Model.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from plm.errors import ConfigError
from plm.models.config import ModelConfig


@dataclass(frozen=True, kw_only=True)
class TinyBertConfig(ModelConfig):
    """A BERT encoder, built by `build_bert`, with what distillation left behind.

    fit: linear layers from this model's hidden size to the teacher's: "none", "shared" (`fit_dense`, first release),
        "per_layer" (`fit_denses.N`, second release, one for the embeddings and each block) or "both".
    fit_size: the teacher's hidden size; None without fit layers.
    The classifier sees relu(pooled) and no dropout, as upstream's does, for student and teacher alike.
    """

    model_type: ClassVar[str] = "tinybert"

    classifier_activation: Literal["none", "relu"] = "relu"
    classifier_dropout: float | None = 0.0
    fit: Literal["none", "shared", "per_layer", "both"] = "none"
    fit_size: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.fit != "none" and (self.fit_size is None or self.fit_size < 1):
            raise ConfigError(f"fit_size: fit={self.fit!r} needs the teacher's hidden size, got {self.fit_size}")
