"""A model made ready to go on with texts, where every new token reads every weight once."""

from __future__ import annotations

from typing import cast

from torch import nn

from plm.blocks.int8 import quantized, rebuilt
from plm.blocks.linear import pack
from plm.heads.language_model import LanguageModel
from plm.heads.model import Model

INT8 = "int8"
"""The dtype by which callers ask for weights of eight bits."""


def for_decoding(model: Model, *, int8: bool = False) -> Model:
    """The same model in evaluation mode, with weights in the layout of the CPU's kernels, the word table among them.

    It shares its parameters with the given one, which stays as it is; what the kernels read is a copy.
    int8: True = weights are rounded to eight bits, see plm.blocks.int8; raises BackendUnavailable where that is not to
        be had.
    """
    table = cast("nn.Parameter", model.backbone.embeddings.word.weight)

    def untied(part: nn.Module) -> nn.Module:
        return part.untied(table) if isinstance(part, LanguageModel) and part.decoder is None else part

    ready = cast("Model", rebuilt(model, untied)).eval()
    if int8:
        return cast("Model", quantized(ready))
    pack(ready)
    return ready
