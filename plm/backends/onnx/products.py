"""Products of rows and weights, as onnxruntime has them fastest on CPUs.

Measured with onnxruntime 1.31 at the shapes of BERT-base: Gemm is as fast as MatMul and Add, and takes weights as they
are stored. Queries, keys and values in one product are no faster than in three, which need no splitting. Gelu and
LayerNormalization of the standard are as fast as they get: BiasGelu and SkipLayerNormalization take two to three times
as long as what they stand for. With eight bits, rows are rounded once for all products that read them.
"""

from __future__ import annotations

from typing import Protocol

from plm.backends.onnx.graph import RUNTIME, Graph
from plm.backends.onnx.weights import Weights


class Products(Protocol):
    """rows @ weight.T + bias."""

    def write(self, graph: Graph, rows: str, weight: str, bias: str | None) -> str:
        """rows: (n, inputs). weight, bias: names of parameters, (outputs, inputs) and (outputs,). -> (n, outputs)."""
        ...


class FloatProducts:
    """In float32."""

    def __init__(self, weights: Weights) -> None:
        self._weights = weights

    def write(self, graph: Graph, rows: str, weight: str, bias: str | None) -> str:
        """See Products."""
        parameters = [self._weights.plain(name) for name in (weight, bias) if name is not None]
        return graph.op("Gemm", rows, *parameters, transB=1)


class Int8Products:
    """With weights of eight bits, rounded by output, and rows rounded at each call over the range of all of them."""

    def __init__(self, weights: Weights) -> None:
        self._weights = weights
        self._rounded: dict[str, list[str]] = {}

    def write(self, graph: Graph, rows: str, weight: str, bias: str | None) -> str:
        """See Products."""
        if rows not in self._rounded:
            self._rounded[rows] = graph.ops("DynamicQuantizeLinear", rows, outputs=3)
        values, step, zero = self._rounded[rows]
        rounded, steps = self._weights.eight_bits(weight)
        behind = () if bias is None else ("", self._weights.plain(bias))
        return graph.op("MatMulIntegerToFloat", values, rounded, step, steps, zero, *behind, domain=RUNTIME)
