"""Backends: what computes a model once its training is over.

The table costs no imports: a backend is imported when it loads its first model. Another one is added from outside with
`BACKENDS.add("name", Backend(load=...))`.
"""

from plm.backends.deferred import Deferred
from plm.backends.runner import BACKENDS, Backend

__all__ = ["BACKENDS", "Backend"]

# Those that go on with texts.
_ENGINES = {
    "torch": "plm.backends.eager:load_torch_engine",
    "int8": "plm.backends.int8:load_int8_engine",
    "onnx": "plm.backends.onnx.loading:load_onnx_engine",
}

for _name, _place in {
    "torch": "plm.backends.eager:load_torch",
    "compiled": "plm.backends.compiled:load_compiled",
    "int8": "plm.backends.int8:load_int8",
    "onnx": "plm.backends.onnx.loading:load_onnx",
    "pt2": "plm.backends.pt2:load_pt2",
    "numpy": "plm.backends.numpy.loading:load_numpy",
}.items():
    _engine = _ENGINES.get(_name)
    BACKENDS.add(_name, Backend(load=Deferred(_place), causal=None if _engine is None else Deferred(_engine)))
