"""The heads as programs: what each answers, under the names and in the shapes of plm.heads."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from plm.backends.program import parameters
from plm.backends.program.backbone import WORDS, Encoding, encode
from plm.backends.program.ops import Ops, Value
from plm.backends.program.parameters import Part, Shapes, backbone_shapes, outputs
from plm.backends.program.spec import HeadFacts, Spec
from plm.errors import ShapeError
from plm.registry import Registry

_CLASSIFIER = "classifier.linear"


@dataclass(frozen=True)
class HeadProgram:
    """One row of HEAD_PROGRAMS.

    answer: (spec, head, ops, encoding) -> answers by name, those of the head's output.
    parts: the parameters that it asks for.
    pools: True = it reads the pooled first token; None = if HeadFacts.pooling says so.
    """

    answer: Callable[[Spec, HeadFacts, Ops[Any], Encoding[Any]], dict[str, Any]]
    parts: tuple[Part, ...]
    pools: bool | None = False

    def shapes(self, spec: Spec, head: HeadFacts) -> Shapes:
        """Parameters under their full names, and their shapes."""
        return {head.prefix + name: shape for part in self.parts for name, shape in part(spec, head).items()}


HEAD_PROGRAMS: Registry[HeadProgram] = Registry("head that backends besides PyTorch compute")
"""By the kind of the head, a name in plm.heads.HEADS."""


def needs_pooler(head: HeadFacts) -> bool:
    """True when a head reads the pooled first token. Raises UnknownNameError for a kind without program."""
    pools = HEAD_PROGRAMS.get(head.kind).pools
    return head.pooling == "pooled" if pools is None else pools


def parameter_shapes(spec: Spec) -> Shapes:
    """Names, those of `model.state_dict()`, and shapes of all parameters; those that heads share are there once."""
    shapes = backbone_shapes(spec)
    for head in spec.heads:
        shapes |= HEAD_PROGRAMS.get(head.kind).shapes(spec, head)
    return shapes


def predict(spec: Spec, ops: Ops[Value], head: str | None = None) -> dict[str, Value]:
    """The whole forward pass: answers by name, as the fields of the head's output.

    head: which of several heads; None = the first, or the hidden states of a model without heads.
    Raises UnknownNameError for a head that is not there, ShapeError for texts that it cannot take.
    """
    chosen = spec.head(head)
    encoding = encode(spec, ops)
    if chosen is not None:
        return HEAD_PROGRAMS.get(chosen.kind).answer(spec, chosen, ops, encoding)
    answers = {"last_hidden_state": ops.restore(encoding.hidden)}
    return answers if encoding.pooled is None else answers | {"pooler_output": ops.by_text(encoding.pooled)}


def language_model(spec: Spec, head: HeadFacts, ops: Ops[Value], rows: Value) -> Value:
    """A logit for every word of the vocabulary; rows: hidden states, by token or by text."""
    prefix = f"{head.prefix}language_model."
    bias = f"{prefix}bias" if head.transform else None
    if head.transform:
        rows = ops.linear(rows, f"{prefix}dense", activation=spec.activation)
        rows = ops.norm(rows, f"{prefix}norm", eps=spec.norm_eps)
    return ops.score(rows, WORDS if head.tied else f"{prefix}decoder.weight", bias=bias)


def classify(head: HeadFacts, ops: Ops[Value], encoding: Encoding[Value]) -> Value:
    """The logits of a classifier that sees one vector of each text: by text, (texts, classes)."""
    vector = _pooled(encoding) if head.pooling == "pooled" else ops.last_tokens(encoding.hidden)
    if head.activation != "none":
        vector = ops.activate(vector, head.activation)
    return ops.linear(vector, head.prefix + _CLASSIFIER, bias=head.bias)


def _words(spec: Spec, head: HeadFacts, ops: Ops[Value], encoding: Encoding[Value]) -> dict[str, Value]:
    return {"logits": ops.restore(language_model(spec, head, ops, encoding.hidden))}


def _pretraining(spec: Spec, head: HeadFacts, ops: Ops[Value], encoding: Encoding[Value]) -> dict[str, Value]:
    follows = ops.linear(_pooled(encoding), f"{head.prefix}next_sentence.classifier")
    return {
        "prediction_logits": ops.restore(language_model(spec, head, ops, encoding.hidden)),
        "seq_relationship_logits": ops.by_text(follows),
    }


def _next_sentence(spec: Spec, head: HeadFacts, ops: Ops[Value], encoding: Encoding[Value]) -> dict[str, Value]:
    return {"logits": ops.by_text(ops.linear(_pooled(encoding), f"{head.prefix}classifier"))}


def _sequence_classification(
    spec: Spec, head: HeadFacts, ops: Ops[Value], encoding: Encoding[Value]
) -> dict[str, Value]:
    return {"logits": ops.by_text(classify(head, ops, encoding))}


def _matching(spec: Spec, head: HeadFacts, ops: Ops[Value], encoding: Encoding[Value]) -> dict[str, Value]:
    return {"logits": ops.column(ops.by_text(classify(head, ops, encoding)), 0)}


def _multiple_choice(spec: Spec, head: HeadFacts, ops: Ops[Value], encoding: Encoding[Value]) -> dict[str, Value]:
    _require_choices(ops, head)
    scores = ops.column(ops.by_text(classify(head, ops, encoding)), 0)
    return {"logits": ops.without_absent(scores)}


def _token_classification(spec: Spec, head: HeadFacts, ops: Ops[Value], encoding: Encoding[Value]) -> dict[str, Value]:
    return {"logits": ops.restore(ops.linear(encoding.hidden, f"{head.prefix}classifier"))}


def _crf(spec: Spec, head: HeadFacts, ops: Ops[Value], encoding: Encoding[Value]) -> dict[str, Value]:
    transitions = {
        name: ops.parameter(f"{head.prefix}crf.{name}")
        for name in ("start_transitions", "transitions", "end_transitions")
    }
    return _token_classification(spec, head, ops, encoding) | transitions


def _question_answering(spec: Spec, head: HeadFacts, ops: Ops[Value], encoding: Encoding[Value]) -> dict[str, Value]:
    logits = ops.restore(ops.linear(encoding.hidden, f"{head.prefix}outputs"), lowest=True)
    return {"start_logits": ops.column(logits, 0), "end_logits": ops.column(logits, 1)}


def _double_heads(spec: Spec, head: HeadFacts, ops: Ops[Value], encoding: Encoding[Value]) -> dict[str, Value]:
    words = _words(spec, head, ops, encoding)
    return words | {"mc_logits": _compare(head, ops, encoding, layer="choice")}


def _multiple_choice_with_lm(
    spec: Spec, head: HeadFacts, ops: Ops[Value], encoding: Encoding[Value]
) -> dict[str, Value]:
    return {"logits": _compare(head, ops, encoding, layer="decision.linear")}


def _classification_with_lm(
    spec: Spec, head: HeadFacts, ops: Ops[Value], encoding: Encoding[Value]
) -> dict[str, Value]:
    states = ops.by_text(ops.last_tokens(encoding.hidden))
    states = states if ops.leading < 2 else ops.sum_texts(states)
    return {"logits": ops.linear(states, f"{head.prefix}decision.linear", bias=head.bias)}


def _hidden_projection(spec: Spec, head: HeadFacts, ops: Ops[Value], encoding: Encoding[Value]) -> dict[str, Value]:
    layer = "shared" if head.fit == "shared" else f"per_layer.{spec.layers}"
    return {"logits": ops.restore(ops.linear(encoding.hidden, head.prefix + layer))}


def _compare(head: HeadFacts, ops: Ops[Value], encoding: Encoding[Value], *, layer: str) -> Value:
    """A score of the last token of each choice: (batch, choices)."""
    _require_choices(ops, head)
    scores = ops.linear(ops.last_tokens(encoding.hidden), head.prefix + layer)
    return ops.without_absent(ops.column(ops.by_text(scores), 0))


def _require_choices(ops: Ops[Value], head: HeadFacts) -> None:
    if ops.leading < 2:
        raise ShapeError(f"{head.kind} needs input_ids of shape (batch, choices, length)")


def _pooled(encoding: Encoding[Value]) -> Value:
    assert encoding.pooled is not None, "a spec has a pooler where a head needs one"
    return encoding.pooled


for _kind, _program in {
    "pretraining": HeadProgram(
        _pretraining, (parameters.language_model, outputs("next_sentence.classifier", 2)), pools=True
    ),
    "masked_lm": HeadProgram(_words, (parameters.language_model,)),
    "causal_lm": HeadProgram(_words, (parameters.language_model,)),
    "next_sentence": HeadProgram(_next_sentence, (outputs("classifier", 2),), pools=True),
    "sequence_classification": HeadProgram(
        _sequence_classification, (outputs(_CLASSIFIER, bias_varies=True),), pools=None
    ),
    "token_classification": HeadProgram(_token_classification, (outputs("classifier"),)),
    "crf_token_classification": HeadProgram(_crf, (outputs("classifier"), parameters.crf)),
    "question_answering": HeadProgram(_question_answering, (outputs("outputs", 2),)),
    "multiple_choice": HeadProgram(_multiple_choice, (outputs(_CLASSIFIER, 1, bias_varies=True),), pools=None),
    "matching": HeadProgram(_matching, (outputs(_CLASSIFIER, 1, bias_varies=True),), pools=None),
    "double_heads": HeadProgram(_double_heads, (parameters.language_model, outputs("choice", 1))),
    "classification_with_lm": HeadProgram(_classification_with_lm, (outputs("decision.linear", bias_varies=True),)),
    "multiple_choice_with_lm": HeadProgram(_multiple_choice_with_lm, (outputs("decision.linear", 1),)),
    "hidden_projection": HeadProgram(_hidden_projection, (parameters.fit,)),
}.items():
    HEAD_PROGRAMS.add(_kind, _program)
