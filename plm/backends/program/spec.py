"""What a forward pass depends on besides its weights: a few numbers and choices, without torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from plm.errors import ConfigError, UnknownNameError, did_you_mean

ACTIVATIONS = ("gelu", "gelu_new", "relu", "silu", "tanh")
"""Names of activations that every engine has: "gelu" is the erf form, "gelu_new" the tanh form."""


@dataclass(frozen=True, kw_only=True)
class HeadFacts:
    """One head of a model.

    name: what the model calls it. kind: a name in plm.heads.HEADS, here in HEAD_PROGRAMS.
    prefix: what stands before the names of its parameters, "heads.<name>."; that of another head if they are shared.
    classes: outputs of a classifier; fixed by the kind where it is not a choice (two for next sentences and spans).
    pooling: what classifiers see, the "pooled" first token or the "last_token".
    activation: what classifiers do to it first, a name in ACTIVATIONS or "none". bias: True = classifiers add one.
    transform: True = language models have a linear layer, activation and norm of their own, and a bias.
    tied: True = language models multiply by the word embeddings, else by their own `decoder`.
    fit: layers of a hidden projection: "none", "shared", "per_layer" or "both". fit_size: its outputs, None without.
    """

    name: str
    kind: str
    prefix: str
    classes: int = 2
    pooling: Literal["pooled", "last_token"] = "pooled"
    activation: str = "none"
    bias: bool = True
    transform: bool = True
    tied: bool = True
    fit: Literal["none", "shared", "per_layer", "both"] = "none"
    fit_size: int | None = None

    @classmethod
    def of(cls, name: str, kind: str, config: Any, *, prefix: str | None = None) -> HeadFacts:
        """The facts of a head whose config is a ModelConfig, or anything with its attributes."""
        return cls(
            name=name,
            kind=kind,
            prefix=f"heads.{name}." if prefix is None else prefix,
            classes=config.num_labels,
            pooling=config.classifier_pooling,
            activation=config.classifier_activation,
            bias=config.classifier_bias,
            transform=config.language_model_transform,
            tied=config.tie_word_embeddings,
            fit=getattr(config, "fit", "none"),
            fit_size=getattr(config, "fit_size", None),
        )


@dataclass(frozen=True, kw_only=True)
class Spec:
    """A model without its weights.

    layers, attention_heads: numbers of blocks and of heads in each.
    activation: of the feed-forward layers, a name in ACTIVATIONS.
    norm: "post" = after each residual sum; "pre" = before attention and feed-forward, and once more at the end.
    norm_eps: of all norms. embedding_norm: True = the embeddings have one.
    pattern: "full", or "causal": no token sees those to its right.
    positions: rows of the position table, the longest text; 0 = none, texts of any length.
    token_types: rows of the token type table; 0 = none, and types, if given, are looked up among the words.
    radius: 0 = dot-product attention; else NEZHA's relative attention, and the longest distance it tells apart.
    pooler: True = there is one.
    pad_token_id: tells where a text without attention_mask ends; None = every text ends with its row.
    heads: the first answers when a caller names none; () = hidden states are the answer.
    """

    vocab_size: int
    hidden_size: int
    layers: int
    attention_heads: int
    intermediate_size: int
    activation: str
    norm: Literal["post", "pre"]
    norm_eps: float
    embedding_norm: bool
    pattern: Literal["full", "causal"]
    positions: int
    token_types: int
    radius: int
    pooler: bool
    pad_token_id: int | None
    heads: tuple[HeadFacts, ...] = ()

    def __post_init__(self) -> None:
        if self.pattern not in ("full", "causal"):
            raise ConfigError(
                f"attention_pattern {self.pattern!r}: only PyTorch computes it, the programs of other backends know "
                "'full' and 'causal': load the model with backend=\"torch\""
            )
        for name in (self.activation, *(head.activation for head in self.heads)):
            if name not in (*ACTIVATIONS, "none"):
                listed = ", ".join(map(repr, ACTIVATIONS))
                raise ConfigError(f"activation {name!r}: backends besides PyTorch know {listed}")

    @classmethod
    def of(cls, model: Any) -> Spec:
        """The spec of a plm.heads.model.Model: what its bricks say, so that families of third parties work too."""
        backbone, config = model.backbone, model.config
        embeddings, block = backbone.embeddings, backbone.blocks[0]
        return cls(
            vocab_size=embeddings.word.weight.shape[0],
            hidden_size=embeddings.word.weight.shape[1],
            layers=len(backbone.blocks),
            attention_heads=block.attention.heads,
            intermediate_size=block.feed_forward.up.weight.shape[0],
            activation=block.feed_forward.activation,
            norm="pre" if block.pre_norm else "post",
            norm_eps=block.attention_norm.eps,
            embedding_norm=embeddings.norm is not None,
            pattern=backbone.pattern,
            positions=_rows(embeddings.position),
            token_types=_rows(embeddings.token_type),
            radius=getattr(block.attention.kernel, "max_relative_position", 0),
            pooler=backbone.pooler is not None,
            pad_token_id=config.pad_token_id,
            heads=tuple(_head_of(model, name) for name in model.heads),
        )

    @property
    def head_size(self) -> int:
        """Width of one attention head."""
        return self.hidden_size // self.attention_heads

    def head(self, name: str | None = None) -> HeadFacts | None:
        """The head of a name; None = the first, or None where there is none. Raises UnknownNameError."""
        if name is None:
            return self.heads[0] if self.heads else None
        for head in self.heads:
            if head.name == name:
                return head
        names = [head.name for head in self.heads]
        raise UnknownNameError(
            f"this model has no head {name!r}{did_you_mean(name, names)} (it has: {', '.join(names) or 'none'})"
        )


def _rows(table: Any) -> int:
    return 0 if table is None else int(table.weight.shape[0])


def _head_of(model: Any, name: str) -> HeadFacts:
    root = model.plans[name].shared_with or name
    return HeadFacts.of(name, model.plans[root].kind, model.head_config(name), prefix=f"heads.{root}.")
