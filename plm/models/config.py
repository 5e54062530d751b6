"""The fields that all model families share, under the names that users know from config.json."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from plm.blocks.activations import ACTIVATIONS
from plm.blocks.layout import Pattern
from plm.config import require_choice, require_positive, require_probability, require_types
from plm.errors import ConfigError

ProblemType = Literal["single_label_classification", "multi_label_classification", "regression"]


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """Sizes and constants of a model and of the heads on it.

    model_type: the family's name in FAMILIES and in config.json; set by each family's class.
    vocab_size: rows of the word embeddings; may exceed the tokens of the vocabulary file.
    hidden_act: "gelu" is the erf form, "gelu_new" the tanh form, whatever the source called them.
    attention_pattern: "full", "causal" (what `is_decoder: true` means) or "prefix".
    norm: "post" or "pre" (before attention and feed-forward).
    language_model_transform: True = language model heads transform the hidden state and add a bias, as BERT's do.
    tie_word_embeddings: True = language model heads multiply by the word embeddings.
    pad_token_id: None = the model knows no padding token.
    classifier_dropout: None = hidden_dropout_prob.
    classifier_pooling: what classifiers see: "pooled" first token, or "last_token".
    classifier_activation: "relu" = classifiers see relu of that, as TinyBERT's do.
    classifier_bias: False = the classifier is a matrix alone.
    id2label: names of the classes; None = LABEL_0, LABEL_1.
    """

    model_type: ClassVar[str] = ""

    vocab_size: int
    hidden_size: int
    num_hidden_layers: int
    num_attention_heads: int
    intermediate_size: int
    hidden_act: str = "gelu"
    hidden_dropout_prob: float = 0.1
    attention_probs_dropout_prob: float = 0.1
    max_position_embeddings: int = 512
    type_vocab_size: int = 2
    initializer_range: float = 0.02
    layer_norm_eps: float = 1e-12
    norm: Literal["post", "pre"] = "post"
    attention_pattern: Pattern = "full"
    language_model_transform: bool = True
    tie_word_embeddings: bool = True
    pad_token_id: int | None = 0
    classifier_dropout: float | None = None
    classifier_pooling: Literal["pooled", "last_token"] = "pooled"
    classifier_activation: Literal["none", "relu"] = "none"
    classifier_bias: bool = True
    id2label: dict[int, str] | None = None
    problem_type: ProblemType | None = None

    def __post_init__(self) -> None:
        require_types(self)
        require_positive(
            self,
            "vocab_size",
            "hidden_size",
            "num_hidden_layers",
            "num_attention_heads",
            "intermediate_size",
            "max_position_embeddings",
        )
        require_probability(self, "hidden_dropout_prob", "attention_probs_dropout_prob", "classifier_dropout")
        require_choice(self, "hidden_act", ACTIVATIONS.names())
        if self.type_vocab_size < 0:
            raise ConfigError(f"type_vocab_size: expected 0 or more, got {self.type_vocab_size}")
        if self.layer_norm_eps <= 0:
            raise ConfigError(f"layer_norm_eps: expected a positive number, got {self.layer_norm_eps}")
        if self.initializer_range < 0:
            raise ConfigError(f"initializer_range: expected 0 or more, got {self.initializer_range}")
        if self.hidden_size % self.num_attention_heads:
            raise ConfigError(
                f"hidden_size {self.hidden_size} must be a multiple of num_attention_heads {self.num_attention_heads}"
            )
        if self.id2label is not None and sorted(self.id2label) != list(range(len(self.id2label))):
            raise ConfigError(f"id2label: expected ids 0 to {len(self.id2label) - 1}, got {sorted(self.id2label)[:8]}")

    @property
    def num_labels(self) -> int:
        """Classes of a classification head; 2 when nothing is said, as everywhere in the field."""
        return len(self.id2label) if self.id2label else 2

    @property
    def labels(self) -> tuple[str, ...]:
        """Class names by id."""
        return tuple((self.id2label or default_labels(self.num_labels))[i] for i in range(self.num_labels))

    @property
    def longest_text(self) -> int | None:
        """Tokens that a text may have; None = no limit."""
        return self.max_position_embeddings

    @property
    def head_size(self) -> int:
        """Width of one attention head."""
        return self.hidden_size // self.num_attention_heads


def default_labels(count: int) -> dict[int, str]:
    """LABEL_0, LABEL_1, ...: what the field calls classes without names."""
    return {i: f"LABEL_{i}" for i in range(count)}
