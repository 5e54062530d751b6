"""Where the texts of a call lie, in graphs: packed by the caller, or padded. Both hold rows of (tokens, hidden)."""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np

from plm.backends.onnx.attention import (
    LOWEST,
    QUERY_ROWS,
    Pieces,
    Shape,
    attend_by_text,
    pieces,
)
from plm.backends.onnx.graph import BOOL, INT64, Graph

Dim = int | str


class Edge(NamedTuple):
    """A value: the name of an edge, and its shape, in which names stand for what a call decides."""

    name: str
    shape: tuple[Dim, ...]


class Texts(Protocol):
    """The part of an engine that knows which rows belong to which text; see plm.backends.program.ops.Ops.

    positions: (tokens,), int64, counted from each text's first live token.
    """

    leading: int
    positions: str

    def rows(self, values: str) -> str:
        """An input by the caller's tokens -> (tokens,)."""
        ...

    def attend(self, query: str, key: str, value: str, shape: Shape, *, layer: int) -> str:
        """See Ops.attend."""
        ...

    def first_tokens(self, rows: str) -> str:
        """See Ops."""
        ...

    def last_tokens(self, rows: str) -> str:
        """See Ops."""
        ...

    def restore(self, rows: Edge, *, lowest: bool) -> Edge:
        """See Ops."""
        ...

    def by_text(self, values: Edge) -> Edge:
        """See Ops."""
        ...

    def without_absent(self, logits: str) -> str:
        """See Ops."""
        ...


class _Cut:
    """The pieces in which texts attend, written when they are first asked for."""

    def __init__(self, graph: Graph, starts: str, lengths: str) -> None:
        self._graph, self._starts, self._lengths = graph, starts, lengths
        self._pieces: dict[int | None, Pieces] = {}

    def for_shape(self, shape: Shape) -> Pieces:
        """Whole texts where onnxruntime cuts them itself."""
        rows = QUERY_ROWS if shape.radius else None
        if rows not in self._pieces:
            self._pieces[rows] = pieces(self._graph, self._starts, self._lengths, rows=rows)
        return self._pieces[rows]


class PackedTexts:
    """Texts that the caller has packed. lengths: (texts,), int64, an edge."""

    leading = 0

    def __init__(self, graph: Graph, lengths: str) -> None:
        self._graph = graph
        ends = graph.op("CumSum", lengths, graph.constant(0))
        self._starts = graph.op("Sub", ends, lengths)
        self._last = graph.op("Sub", ends, graph.constant([1]))
        columns = graph.range(graph.op("ReduceMax", lengths, keepdims=0))
        live = graph.op("Less", columns, graph.column(lengths))
        self.positions = _places(graph, live)[1]
        self._cut = _Cut(graph, self._starts, lengths)

    def rows(self, values: str) -> str:
        """See Texts."""
        return values

    def attend(self, query: str, key: str, value: str, shape: Shape, *, layer: int) -> str:
        """See Texts."""
        cut = self._cut.for_shape(shape)
        return attend_by_text(self._graph, (query, key, value), cut, shape, absent=None, seen=None)

    def first_tokens(self, rows: str) -> str:
        """See Texts."""
        return self._graph.op("Gather", rows, self._starts)

    def last_tokens(self, rows: str) -> str:
        """See Texts."""
        return self._graph.op("Gather", rows, self._last)

    def restore(self, rows: Edge, *, lowest: bool) -> Edge:
        """See Texts: packed rows."""
        return rows

    def by_text(self, values: Edge) -> Edge:
        """See Texts."""
        return values

    def without_absent(self, logits: str) -> str:
        """See Texts: packed texts always have tokens."""
        return logits


