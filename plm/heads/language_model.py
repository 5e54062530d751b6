"""From hidden states to a score for every word: the part that masked and causal language models share."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from plm.blocks.activations import ACTIVATIONS
from plm.blocks.linear import Linear
from plm.models.config import ModelConfig


class LanguageModel(nn.Module):
    """Optional transform (linear, activation, norm), then a product with the word embeddings, then an optional bias.

    BERT's has transform and bias, GPT-1's neither. Sources: Devlin et al. 2019; Radford et al. 2018.
    activation: None = no transform. tied: False = an output table of its own.
    """

    def __init__(
        self, *, hidden_size: int, vocab_size: int, activation: str | None, norm_eps: float, bias: bool, tied: bool
    ) -> None:
        super().__init__()
        self.activation = None if activation is None else ACTIVATIONS.get(activation)
        self.dense = None if activation is None else Linear(hidden_size, hidden_size)
        self.norm = None if activation is None else nn.LayerNorm(hidden_size, eps=norm_eps)
        self.bias = nn.Parameter(torch.empty(vocab_size)) if bias else None
        self.decoder = None if tied else Linear(hidden_size, vocab_size, bias=False)

    def forward(self, hidden: Tensor, word_embeddings: Tensor) -> Tensor:
        """hidden: (..., hidden); word_embeddings: (vocab_size, hidden). Returns logits, (..., vocab_size)."""
        if self.dense is not None and self.activation is not None and self.norm is not None:
            hidden = self.norm(self.activation(self.dense(hidden)))
        if self.decoder is None:
            return F.linear(hidden, word_embeddings, self.bias)
        logits: Tensor = self.decoder(hidden)
        return logits if self.bias is None else logits + self.bias

    def untied(self, word_embeddings: nn.Parameter) -> LanguageModel:
        """The same language model with the table as a layer of its own, which shares its memory."""
        clone = copy.copy(self)
        clone._modules = dict(self._modules)
        clone.decoder = Linear(word_embeddings.shape[1], word_embeddings.shape[0], bias=False, device="meta")
        clone.decoder.weight = word_embeddings
        return clone.train(self.training)


def build_language_model(config: ModelConfig) -> LanguageModel:
    """With transform and bias, or bare, and tied or not, as the config says."""
    transform = config.language_model_transform
    return LanguageModel(
        hidden_size=config.hidden_size,
        vocab_size=config.vocab_size,
        activation=config.hidden_act if transform else None,
        norm_eps=config.layer_norm_eps,
        bias=transform,
        tied=config.tie_word_embeddings,
    )
