"""A model made ready to go on with texts, where every new token reads every weight once."""

from __future__ import annotations

from typing import cast

from torch import nn

from plm.blocks.int8 import quantized, rebuilt
from plm.blocks.kernel_cache import bound_kernels
from plm.blocks.linear import pack
from plm.errors import ConfigError
from plm.heads.engine import CausalEngine, ModelEngine, as_engine, language_model
from plm.heads.language_model import LanguageModel
from plm.heads.model import Model


def for_decoding(model: Model, *, int8: bool = False) -> Model:
    """The same model in evaluation mode, with weights in the layout of the CPU's kernels, the word table among them.

    It shares its parameters with the given one, which stays as it is; what the kernels read is a copy.
    int8: True = weights are rounded to eight bits, see plm.blocks.int8; raises BackendUnavailable where that is not to
        be had.
    """
    ready = with_own_tables(model).eval()
    if int8:
        return cast("Model", quantized(ready))
    bound_kernels()
    pack(ready)
    return ready


def with_own_tables(model: Model) -> Model:
    """The same model, whose language models have the word table as a layer of their own, which shares its memory."""
    table = cast("nn.Parameter", model.backbone.embeddings.word.weight)

    def untied(part: nn.Module) -> nn.Module:
        return part.untied(table) if isinstance(part, LanguageModel) and part.decoder is None else part

    return cast("Model", rebuilt(model, untied))


def decoding_engine(model: Model | CausalEngine, *, int8: bool = False) -> CausalEngine:
    """A Model made ready, as an engine; the engine of a backend as it is.

    Raises ConfigError for a model that cannot go on with a text, and for int8 with an engine, whose weights are made.
    """
    if isinstance(model, Model):
        language_model(model)  # raises before weights are converted
        return ModelEngine(for_decoding(model, int8=int8))
    if int8:
        raise ConfigError("int8: the weights of an engine are as its backend loaded them; ask that for int8")
    return as_engine(model)
