"""A model as ONNX: graphs in memory, or files whose graphs share one file of weights."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tqdm import tqdm

from plm.backends.onnx.forms import DATA_FILE, Form, files
from plm.backends.onnx.graph import onnx
from plm.backends.onnx.programs import Writer, model_proto
from plm.backends.onnx.sessions import open_session
from plm.backends.onnx.weights import Array, Weights
from plm.backends.program.spec import Spec
from plm.errors import ConfigError
from plm.heads.model import Model

DTYPES = ("float32", "int8")

ALIGNMENT = 64
"""Bytes that every array in the file of weights starts at a multiple of: a line of a CPU's cache."""


class BuiltSessions:
    """Sessions over graphs that are written in memory, each when it is first asked for; see Sessions.

    They use the model's own weights as far as they are float32.
    """

    def __init__(self, model: Model, *, dtype: str) -> None:
        self._writer = writer(model, dtype=dtype)
        self._open: dict[Form, Any] = {}

    def get(self, form: Form) -> Any:
        """See Sessions."""
        if form not in self._open:
            program, weights = self._writer.write(form), self._writer.weights
            held = {name: weights.arrays[name] for name in program.weights}
            proto = model_proto(program, weights, {name: (0, array.nbytes) for name, array in held.items()})
            self._open[form] = open_session(proto.SerializeToString(), held)
        return self._open[form]


def writer(model: Model, *, dtype: str) -> Writer:
    """What writes the graphs of a model with one head or none, in evaluation mode.

    Raises ConfigError for a dtype other than float32 and int8, and for what no program says (prefix patterns).
    """
    if dtype not in DTYPES:
        raise ConfigError(f"dtype: onnx holds weights in one of {', '.join(DTYPES)}, got {dtype!r}")
    state = model.state_dict()

    def read(name: str) -> Array:
        array: Array = state[name].detach().cpu().float().contiguous().numpy()
        return array

    return Writer(Spec.of(model), Weights(read), dtype=dtype)


def write_onnx(model: Model, folder: Path, dtype: str) -> list[str]:
    """Write the graphs of a model with one head or none into a folder: see plm.backends.exporting.Export.

    model.onnx takes padded texts, or choices where the head takes nothing else; model_packed.onnx packed ones,
    decoder.onnx, for causal language models, new tokens behind cached ones. See `files` for others. All name weights
    in model.onnx.data.
    """
    made = writer(model, dtype=dtype)
    spec, weights = made.spec, made.weights
    kind = spec.heads[0].kind if spec.heads else None
    named = files(kind, is_causal=spec.pattern == "causal", has_types=spec.token_types > 0)
    programs = {file: made.write(form) for form, file in named.items()}
    _write_data(folder / DATA_FILE, weights.arrays)
    places = dict(zip(weights.arrays, _places(weights.arrays), strict=True))
    for file, program in programs.items():
        (folder / file).write_bytes(model_proto(program, weights, places).SerializeToString())
        onnx.checker.check_model(str(folder / file))
    return []


def _places(arrays: Mapping[str, Array]) -> list[tuple[int, int]]:
    """Offset and bytes of each array, one behind the other."""
    places, offset = [], 0
    for array in arrays.values():
        places.append((offset, array.nbytes))
        offset += -(-array.nbytes // ALIGNMENT) * ALIGNMENT
    return places


def _write_data(path: Path, arrays: Mapping[str, Array]) -> None:
    with path.open("wb") as file:
        for array in tqdm(arrays.values(), desc=f"writing {path.name}", unit="array", disable=None, delay=2):
            file.write(memoryview(array).cast("B"))
            file.write(bytes(-array.nbytes % ALIGNMENT))
