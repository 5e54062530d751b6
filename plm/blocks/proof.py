"""Kernels that prove themselves: at its first use in a process a kernel computes a small case beside the plain path.

What runs on a device depends on its driver, its generation and torch's version, which no test foresees. A kernel that
raises, or gives other numbers than float64 on the CPU, is not used: one warning says why, and the plain path computes.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Hashable, Iterator, Sequence

import torch
from torch import Tensor

# How far a kernel may be from float64, in shares of the norm. Rounding costs a tenth of it, a wrong mask ten times it.
LIMITS = {torch.bfloat16: 2e-2, torch.float16: 4e-3, torch.float32: 1e-4, torch.float64: 1e-9}

Attend = Callable[[Tensor, Tensor, Tensor], Tensor]

_verdicts: dict[tuple[str, Hashable], bool] = {}


class KernelMismatch(ArithmeticError):
    """A kernel gives other numbers than the plain path."""


def proven(kernel: str, setting: Hashable, check: Callable[[], None]) -> bool:
    """True where a kernel may be used.

    setting: all that the answer depends on, such as device and dtype.
    check: computes a small case and raises whatever speaks against the kernel. Called once for each kernel and setting;
        random generators stand afterwards where they stood before.
    """
    place = (kernel, setting)
    if place not in _verdicts:
        try:
            with _aside():
                check()
        except Exception as error:  # an optional kernel may fail in any way, and none of them is the user's trouble
            _verdicts[place] = False
            warnings.warn(
                f"{kernel} is not used for {setting}: {type(error).__name__}: {error}. "
                "The plain path computes instead: the same results, with more time or memory",
                stacklevel=2,
            )
        else:
            _verdicts[place] = True
    return _verdicts[place]


def forget() -> None:
    """Ask every kernel again."""
    _verdicts.clear()


def compare(
    kernel: Attend, plain: Attend, *, shape: Sequence[int], device: torch.device, dtype: torch.dtype, seed: int = 0
) -> None:
    """Raise KernelMismatch unless context and gradients of a kernel are those of the plain path in float64 on the CPU.

    shape: of queries, keys and values, which are drawn from the seed and rounded to dtype on both sides.
    """
    generator = torch.Generator().manual_seed(seed)
    drawn = [torch.randn(*shape, generator=generator).to(dtype) for _ in range(4)]
    found = _with_gradients(kernel, [part.to(device) for part in drawn])
    expected = _with_gradients(plain, [part.double() for part in drawn])
    names = ("context", "gradient of the query", "gradient of the key", "gradient of the value")
    for name, ours, theirs in zip(names, found, expected, strict=True):
        require_near(name, ours, theirs, limit=LIMITS[dtype])


def require_near(name: str, found: Tensor, expected: Tensor, *, limit: float) -> None:
    """Raise KernelMismatch unless the norm of the difference is at most `limit` of that of `expected`."""
    difference = float((found.double().cpu() - expected).norm() / expected.norm().clamp(min=1e-30))
    if not difference <= limit:  # nan is far, too
        raise KernelMismatch(f"its {name} differs from the plain path by {difference:.2g} of the norm, at most {limit}")


def _with_gradients(attend: Attend, parts: Sequence[Tensor]) -> tuple[Tensor, ...]:
    *inputs, weights = parts
    leaves = [part.detach().requires_grad_() for part in inputs]
    context = attend(*leaves)
    return (context.detach(), *torch.autograd.grad(context, leaves, weights))


@contextlib.contextmanager
def _aside() -> Iterator[None]:
    """Gradients on, autocast off, and random generators put back: a proof happens in the middle of other work."""
    devices = range(torch.cuda.device_count() if torch.cuda.is_available() else 0)
    with contextlib.ExitStack() as stack:
        stack.enter_context(torch.inference_mode(False))
        stack.enter_context(torch.enable_grad())
        for kind in ("cpu", "cuda"):
            stack.enter_context(torch.autocast(kind, enabled=False))
        stack.enter_context(torch.random.fork_rng(devices=devices))
        yield
