"""Goes on with texts by a graph that reads new tokens behind the keys and values of those before."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from plm.backends.onnx.forms import PAST, PRESENT, Form
from plm.backends.onnx.sessions import Sessions, runtime
from plm.errors import ShapeError
from plm.models.config import ModelConfig

LOGITS = "logits"


class OnnxEngine:
    """A plm.heads.engine.CausalEngine. config: of a causal model with a head that scores words."""

    def __init__(self, config: ModelConfig, sessions: Sessions) -> None:
        self.config, self._sessions = config, sessions
        self.device = torch.device("cpu")
        self.positions = config.longest_text
        sessions.get(self.form(types=False))  # raises what there is to raise before anything is read

    def form(self, *, types: bool) -> Form:
        """What is asked of the sessions. types: True = the caller gives token types."""
        return Form("growing", types=types or self.config.type_vocab_size > 0)

    def session(self, *, types: bool) -> Any:
        """The graph."""
        return self._sessions.get(self.form(types=types))

    def begin(self, capacity: int) -> OnnxReading:
        """See CausalEngine."""
        return OnnxReading(self, capacity)


class OnnxReading:
    """What has been read, as keys and values by the names of the graph's inputs: see plm.heads.engine.Reading."""

    def __init__(self, engine: OnnxEngine, capacity: int) -> None:
        self._engine, self._capacity = engine, capacity
        self._length = 0
        self._past: dict[str, Any] = {}

    def read(
        self, ids: Tensor, live: Tensor | None = None, types: Tensor | None = None, prefix: Tensor | None = None
    ) -> Tensor:
        """See Reading. Raises ShapeError where more is read than there is room for."""
        rows, new = ids.shape
        total = self._length + new
        if self._capacity and total > self._capacity:
            raise ShapeError(f"the cache holds {self._capacity} tokens, {total} are needed: make it with more capacity")
        session = self._engine.session(types=types is not None)
        wanted = [taken.name for taken in session.get_inputs()]
        arrays = {
            "input_ids": ids,
            "attention_mask": torch.ones(rows, total, dtype=torch.int64) if live is None else live,
            "token_type_ids": torch.zeros_like(ids) if types is None else types,
        }
        feeds = {name: _value(tensor.long().numpy()) for name, tensor in arrays.items() if name in wanted}
        past = self._past or self._empty(wanted, rows)
        names = [LOGITS, *(name.replace(PAST, PRESENT) for name in past)] if self._capacity else [LOGITS]
        logits, *present = session.run_with_ort_values(names, feeds | past)
        if self._capacity:
            self._past, self._length = dict(zip(past, present, strict=True)), total
        return torch.from_numpy(logits.numpy())

    def select(self, rows: Tensor) -> None:
        """See Reading."""
        index = rows.numpy()
        self._past = {name: _value(held.numpy()[index]) for name, held in self._past.items()}

    def _empty(self, wanted: list[str], rows: int) -> dict[str, Any]:
        config = self._engine.config
        nothing = np.zeros((rows, config.num_attention_heads, 0, config.head_size), np.float32)
        return {name: _value(nothing) for name in wanted if name.startswith(PAST)}


def _value(array: np.ndarray[Any, Any]) -> Any:
    return runtime.OrtValue.ortvalue_from_numpy(np.ascontiguousarray(array))
