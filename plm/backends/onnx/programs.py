"""Whole models as ONNX graphs: for padded and packed texts, for choices, and for texts that grow."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from plm.backends.onnx.engine import GraphOps
from plm.backends.onnx.forms import DATA_FILE, DIMS, PAST, PRESENT, SPEAKING, Form
from plm.backends.onnx.graph import INT64, OPSET, RUNTIME, Graph, onnx
from plm.backends.onnx.growing_texts import GrowingTexts
from plm.backends.onnx.products import FloatProducts, Int8Products
from plm.backends.onnx.texts import Dim, Edge, PackedTexts, PaddedTexts, Texts
from plm.backends.onnx.weights import Weights
from plm.backends.program.backbone import encode
from plm.backends.program.heads import language_model, predict
from plm.backends.program.spec import HeadFacts, Spec
from plm.errors import ConfigError

IR_VERSION = 9  # the last one before opset 21, so that onnxruntime reads it from 1.17 on


@dataclass(frozen=True)
class Program:
    """A graph whose weights lie elsewhere. weights: their names."""

    graph: Graph
    inputs: Mapping[str, Edge]
    outputs: Mapping[str, Edge]
    weights: tuple[str, ...]


class Writer:
    """Writes the graphs of one model with one head, or none; they share their weights.

    dtype: "float32", or "int8" for weights of eight bits.
    """

    def __init__(self, spec: Spec, weights: Weights, *, dtype: str) -> None:
        self.spec, self.weights, self._int8 = spec, weights, dtype == "int8"

    def write(self, form: Form) -> Program:
        """The graph of a form.

        Raises ShapeError for texts that the head cannot take, and ConfigError for growing ones where none scores words.
        """
        return self._growing(form) if form.kind == "growing" else self._predicting(form)

    def _predicting(self, form: Form) -> Program:
        graph, dims = Graph(), DIMS[form.kind]
        inputs = {"input_ids": Edge("input_ids", dims)}
        texts: Texts
        if form.kind == "packed":
            inputs["lengths"] = Edge("lengths", ("texts",))
            texts = PackedTexts(graph, "lengths")
        else:
            inputs["attention_mask"] = Edge("attention_mask", dims)
            texts = PaddedTexts(graph, "input_ids", "attention_mask", dims, in_spans=self.spec.radius > 0)
        ops = self._ops(graph, texts, inputs, form)
        return self._finished(graph, inputs, predict(self.spec, ops))

    def _growing(self, form: Form) -> Program:
        graph, spec, head = Graph(), self.spec, speaking_head(self.spec)
        state = ("batch", spec.attention_heads, "past", spec.head_size)
        names = [(f"{layer}.key", f"{layer}.value") for layer in range(spec.layers)]
        inputs = {
            "input_ids": Edge("input_ids", DIMS["growing"]),
            "attention_mask": Edge("attention_mask", ("batch", "past + new")),
        }
        past = [(f"{PAST}.{key}", f"{PAST}.{value}") for key, value in names]
        texts = GrowingTexts(graph, "input_ids", "attention_mask", past)
        ops = self._ops(graph, texts, inputs, form)
        inputs |= {name: Edge(name, state) for pair in past for name in pair}
        encoding = encode(dataclasses.replace(spec, pooler=False), ops)
        outputs = {"logits": language_model(spec, head, ops, ops.last_tokens(encoding.hidden))}
        total = ("batch", spec.attention_heads, "past + new", spec.head_size)
        for layer, pair in zip(names, texts.present, strict=True):
            outputs |= {f"{PRESENT}.{name}": Edge(edge, total) for name, edge in zip(layer, pair, strict=True)}
        return self._finished(graph, inputs, outputs)

    def _ops(self, graph: Graph, texts: Texts, inputs: dict[str, Edge], form: Form) -> GraphOps:
        if form.types:
            inputs["token_type_ids"] = Edge("token_type_ids", DIMS[form.kind])
        products = Int8Products(self.weights) if self._int8 else FloatProducts(self.weights)
        types = "token_type_ids" if form.types else None
        return GraphOps(graph, self.weights, products, texts, input_ids="input_ids", token_type_ids=types)

    def _finished(self, graph: Graph, inputs: Mapping[str, Edge], outputs: Mapping[str, Edge]) -> Program:
        for name, edge in outputs.items():
            graph.renamed(edge.name, name)
        read = {name for node in graph.nodes for name in node.input}
        used = tuple(name for name in self.weights.arrays if name in read)
        return Program(graph, inputs, outputs, used)


def speaking_head(spec: Spec) -> HeadFacts:
    """The first head that scores words. Raises ConfigError when there is none, or it sees what comes after."""
    if spec.pattern == "causal":
        for head in spec.heads:
            if head.kind in SPEAKING:
                return head
    kinds = ", ".join(head.kind for head in spec.heads) or "none"
    raise ConfigError(f"going on with a text needs a causal model whose head scores words; heads: {kinds}")


def model_proto(program: Program, weights: Weights, places: Mapping[str, tuple[int, int]]) -> Any:
    """The ModelProto. places: offset and bytes of every weight in DATA_FILE."""
    graph = program.graph
    proto = onnx.helper.make_graph(
        graph.nodes,
        "plm",
        [_value(name, edge.shape, INT64 if name in _WHOLE else _FLOAT) for name, edge in program.inputs.items()],
        [_value(name, edge.shape, _FLOAT) for name, edge in program.outputs.items()],
        [*graph.constants, *_external(program, weights, places)],
    )
    opsets = [onnx.helper.make_opsetid("", OPSET), onnx.helper.make_opsetid(RUNTIME, 1)]
    return onnx.helper.make_model(proto, opset_imports=opsets, ir_version=IR_VERSION, producer_name="plm")


def _external(program: Program, weights: Weights, places: Mapping[str, tuple[int, int]]) -> Iterator[Any]:
    for name in program.weights:
        array, (offset, length) = weights.arrays[name], places[name]
        kind = onnx.helper.np_dtype_to_tensor_dtype(array.dtype)
        tensor = onnx.TensorProto(name=name, data_type=kind, dims=array.shape)
        tensor.data_location = onnx.TensorProto.EXTERNAL
        for key, value in (("location", DATA_FILE), ("offset", offset), ("length", length)):
            tensor.external_data.add(key=key, value=str(value))
        yield tensor


def _value(name: str, shape: tuple[Dim, ...], kind: int) -> Any:
    return onnx.helper.make_tensor_value_info(name, kind, list(shape))


_FLOAT = onnx.TensorProto.FLOAT
_WHOLE = ("input_ids", "attention_mask", "token_type_ids", "lengths")
