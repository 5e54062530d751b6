"""Texts of which some tokens are new, in graphs: the keys and values of those before are given."""

from __future__ import annotations

from plm.backends.onnx.attention import Shape, attend_relative, merge_heads, split_heads
from plm.backends.onnx.graph import BOOL, INT32, INT64, RUNTIME, Graph
from plm.backends.onnx.texts import Edge


class GrowingTexts:
    """Texts of which some tokens are new, and the keys and values of those before are given: rows (batch * new,).

    attention_mask: (batch, past + new), an edge; zeros are filling on the left. past: for each block, edges of its keys
        and values, (batch, heads, past, head size). present: what `attend` made of them.
    """

    leading = 1

    def __init__(self, graph: Graph, input_ids: str, attention_mask: str, past: list[tuple[str, str]]) -> None:
        self._graph, self._past = graph, past
        self.present: list[tuple[str, str]] = []
        self._leading = graph.op("Shape", input_ids)
        live = graph.op("Cast", attention_mask, to=BOOL)
        new, total = graph.dims(input_ids, 1), graph.dims(attention_mask, 1)
        self._begin = graph.op("Sub", total, new)
        self._mask = graph.op("Cast", live, to=INT32)
        self._seen = graph.op("Unsqueeze", live, graph.constant([1, 2]))
        first = graph.op("ArgMax", graph.op("Cast", live, to=INT64), axis=1, keepdims=1)
        columns = graph.op("Add", graph.range(graph.op("Squeeze", new, graph.constant([0]))), self._begin)
        positions = graph.op("Max", graph.op("Sub", columns, first), graph.constant([0]))
        self.positions = self.rows(positions)

    def rows(self, values: str) -> str:
        """See Texts."""
        return self._graph.op("Reshape", values, self._graph.constant([-1]))

    def attend(self, query: str, key: str, value: str, shape: Shape, *, layer: int) -> str:
        """See Texts."""
        context, keys, values = (self._relative if shape.radius else self._dot)(query, key, value, shape, layer)
        self.present.append((keys, values))
        return context

    def first_tokens(self, rows: str) -> str:
        """The first of the new tokens."""
        return self._token(rows, 0)

    def last_tokens(self, rows: str) -> str:
        """The last of the new tokens."""
        return self._token(rows, -1)

    def restore(self, rows: Edge, *, lowest: bool) -> Edge:
        """See Texts."""
        return Edge(self._batched(rows.name), ("batch", "new", *rows.shape[1:]))

    def by_text(self, values: Edge) -> Edge:
        """See Texts."""
        return values

    def without_absent(self, logits: str) -> str:
        """See Texts: all texts have tokens."""
        return logits

    def _dot(self, query: str, key: str, value: str, shape: Shape, layer: int) -> tuple[str, str, str]:
        rows = [self._batched(edge) for edge in (query, key, value)]
        context, keys, values = self._graph.ops(
            "MultiHeadAttention",
            *(*rows, "", self._mask, "", *self._past[layer]),
            outputs=3,
            domain=RUNTIME,
            num_heads=shape.heads,
            unidirectional=int(shape.is_causal),
        )
        return self._graph.op("Reshape", context, self._graph.joined(-1, shape.heads * shape.head_size)), keys, values

    def _relative(self, query: str, key: str, value: str, shape: Shape, layer: int) -> tuple[str, str, str]:
        graph = self._graph
        query, key, value = (split_heads(graph, edge, self._leading, shape) for edge in (query, key, value))
        keys, values = (
            graph.op("Concat", before, new, axis=2) for before, new in zip(self._past[layer], (key, value), strict=True)
        )
        context = attend_relative(graph, query, keys, values, shape, begin=self._begin, seen=self._seen)
        return merge_heads(graph, context, graph.constant([-1]), shape), keys, values

    def _batched(self, rows: str) -> str:
        """(batch * new, hidden) -> (batch, new, hidden)."""
        return self._graph.op("Reshape", rows, self._graph.joined(self._leading, -1))

    def _token(self, rows: str, index: int) -> str:
        return self._graph.op("Gather", self._batched(rows), self._graph.constant(index), axis=1)
