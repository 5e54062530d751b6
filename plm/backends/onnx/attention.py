"""Self-attention in graphs: text by text, so that nothing is padded and memory is that of one text.

A loop over texts that calls MultiHeadAttention without any mask, which onnxruntime computes in blocks, is two to seven
times as fast as one call on a padded rectangle with a mask (onnxruntime 1.31, sentences of real lengths). NEZHA's
attention is written out, in blocks of queries, for its scores are kept.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from plm.backends.onnx.graph import RUNTIME, Graph
from plm.backends.program.distances import relative_table

QUERY_ROWS = 128
"""Queries of a text whose scores are in memory together, where scores are."""

LOWEST = float(np.finfo(np.float32).min)


@dataclass(frozen=True)
class Pieces:
    """Queries that attend together, piece by piece: columns (pieces, 1), int64, of rows of all packed tokens.

    count: a scalar. text: (pieces,), which text each is of. begins: place of the first query in its text.
    """

    count: str
    text: str
    begins: str
    query_starts: str
    query_ends: str
    key_starts: str
    key_ends: str


def pieces(graph: Graph, starts: str, lengths: str, *, rows: int | None) -> Pieces:
    """Cut texts, (texts,) first rows and numbers of rows, into pieces of so many queries; None = whole."""
    if rows is None:
        first = graph.column(starts)
        last = graph.column(graph.op("Add", starts, lengths))
        count = graph.op("Size", lengths)
        return Pieces(count, graph.range(count), graph.op("Sub", first, first), first, last, first, last)
    longest = graph.op("ReduceMax", lengths, keepdims=0)
    grid = graph.op("Range", graph.constant(0), longest, graph.constant(rows))
    inside = graph.op("NonZero", graph.op("Less", grid, graph.column(lengths)))
    text, number = graph.ops("Split", inside, outputs=2, axis=0, num_outputs=2)
    text, number = (graph.op("Reshape", edge, graph.constant([-1])) for edge in (text, number))
    begins = graph.op("Mul", number, graph.constant(rows))
    key_starts = graph.op("Gather", starts, text)
    key_ends = graph.op("Add", key_starts, graph.op("Gather", lengths, text))
    query_starts = graph.op("Add", key_starts, begins)
    query_ends = graph.op("Min", graph.op("Add", query_starts, graph.constant(rows)), key_ends)
    columns = [graph.column(edge) for edge in (begins, query_starts, query_ends, key_starts, key_ends)]
    return Pieces(graph.op("Size", text), text, *columns)


@dataclass(frozen=True, kw_only=True)
class Shape:
    """Of one attention: numbers of heads and columns of each; is_causal: True = no token sees those to its right.

    radius: 0 = dot-product attention, else NEZHA's.
    """

    heads: int
    head_size: int
    is_causal: bool
    radius: int


def attend_by_text(
    graph: Graph,
    rows: tuple[str, str, str],
    cut: Pieces,
    shape: Shape,
    *,
    absent: str | None,
    seen: str | None,
) -> str:
    """The context of packed queries, keys and values, each (tokens, hidden).

    absent: (texts,), bool, texts whose tokens see nothing; None = there are none.
    seen: (tokens,), bool, keys that may be seen; None = all.
    """

    def piece(body: Graph, number: str) -> str:
        ends = [
            (body.op("Gather", start, number), body.op("Gather", end, number))
            for start, end in ((cut.query_starts, cut.query_ends), (cut.key_starts, cut.key_ends))
        ]
        query, key, value = (
            body.op("Slice", edge, *place, body.constant([0]))
            for edge, place in zip(rows, (ends[0], ends[1], ends[1]), strict=True)
        )
        visible = None if seen is None else body.op("Slice", seen, *ends[1], body.constant([0]))
        begin = body.op("Gather", cut.begins, number)

        def attended(inside: Graph) -> str:
            return _one_text(inside, (query, key, value), shape, begin=begin, seen=visible)

        if absent is None:
            return attended(body)
        lonely = body.op("Gather", absent, body.op("Gather", cut.text, number))
        return body.branch(lonely, lambda inside: inside.op("Sub", query, query), attended)

    return graph.each(cut.count, piece)


def _one_text(graph: Graph, rows: tuple[str, str, str], shape: Shape, *, begin: str, seen: str | None) -> str:
    """(queries, hidden), (keys, hidden) twice -> (queries, hidden)."""
    if shape.radius:
        query, key, value = (split_heads(graph, edge, graph.constant([1, -1]), shape) for edge in rows)
        context = attend_relative(graph, query, key, value, shape, begin=begin, seen=seen)
        return merge_heads(graph, context, graph.constant([-1]), shape)
    batched = [graph.op("Unsqueeze", edge, graph.constant([0])) for edge in rows]
    context = graph.op(
        "MultiHeadAttention", *batched, domain=RUNTIME, num_heads=shape.heads, unidirectional=int(shape.is_causal)
    )
    return graph.op("Squeeze", context, graph.constant([0]))


def split_heads(graph: Graph, rows: str, leading: str, shape: Shape) -> str:
    """(tokens, hidden) -> (batch, heads, length, head size). leading: batch and length, (2,)."""
    wide = graph.op("Reshape", rows, graph.joined(leading, shape.heads, shape.head_size))
    return graph.op("Transpose", wide, perm=[0, 2, 1, 3])


def merge_heads(graph: Graph, context: str, leading: str, shape: Shape) -> str:
    """(batch, heads, length, head size) -> (*leading, hidden)."""
    wide = graph.op("Transpose", context, perm=[0, 2, 1, 3])
    return graph.op("Reshape", wide, graph.joined(leading, shape.heads * shape.head_size))


def attend_relative(
    graph: Graph, query: str, key: str, value: str, shape: Shape, *, begin: str, seen: str | None
) -> str:
    """NEZHA's attention: score = (q k + q R) / sqrt(d), context = sum of p (v + R). (batch, heads, queries, head size).

    begin: place of the first query among the keys, (1,), int64. seen: bool, broadcastable to the scores; None = all.
    A product with one row of R for every distance that occurs gives a band: row i of it, shifted by i, are the scores
    of query i. The shift is a reshape of a matrix that has one column more.
    """
    queries, keys = graph.dims(query, 2, 3), graph.dims(key, 2, 3)
    band = _Band(graph, queries, keys)
    rows = _distance_rows(graph, band.width, queries, begin, shape)
    scaled = graph.op("Mul", query, graph.constant(1.0 / math.sqrt(shape.head_size), np.float32))
    scores = graph.op("MatMul", scaled, graph.op("Transpose", key, perm=[0, 1, 3, 2]))
    by_distance = graph.op("MatMul", scaled, graph.op("Transpose", rows, perm=[1, 0]))
    scores = graph.op("Add", scores, band.to_keys(by_distance))
    if shape.is_causal:
        seen = _and(graph, seen, _not_right(graph, queries, keys, begin))
    if seen is not None:
        scores = graph.op("Where", seen, scores, graph.constant(LOWEST, np.float32))
    shares = graph.op("Softmax", scores, axis=-1)
    of_values = graph.op("MatMul", shares, value)
    return graph.op("Add", of_values, graph.op("MatMul", band.from_keys(shares), rows))


class _Band:
    """Between scores by key, (batch, heads, queries, keys), and by distance, (batch, heads, queries, width).

    Column c of row i by distance is the key c - (queries - 1 - i).
    """

    def __init__(self, graph: Graph, queries: str, keys: str) -> None:
        self._graph, self._queries, self._keys = graph, queries, keys
        self.width = graph.op("Add", queries, keys)
        one = graph.constant([1])
        self._before = graph.op("Sub", queries, one)
        self._narrow = graph.op("Sub", self.width, one)
        self._flat = graph.joined(0, 0, -1)  # 0 = as it was

    def to_keys(self, by_distance: str) -> str:
        """By distance -> by key."""
        graph = self._graph
        flat = graph.op("Reshape", by_distance, self._flat)
        end = graph.op("Add", self._before, graph.op("Mul", self._queries, self._narrow))
        flat = graph.op("Slice", flat, self._before, end, graph.constant([2]))
        square = graph.op("Reshape", flat, graph.joined(0, 0, self._queries, self._narrow))
        return graph.op("Slice", square, graph.constant([0]), self._keys, graph.constant([3]))

    def from_keys(self, by_key: str) -> str:
        """By key -> by distance, zero where there is no key."""
        graph = self._graph
        filled = self._padded(by_key, graph.constant([0]), self._before, axis=3)
        flat = self._padded(graph.op("Reshape", filled, self._flat), self._before, graph.constant([1]), axis=2)
        return graph.op("Reshape", flat, graph.joined(0, 0, self._queries, self.width))

    def _padded(self, values: str, before: str, behind: str, *, axis: int) -> str:
        """With zeros along one dimension."""
        graph = self._graph
        return graph.op("Pad", values, graph.joined(before, behind), "", graph.constant([axis]))


def _distance_rows(graph: Graph, width: str, queries: str, begin: str, shape: Shape) -> str:
    """(width, head size): the rows of the table of distances for the columns of a band."""
    last = graph.op("Sub", graph.op("Add", begin, queries), graph.constant([1]))  # place of the last query
    columns = graph.range(graph.op("Squeeze", width, graph.constant([0])))
    distance = graph.op("Sub", columns, last)
    radius = shape.radius
    clipped = graph.op("Clip", distance, graph.constant(-radius), graph.constant(radius))
    table = graph.constant(relative_table(radius, shape.head_size), np.float32)
    return graph.op("Gather", table, graph.op("Add", clipped, graph.constant([radius])))


def _not_right(graph: Graph, queries: str, keys: str, begin: str) -> str:
    """(queries, keys), bool, True = the key is not to the right of the query."""
    rows, columns = (graph.range(graph.op("Squeeze", edge, graph.constant([0]))) for edge in (queries, keys))
    return graph.op("LessOrEqual", columns, graph.column(graph.op("Add", rows, begin)))


def _and(graph: Graph, first: str | None, second: str) -> str:
    return second if first is None else graph.op("And", first, second)
