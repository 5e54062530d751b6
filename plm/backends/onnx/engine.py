"""The vocabulary of plm.backends.program, written as ONNX nodes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from plm.backends.onnx.attention import Shape
from plm.backends.onnx.graph import Graph
from plm.backends.onnx.products import Products
from plm.backends.onnx.texts import Edge, Texts
from plm.backends.onnx.weights import Weights

# Name of an activation -> operator and attributes.
ACTIVATIONS: dict[str, tuple[str, dict[str, str]]] = {
    "gelu": ("Gelu", {}),
    "gelu_new": ("Gelu", {"approximate": "tanh"}),
    "relu": ("Relu", {}),
    "tanh": ("Tanh", {}),
}


class GraphOps:
    """Ops[Edge]: every operation adds nodes to a graph; see plm.backends.program.ops."""

    def __init__(
        self,
        graph: Graph,
        weights: Weights,
        products: Products,
        texts: Texts,
        *,
        input_ids: str,
        token_type_ids: str | None,
    ) -> None:
        self._graph, self._weights, self._products, self._texts = graph, weights, products, texts
        self.leading = texts.leading
        self.input_ids = Edge(texts.rows(input_ids), ("tokens",))
        self.token_type_ids = None if token_type_ids is None else Edge(texts.rows(token_type_ids), ("tokens",))
        self.positions = Edge(texts.positions, ("tokens",))

    def parameter(self, name: str) -> Edge:
        """See Ops."""
        return Edge(self._weights.plain(name), self._weights.shape(name))

    def lookup(self, table: str, rows: Edge) -> Edge:
        """See Ops."""
        width = self._weights.shape(table)[1]
        return Edge(self._graph.op("Gather", self._weights.plain(table), rows.name), (*rows.shape, width))

    def row(self, table: str, index: int) -> Edge:
        """See Ops."""
        row = self._graph.op("Gather", self._weights.plain(table), self._graph.constant(index))
        return Edge(row, self._weights.shape(table)[1:])

    def add(self, left: Edge, right: Edge) -> Edge:
        """See Ops."""
        return Edge(self._graph.op("Add", left.name, right.name), max(left.shape, right.shape, key=len))

    def linear(self, rows: Edge, name: str, *, activation: str | None = None, bias: bool = True) -> Edge:
        """See Ops."""
        result = self.score(rows, f"{name}.weight", bias=f"{name}.bias" if bias else None)
        return result if activation is None else self.activate(result, activation)

    def linears(self, rows: Edge, names: Sequence[str]) -> tuple[Edge, ...]:
        """See Ops."""
        return tuple(self.linear(rows, name) for name in names)

    def score(self, rows: Edge, table: str, *, bias: str | None = None) -> Edge:
        """See Ops."""
        outputs = self._weights.shape(table)[0]
        return Edge(self._products.write(self._graph, rows.name, table, bias), (*rows.shape[:-1], outputs))

    def norm(self, rows: Edge, name: str, *, eps: float) -> Edge:
        """See Ops."""
        parameters = [self._weights.plain(f"{name}.{part}") for part in ("weight", "bias")]
        normed = self._graph.op("LayerNormalization", rows.name, *parameters, axis=-1, epsilon=eps)
        return Edge(normed, rows.shape)

    def add_and_norm(self, rows: Edge, residual: Edge, name: str, *, eps: float) -> Edge:
        """See Ops."""
        return self.norm(self.add(rows, residual), name, eps=eps)

    def activate(self, rows: Edge, activation: str) -> Edge:
        """See Ops."""
        if activation == "silu":  # the standard has none before opset 24
            return Edge(self._graph.op("Mul", rows.name, self._graph.op("Sigmoid", rows.name)), rows.shape)
        kind, attributes = ACTIVATIONS[activation]
        return Edge(self._graph.op(kind, rows.name, **attributes), rows.shape)

    def attend(
        self,
        query: Edge,
        key: Edge,
        value: Edge,
        *,
        heads: int,
        pattern: Literal["full", "causal"],
        radius: int,
        layer: int,
    ) -> Edge:
        """See Ops."""
        width = query.shape[-1]
        assert isinstance(width, int)
        shape = Shape(heads=heads, head_size=width // heads, is_causal=pattern == "causal", radius=radius)
        return Edge(self._texts.attend(query.name, key.name, value.name, shape, layer=layer), query.shape)

    def first_tokens(self, rows: Edge) -> Edge:
        """See Ops."""
        return Edge(self._texts.first_tokens(rows.name), ("batch", *rows.shape[1:]))

    def last_tokens(self, rows: Edge) -> Edge:
        """See Ops."""
        return Edge(self._texts.last_tokens(rows.name), ("batch", *rows.shape[1:]))

    def restore(self, rows: Edge, *, lowest: bool = False) -> Edge:
        """See Ops."""
        return self._texts.restore(rows, lowest=lowest)

    def by_text(self, values: Edge) -> Edge:
        """See Ops."""
        return self._texts.by_text(values)

    def column(self, values: Edge, index: int) -> Edge:
        """See Ops."""
        return Edge(self._graph.op("Gather", values.name, self._graph.constant(index), axis=-1), values.shape[:-1])

    def sum_texts(self, values: Edge) -> Edge:
        """See Ops."""
        summed = self._graph.op("ReduceSum", values.name, self._graph.constant([1]), keepdims=0)
        return Edge(summed, (values.shape[0], *values.shape[2:]))

    def without_absent(self, logits: Edge) -> Edge:
        """See Ops."""
        return Edge(self._texts.without_absent(logits.name), logits.shape)
