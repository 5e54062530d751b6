"""From a place on disk, or from a config, to a model of PyTorch."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import torch

from plm.auto.model import PretrainedModel
from plm.checkpoints.dtypes import as_dtype
from plm.checkpoints.loading import fill_model
from plm.checkpoints.store import open_checkpoint
from plm.errors import ConfigError
from plm.heads.model import build_model
from plm.heads.several import Plans
from plm.models.config import ModelConfig
from plm.models.families import FAMILIES
from plm.models.init import initialize


def opened(
    path: Path,
    *,
    heads: tuple[str, ...] | Plans | None,
    config: str | Path | Mapping[str, Any] | None,
    overrides: Mapping[str, Any],
    dtype: str | torch.dtype,
    device: torch.device | str,
) -> PretrainedModel:
    """The model of a file or folder. heads: as plm.checkpoints.loading.load_model."""
    weights_dtype = as_dtype(dtype)
    config = Path(config) if isinstance(config, str) else config
    try:
        checkpoint = open_checkpoint(path, config=config, overrides=overrides)
    except ConfigError:
        if heads and overrides:  # an option of a head that the family has not is best explained by that
            require_heads(open_checkpoint(path, config=config).config, heads)
        raise
    if heads is not None:
        require_heads(checkpoint.config, heads)
    model, report = fill_model(checkpoint, heads=heads, dtype=weights_dtype, device=device)
    return PretrainedModel.of(model, loaded=report)


def random_model(
    config: ModelConfig, heads: tuple[str, ...] | Plans, *, dtype: str | torch.dtype, generator: torch.Generator | None
) -> PretrainedModel:
    """A model with random weights, in training mode. Raises ConfigError for a head that the family has not."""
    require_heads(config, heads)
    model = build_model(config, heads)
    initialize(model, std=config.initializer_range, generator=generator)
    return PretrainedModel.of(model.to(as_dtype(dtype) or torch.float32))


def require_heads(config: ModelConfig, heads: Collection[str] | Plans) -> None:
    """Refuse a head that only other families have. One that no family lists is a third party's, and goes with any."""
    family = FAMILIES.get(config.model_type)
    listed = {head for _, one in FAMILIES.items() for head in one.heads}
    kinds = [plan.kind for plan in heads.values() if plan.kind] if isinstance(heads, Mapping) else heads
    for head in kinds:
        if head in listed and head not in family.heads:
            raise ConfigError(f"{config.model_type} has no head {head!r} (it has: {', '.join(family.heads)})")
