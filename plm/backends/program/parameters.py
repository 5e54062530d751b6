"""Every parameter that the programs of a model ask for, and its shape: what a checkpoint must hold."""

from __future__ import annotations

from collections.abc import Callable

from plm.backends.program.spec import HeadFacts, Spec
from plm.errors import ConfigError

Shapes = dict[str, tuple[int, ...]]

Part = Callable[[Spec, HeadFacts], Shapes]
"""The parameters of a piece of a head, under names relative to the head's prefix."""


def backbone_shapes(spec: Spec) -> Shapes:
    """Those of embeddings, blocks and pooler, under the names of `model.state_dict()`."""
    hidden, embeddings = spec.hidden_size, "backbone.embeddings."
    shapes: Shapes = {f"{embeddings}word.weight": (spec.vocab_size, hidden)}
    if spec.positions:
        shapes[f"{embeddings}position.weight"] = (spec.positions, hidden)
    if spec.token_types:
        shapes[f"{embeddings}token_type.weight"] = (spec.token_types, hidden)
    if spec.embedding_norm:
        shapes |= _norm(f"{embeddings}norm", hidden)
    for layer in range(spec.layers):
        shapes |= _block_shapes(spec, f"backbone.blocks.{layer}.")
    if spec.norm == "pre":
        shapes |= _norm("backbone.final_norm", hidden)
    return shapes | (_linear("backbone.pooler.dense", hidden, hidden) if spec.pooler else {})


def outputs(layer: str, count: int | None = None, *, bias_varies: bool = False) -> Part:
    """A linear layer on hidden states.

    count: its outputs; None = one for each class. bias_varies: True = HeadFacts.bias says whether there is a bias.
    """

    def shapes(spec: Spec, head: HeadFacts) -> Shapes:
        rows = head.classes if count is None else count
        return _linear(layer, rows, spec.hidden_size, bias=head.bias or not bias_varies)

    return shapes


def language_model(spec: Spec, head: HeadFacts) -> Shapes:
    """The transform and bias, and the table of an untied one."""
    shapes: Shapes = {}
    if head.transform:
        shapes |= _linear("language_model.dense", spec.hidden_size, spec.hidden_size)
        shapes |= _norm("language_model.norm", spec.hidden_size)
        shapes["language_model.bias"] = (spec.vocab_size,)
    return shapes if head.tied else shapes | {"language_model.decoder.weight": (spec.vocab_size, spec.hidden_size)}


def crf(spec: Spec, head: HeadFacts) -> Shapes:
    """The scores of transitions, from class to class."""
    classes = (head.classes,)
    return {"crf.start_transitions": classes, "crf.transitions": classes * 2, "crf.end_transitions": classes}


def fit(spec: Spec, head: HeadFacts) -> Shapes:
    """TinyBERT's layers into its teacher's space. Raises ConfigError for a model without any."""
    if head.fit == "none" or head.fit_size is None:
        raise ConfigError(f"{head.kind} needs a TinyBERT config with fit and fit_size")
    layers = ["shared"] if head.fit in ("shared", "both") else []
    layers += [f"per_layer.{state}" for state in range(spec.layers + 1)] if head.fit in ("per_layer", "both") else []
    shapes: Shapes = {}
    for layer in layers:
        shapes |= _linear(layer, head.fit_size, spec.hidden_size)
    return shapes


def _block_shapes(spec: Spec, prefix: str) -> Shapes:
    hidden, inner = spec.hidden_size, spec.intermediate_size
    shapes: Shapes = {}
    for name in ("query", "key", "value", "output"):
        shapes |= _linear(f"{prefix}attention.{name}", hidden, hidden)
    shapes |= _linear(f"{prefix}feed_forward.up", inner, hidden)
    shapes |= _linear(f"{prefix}feed_forward.down", hidden, inner)
    return shapes | _norm(f"{prefix}attention_norm", hidden) | _norm(f"{prefix}feed_forward_norm", hidden)


def _linear(name: str, rows: int, columns: int, *, bias: bool = True) -> Shapes:
    return {f"{name}.weight": (rows, columns)} | ({f"{name}.bias": (rows,)} if bias else {})


def _norm(name: str, size: int) -> Shapes:
    return {f"{name}.weight": (size,), f"{name}.bias": (size,)}
