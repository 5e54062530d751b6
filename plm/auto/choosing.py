"""From the name of a backend to what computes a folder: a runner that predicts, or an engine that goes on with texts.

Imports no torch; the backend does, if it needs it.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from plm.backends import BACKENDS
from plm.backends.runner import Runner
from plm.blocks.dtype_names import INT8
from plm.errors import BackendUnavailable

if TYPE_CHECKING:
    from plm.heads.engine import CausalEngine

TORCH = "torch"
"""The backend of loaded models, and of all that nobody says anything else about."""

DTYPES = ("float32", "bfloat16", "float16", INT8)
"""What commands let people choose from; a backend refuses those that it does not know."""


def settled(backend: str, dtype: str) -> tuple[str, str]:
    """A backend and its dtype, where dtype "int8" of PyTorch is the backend "int8", and there goes without saying."""
    if dtype == INT8 and backend in (TORCH, INT8):
        return INT8, "float32"
    return backend, dtype


def open_runner(folder: Path, head: str | None, *, backend: str, dtype: str) -> Runner:
    """What predicts with one head, or with the backbone alone.

    dtype: "float32" or what else the backend knows; "int8" means weights of eight bits, whatever computes.
    Raises UnknownNameError for a backend that is not there, BackendUnavailable for one that needs more than is
    installed, CheckpointError when the folder lacks the head.
    """
    backend, dtype = settled(backend, dtype)
    return BACKENDS.get(backend).load(folder, head, dtype)


def open_engine(folder: Path, *, backend: str, dtype: str) -> CausalEngine:
    """What goes on with texts; arguments and errors as of open_runner, and BackendUnavailable for one that cannot."""
    backend, dtype = settled(backend, dtype)
    row = BACKENDS.get(backend)
    if row.causal is None:
        able = ", ".join(name for name, other in BACKENDS.items() if other.causal is not None)
        raise BackendUnavailable(f"backend {backend!r} does not write texts: take one that does ({able})")
    return row.causal(folder, dtype)