class PaddedTexts:
    """Texts in a rectangle, which are packed at once and restored at the end.

    input_ids, attention_mask: edges of `dims`, such as ("batch", "length"). Non-zero marks live tokens, and the last of
    the largest values in a text is its last token: 1, or 2 where a caller says so.
    in_spans: True = tokens between live ones that are not live themselves stay between, for attention that counts
        places; they are never seen.
    A text without any live token keeps all its tokens, which see nothing.
    """

    def __init__(
        self, graph: Graph, input_ids: str, attention_mask: str, dims: tuple[str, ...], *, in_spans: bool
    ) -> None:
        self._graph, self._dims, self.leading = graph, dims, len(dims) - 1
        self._given = input_ids
        self._length = graph.dims(input_ids, self.leading)
        self._mask = graph.op("Reshape", attention_mask, graph.joined(-1, self._length))
        live = graph.op("Cast", self._mask, to=BOOL)
        numbers = graph.op("Cast", live, to=INT64)
        some = graph.op("ReduceMax", numbers, graph.constant([1]), keepdims=0)
        self._absent = graph.op("Not", graph.op("Cast", some, to=BOOL))
        first = graph.op("ArgMax", numbers, axis=1, keepdims=1)
        kept = self._spans(numbers, first) if in_spans else graph.op("Or", live, graph.column(self._absent))
        text, column = _places(graph, kept)
        self._flat = graph.op("Add", graph.op("Mul", text, self._length), column)
        self._seen = self._of_rows(live) if in_spans else None
        self.positions = self._positions(column, text, first)
        self._kept = graph.op("Cast", kept, to=INT64)
        lengths = graph.op("ReduceSum", self._kept, graph.constant([1]), keepdims=0)
        self._starts = graph.op("Sub", graph.op("CumSum", lengths, graph.constant(0)), lengths)
        self._cut = _Cut(graph, self._starts, lengths)

    def rows(self, values: str) -> str:
        """See Texts."""
        return self._of_rows(values)

    def attend(self, query: str, key: str, value: str, shape: Shape, *, layer: int) -> str:
        """See Texts."""
        cut = self._cut.for_shape(shape)
        return attend_by_text(self._graph, (query, key, value), cut, shape, absent=self._absent, seen=self._seen)

    def first_tokens(self, rows: str) -> str:
        """See Texts."""
        return self._graph.op("Gather", rows, self._starts)

    def last_tokens(self, rows: str) -> str:
        """See Texts."""
        graph = self._graph
        last = graph.op("ArgMax", self._mask, axis=1, keepdims=1, select_last_index=1)
        rank = graph.op("CumSum", self._kept, graph.constant(1), exclusive=1)  # of each column among those kept
        rank = graph.op("Squeeze", graph.op("GatherElements", rank, last, axis=1), graph.constant([1]))
        return graph.op("Gather", rows, graph.op("Add", self._starts, rank))

    def restore(self, rows: Edge, *, lowest: bool) -> Edge:
        """See Texts."""
        graph, trailing = self._graph, _numbers(rows.shape[1:])
        everything = graph.op("Size", self._given)
        whole = graph.op("Equal", graph.op("Size", self._flat), everything)

        def scattered(inside: Graph) -> str:
            shape = inside.joined(inside.op("Reshape", everything, inside.constant([1])), *trailing)
            empty = inside.op("Expand", inside.constant(LOWEST if lowest else 0.0, np.float32), shape)
            return inside.op("ScatterND", empty, inside.column(self._flat), rows.name)

        filled = graph.branch(whole, lambda inside: inside.op("Identity", rows.name), scattered)
        shape = graph.joined(graph.op("Shape", self._given), *trailing)
        return Edge(graph.op("Reshape", filled, shape), (*self._dims, *rows.shape[1:]))

    def by_text(self, values: Edge) -> Edge:
        """See Texts."""
        graph, shape = self._graph, (*self._dims[:-1], *values.shape[1:])
        if self.leading < 2:
            return Edge(values.name, shape)
        wanted = graph.joined(graph.dims(self._given, 0, self.leading), *_numbers(values.shape[1:]))
        return Edge(graph.op("Reshape", values.name, wanted), shape)

    def without_absent(self, logits: str) -> str:
        """See Texts."""
        absent = self._graph.op("Reshape", self._absent, self._graph.op("Shape", logits))
        return self._graph.op("Where", absent, self._graph.constant(LOWEST, np.float32), logits)

    def _of_rows(self, values: str) -> str:
        """By the caller's tokens -> (tokens,)."""
        return self._graph.op("Gather", self._graph.op("Reshape", values, self._graph.constant([-1])), self._flat)

    def _spans(self, numbers: str, first: str) -> str:
        """(texts, length), bool: from the first live token to the last; all where there is none."""
        graph = self._graph
        last = graph.op("ArgMax", numbers, axis=1, keepdims=1, select_last_index=1)
        columns = graph.range(graph.op("Squeeze", self._length, graph.constant([0])))
        return graph.op("And", graph.op("LessOrEqual", first, columns), graph.op("LessOrEqual", columns, last))

    def _positions(self, column: str, text: str, first: str) -> str:
        graph = self._graph
        begins = graph.op("Gather", graph.op("Squeeze", first, graph.constant([1])), text)
        return graph.op("Sub", column, begins)


def _places(graph: Graph, chosen: str) -> tuple[str, str]:
    """(texts, length), bool -> text and column of every chosen place, (tokens,) each, in order."""
    text, column = graph.ops("Split", graph.op("NonZero", chosen), outputs=2, axis=0, num_outputs=2)
    return graph.op("Reshape", text, graph.constant([-1])), graph.op("Reshape", column, graph.constant([-1]))


def _numbers(shape: tuple[Dim, ...]) -> list[int]:
    """The trailing part of a shape, which is the same in every call."""
    return [dim for dim in shape if isinstance(dim, int)]
