"""How student and teacher are asked about one batch, so that what they hold inside can be compared row by row.

In the packed view both compute real tokens alone, which lie side by side in the same order in all their values; on
CPUs this is the fast way. In the padded view values are (batch, length, ...), and a mask says what is real. Both views
give the same losses.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, cast

import torch
from torch import Tensor, nn

from plm.blocks.block import Block
from plm.blocks.kernels import Kernel
from plm.blocks.layout import Layout, Packed, Padded, Pattern
from plm.blocks.tap import Tap
from plm.errors import ShapeError, TrainingError
from plm.heads.model import Model
from plm.heads.output import Output
from plm.training.distributed import is_sharded
from plm.training.step import Batch

TEXT = ("input_ids", "attention_mask", "token_type_ids")
"""Entries of a batch that both models are given; the teacher never sees labels."""


@dataclass(frozen=True)
class View:
    """inputs: arguments of both models. layout: how their inner values lie."""

    inputs: Mapping[str, Any]
    layout: Layout

    @property
    def live(self) -> Tensor:
        """(texts, length), bool, True = a real token."""
        live = self.layout.live
        return torch.ones_like(self.inputs["input_ids"], dtype=torch.bool).flatten(0, -2) if live is None else live

    @classmethod
    def packed(cls, batch: Batch, *, pattern: Pattern) -> View | None:
        """None where texts cannot be packed, or need not: on other devices, with holes in a mask, with empty texts."""
        mask = batch.get("attention_mask")
        if mask is None or mask.device.type != "cpu" or mask.dim() != 2:
            return None
        layout = Packed.from_mask(mask, pattern=pattern)
        if layout is None:
            return None
        rows = {name: layout.rows(batch[name]) for name in TEXT if name in batch and name != "attention_mask"}
        # To the models it looks as if the caller had packed the texts, so nothing is padded again on the way.
        return cls({**rows, "layout": replace(layout, index=None, shape=None)}, layout)

    @classmethod
    def padded(cls, batch: Batch, *, pattern: Pattern) -> View:
        """Of any batch; choices of one example count as texts of their own, as they do in backbones."""
        inputs = {name: batch[name] for name in TEXT if name in batch}
        ids, mask = batch["input_ids"].flatten(0, -2), inputs.get("attention_mask")
        layout = Padded.build(
            batch=ids.shape[0],
            length=ids.shape[1],
            attention_mask=None if mask is None else mask.flatten(0, -2),
            pattern=pattern,
            device=ids.device,
        )
        return cls(inputs, layout)


@dataclass(frozen=True, kw_only=True)
class Question:
    """What one model is asked for.

    names: of inner values, see plm.blocks.tap.Tap. predicts: True = the output of a head, too; head: which, None = the
    first.
    """

    names: tuple[str, ...] = ()
    predicts: bool = False
    head: str | None = None


@dataclass(frozen=True)
class Seen:
    """values: inner values by name, as the view lays them out. output: of the head, if asked for.

    kernel: by which the model computes scores of queries and keys.
    """

    values: Mapping[str, Tensor]
    output: Output | None
    kernel: Kernel

    def state(self, layer: int) -> Tensor:
        """(..., hidden): layer 0 is the output of the embeddings, layer n that of block n."""
        return self.values[state_name(layer)]


def state_name(layer: int) -> str:
    """What a tap calls the output of the embeddings (0) or of block `layer`, counted from 1."""
    return f"blocks.{layer - 1}.output" if layer else "embeddings"


def look(model: nn.Module, view: View, question: Question, *, targets: Mapping[str, Tensor] | None = None) -> Seen:
    """One forward pass of a Model. targets: labels and the like for the head.

    Raises TrainingError for a model without backbone, or whose weights are spread over processes while its inner values
    are asked for.
    """
    if not hasattr(model, "backbone"):
        raise TrainingError(f"distillation needs a plm model, with a backbone to look into, got {type(model).__name__}")
    whole = cast("Model", model)
    tap = Tap(whole, *question.names) if question.names else None
    output = None
    if question.predicts:
        named = {} if question.head is None else {"head": question.head}
        output = model(**view.inputs, tap=tap, **named, **(targets or {}))
    else:
        if is_sharded(model):
            raise TrainingError('distillation looks inside the student: train it with parallel "ddp", not "fsdp"')
        whole.backbone(**view.inputs, tap=tap)
    return Seen({} if tap is None else tap, output, kernel_of(whole))


def kernel_of(model: Model) -> Kernel:
    """The attention kernel that all blocks of a model share."""
    return cast("Block", model.backbone.blocks[0]).attention.kernel


def lengths_of(batch: Batch) -> Tensor:
    """(texts,), int64: real tokens of each text. Raises ShapeError for a mask that says more than that."""
    ids, mask = batch["input_ids"], batch.get("attention_mask")
    if mask is None:
        return ids.new_full((ids[..., 0].numel(),), ids.shape[-1])
    if mask.shape != ids.shape:
        raise ShapeError(
            f"attention_mask {tuple(mask.shape)}: distillation needs one that says which tokens are real, of the shape "
            f"of input_ids {tuple(ids.shape)}"
        )
    return (mask != 0).flatten(0, -2).sum(-1)
