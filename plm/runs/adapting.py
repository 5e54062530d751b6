"""A model that learns adapters in place of all its weights, and is saved as a plain one."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from plm.auto.model import PretrainedModel
from plm.blocks.lora import LoraConfig, adapters, add_lora, merge_lora, unmerge_lora


def adapt(model: PretrainedModel, config: LoraConfig, *, seed: int) -> None:
    """Give a model its adapters and freeze the rest, but for heads and what the checkpoint did not bring.

    seed: of the adapters' first values. What is trained besides them can be said in the config, too.
    """
    if config.trained is None:
        assert model.loaded is not None, "made by from_pretrained"
        new = [name for name in model.loaded.missing if not name.startswith("heads.")]
        config = dataclasses.replace(config, trained=("heads.*", *new))
    device = next(model.parameters()).device
    add_lora(model, config, generator=torch.Generator(device).manual_seed(seed))


@contextmanager
def merged(model: PretrainedModel) -> Iterator[None]:
    """Inside, a model with adapters is a plain one that computes the same; one without is left alone."""
    taken = merge_lora(model) if adapters(model) else {}
    try:
        yield
    finally:
        unmerge_lora(model, taken)
