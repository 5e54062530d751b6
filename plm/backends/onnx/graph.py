"""ONNX graphs as they are written: one operation after the other, with loops and branches as graphs inside."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from plm.errors import optional_import

onnx = optional_import("onnx", extra="onnx", purpose="writing ONNX graphs")

OPSET = 20  # the first with Gelu
RUNTIME = "com.microsoft"
"""Domain of the operators that onnxruntime adds to the standard's."""

INT32, INT64, BOOL = onnx.TensorProto.INT32, onnx.TensorProto.INT64, onnx.TensorProto.BOOL

Scalar = int | float | bool


class Graph:
    """A graph that grows.

    Edges are known by their names, which are new wherever an operation makes one, and seen by all graphs inside.
    outer: the graph that this one is a loop's body or a branch of; None = none.
    """

    def __init__(self, outer: Graph | None = None) -> None:
        self._root: Graph = self if outer is None else outer._root
        self.nodes: list[Any] = []
        self.constants: list[Any] = []
        self._known: dict[tuple[str, tuple[int, ...], bytes], str] = {}
        self._numbers = itertools.count()

    def op(self, kind: str, *inputs: str, domain: str = "", **attributes: Any) -> str:
        """Add a node with one output, and return the name of that. inputs: "" = an optional one that is not given."""
        return self.ops(kind, *inputs, outputs=1, domain=domain, **attributes)[0]

    def ops(self, kind: str, *inputs: str, outputs: int, domain: str = "", **attributes: Any) -> list[str]:
        """As `op`, with several outputs."""
        names = [f"{kind}_{next(self._root._numbers)}" for _ in range(outputs)]
        self.nodes.append(onnx.helper.make_node(kind, list(inputs), names, name=names[0], domain=domain, **attributes))
        return names

    def constant(self, values: Scalar | Sequence[Scalar] | np.ndarray[Any, Any], dtype: Any = np.int64) -> str:
        """A constant tensor; equal ones are kept once."""
        root, array = self._root, np.asarray(values, dtype)
        key = (str(array.dtype), array.shape, array.tobytes())
        if key not in root._known:
            root._known[key] = f"constant_{next(root._numbers)}"
            root.constants.append(onnx.numpy_helper.from_array(array, root._known[key]))
        return root._known[key]

    def renamed(self, edge: str, name: str) -> None:
        """Make an edge known by a name of the caller's as well."""
        self.nodes.append(onnx.helper.make_node("Identity", [edge], [name], name=name))

    def dims(self, edge: str, start: int, stop: int | None = None) -> str:
        """Part of an edge's shape: (stop - start,), int64."""
        bounds: dict[str, Any] = {"start": start} if stop is None else {"start": start, "end": stop}
        return self.op("Shape", edge, **bounds)

    def joined(self, *parts: str | int) -> str:
        """Vectors of int64 one behind the other; numbers count as vectors of length 1."""
        edges = [self.constant([part]) if isinstance(part, int) else part for part in parts]
        return self.op("Concat", *edges, axis=0)

    def column(self, vector: str) -> str:
        """(n,) -> (n, 1)."""
        return self.op("Unsqueeze", vector, self.constant([1]))

    def range(self, stop: str) -> str:
        """0 to stop, a scalar, exclusive: int64."""
        return self.op("Range", self.constant(0), stop, self.constant(1))

    def branch(self, condition: str, then: Callable[[Graph], str], otherwise: Callable[[Graph], str]) -> str:
        """What one of two functions writes, chosen by a bool scalar when the graph runs. They are given a new graph."""
        bodies = []
        for write in (then, otherwise):
            body = Graph(self)
            result = onnx.helper.make_tensor_value_info(write(body), onnx.TensorProto.FLOAT, None)
            bodies.append(body._finished("branch", [], [result]))
        return self.op("If", condition, then_branch=bodies[0], else_branch=bodies[1])

    def each(self, count: str, write: Callable[[Graph, str], str]) -> str:
        """Write a loop, and return what its rounds give, float32, one behind the other along the first dimension.

        count: a scalar, int64, at least 1. write: (new graph, number of the round, a scalar) -> what that gives.
        """
        body, (number, going, held) = Graph(self), self._names("round", "going", "held")
        result = write(body, number)
        inserted = body.op("SequenceInsert", held, result)
        float32, sequence = onnx.TensorProto.FLOAT, onnx.helper.make_tensor_sequence_value_info
        inputs = [
            onnx.helper.make_tensor_value_info(number, onnx.TensorProto.INT64, []),
            onnx.helper.make_tensor_value_info(going, onnx.TensorProto.BOOL, []),
            sequence(held, float32, None),
        ]
        still = onnx.helper.make_tensor_value_info(body.op("Identity", going), onnx.TensorProto.BOOL, [])
        proto = body._finished("round", inputs, [still, sequence(inserted, float32, None)])
        rounds = self.op("Loop", count, "", self.op("SequenceEmpty"), body=proto)
        return self.op("ConcatFromSequence", rounds, axis=0)

    def _names(self, *kinds: str) -> list[str]:
        return [f"{kind}_{next(self._root._numbers)}" for kind in kinds]

    def _finished(self, name: str, inputs: list[Any], outputs: list[Any]) -> Any:
        return onnx.helper.make_graph(self.nodes, f"{name}_{next(self._root._numbers)}", inputs, outputs)
