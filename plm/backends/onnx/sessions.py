"""Sessions of onnxruntime: how they are opened, and where their graphs come from."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from plm.backends.onnx.forms import Form
from plm.errors import optional_import

runtime = optional_import("onnxruntime", extra="onnx", purpose="the onnx backend")

FAILURES: tuple[type[Exception], ...] = tuple(
    kind
    for kind in vars(runtime.capi.onnxruntime_pybind11_state).values()
    if isinstance(kind, type) and issubclass(kind, Exception)
)
"""What onnxruntime raises."""

WARNINGS = 3  # onnxruntime's severity: errors and worse are told


class Sessions(Protocol):
    """Where the graphs of one model come from."""

    def get(self, form: Form) -> Any:
        """The InferenceSession of a form, opened at the first call. Raises PlmError kin where there is none."""
        ...


def open_session(model: bytes | str, weights: Mapping[str, np.ndarray[Any, Any]] | None = None) -> Any:
    """An InferenceSession on CPUs. model: a ModelProto's bytes with these weights, or the path of a file.

    The weights are used where they are, besides the copy that onnxruntime makes for its kernels: the caller keeps them.
    """
    options = runtime.SessionOptions()
    options.log_severity_level = WARNINGS
    options.intra_op_num_threads = threads()
    options.inter_op_num_threads = 1
    # Shapes differ from call to call: a plan of memory for each of them would only grow.
    options.enable_mem_pattern = False
    if not multiplies_bytes():
        options.add_session_config_entry("session.x64quantprecision", "1")
    if weights:
        held = [runtime.OrtValue.ortvalue_from_numpy(array) for array in weights.values()]
        options.add_external_initializers(list(weights), held)
    return runtime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def threads() -> int:
    """Threads of a session: as many as torch takes, where it is imported; else OMP_NUM_THREADS; 0 = one a core."""
    torch = sys.modules.get("torch")
    if torch is not None:
        return int(torch.get_num_threads())
    said = os.environ.get("OMP_NUM_THREADS", "")
    return int(said) if said.isdecimal() else 0


@functools.cache
def multiplies_bytes() -> bool:
    """False for an x86 CPU without dot products of bytes, where onnxruntime would add pairs of them in 16 bits.

    Those overflow, and answers go wrong in silence, unless it is told to widen weights, which costs others their speed.
    """
    facts = Path("/proc/cpuinfo")
    flags = facts.read_text(encoding="utf-8", errors="replace") if facts.is_file() else ""
    return "avx2" not in flags or any(name in flags for name in ("avx512_vnni", "avx_vnni", "amx_int8"))
