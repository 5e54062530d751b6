"""Tiny models of all families with random weights, and small batches for them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import torch
from torch import Tensor, nn

import plm.models.backbone
from plm.heads.model import Model, build_model
from plm.models.config import ModelConfig
from plm.models.families import FAMILIES

VOCABULARY = 31

_SIZES: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "hidden_size": 12,
    "num_hidden_layers": 2,
    "num_attention_heads": 3,
    "intermediate_size": 20,
    "hidden_dropout_prob": 0.0,
    "attention_probs_dropout_prob": 0.0,
    "max_position_embeddings": 24,
}
_FAMILY_SIZES: dict[str, dict[str, Any]] = {
    "nezha": {"max_relative_position": 3},  # shorter than most texts here
    "openai-gpt": {"embedding_dropout_prob": 0.0, "summary_dropout": 0.0},
    "tinybert": {"fit": "both", "fit_size": 14},
}

FAMILY_NAMES = ("bert", "nezha", "openai-gpt", "tinybert")


def tiny_config(family: str, **changes: Any) -> ModelConfig:
    """A config of a family, without dropout."""
    return FAMILIES.get(family).config(**{**_SIZES, **_FAMILY_SIZES.get(family, {}), **changes})


def tiny_model(family: str, *heads: str, pooler: bool | None = None, seed: int = 0, **changes: Any) -> Model:
    """A model in training mode whose weights, norms and biases included, are all random."""
    return randomized(build_model(tiny_config(family, **changes), heads, pooler=pooler), seed=seed)


def randomized(module: nn.Module, *, seed: int = 0) -> Any:
    """Fill every parameter so that none of them could be left out unnoticed. Returns the module."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            parameter.normal_(0.0, 0.3, generator=generator)
            if parameter.dim() == 1 and name.endswith("weight"):
                parameter.add_(1.0)
    return module


def random_ids(*shape: int, seed: int = 0) -> Tensor:
    """Token ids without the padding token 0."""
    return torch.randint(1, VOCABULARY, shape, generator=torch.Generator().manual_seed(seed))


def mask_of(length: int, *spans: tuple[int, int]) -> Tensor:
    """(rows, length), int64: 1 from start to stop, for each span a row."""
    columns = torch.arange(length)
    return torch.stack([((columns >= start) & (columns < stop)).long() for start, stop in spans])


@contextmanager
def packing(*, inside: bool) -> Iterator[None]:
    """Make backbones pack every padded batch that can be packed, or none."""
    with mock.patch.object(plm.models.backbone, "PACK_BELOW", float("inf") if inside else 0.0):
        yield


def gradients(module: nn.Module, loss: Tensor) -> dict[str, Tensor]:
    """Gradients of a loss by parameter name; parameters that it does not depend on are left out."""
    module.zero_grad()
    loss.backward()
    return {name: held.grad.clone() for name, held in module.named_parameters() if held.grad is not None}
