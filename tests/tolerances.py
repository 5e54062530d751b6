"""How close two results have to be, by dtype: the one place where tests take their tolerances from."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor


class Tolerance(NamedTuple):
    """|actual - expected| may be at most absolute + relative * |expected|."""

    relative: float
    absolute: float


# Room for the roundings that pile up in a tiny model of a few layers with values around one; in float32, results of
# other frameworks come out within 1e-6.
TOLERANCES = {
    torch.float64: Tolerance(relative=1e-10, absolute=1e-10),
    torch.float32: Tolerance(relative=1e-5, absolute=1e-5),
    torch.float16: Tolerance(relative=5e-3, absolute=5e-3),
    torch.bfloat16: Tolerance(relative=3e-2, absolute=3e-2),
}

# Norm of the difference that weights of eight bits may make, in shares of the norm of the exact result. Tiny random
# models are their worst case; a program that computes something else is off by about 1.
INT8_SHARE = 0.25


def assert_close(actual: Any, expected: Any, *, dtype: torch.dtype | None = None, factor: float = 1.0) -> None:
    """Compare tensors or arrays within the tolerance of a dtype. Shapes have to agree; NaN equals NaN.

    dtype: whose tolerance counts; None: the coarser of the two floating dtypes (integers and booleans: equal).
    factor: widens the tolerance; say at the call why it has to be.
    """
    actual, expected = torch.as_tensor(actual), torch.as_tensor(expected)
    if dtype is None:
        dtype = max((actual.dtype, expected.dtype), key=lambda kind: TOLERANCES.get(kind, Tolerance(0, 0)))
    tolerance = TOLERANCES.get(dtype, Tolerance(0, 0))
    torch.testing.assert_close(
        _comparable(actual),
        _comparable(expected),
        rtol=tolerance.relative * factor,
        atol=tolerance.absolute * factor,
        equal_nan=True,
    )


def _comparable(values: Tensor) -> Tensor:
    return values.detach().cpu().to(torch.float64 if values.is_floating_point() else torch.int64)
