"""Runs the graphs of a model that answers: arrays in, arrays out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from plm.backends.batch import Inputs
from plm.backends.onnx.forms import Form, Kind
from plm.backends.onnx.sessions import FAILURES, Sessions
from plm.backends.runner import Arrays
from plm.errors import BackendUnavailable, ShapeError
from plm.models.config import ModelConfig

KINDS: dict[int, Kind] = {2: "padded", 3: "choices"}
"""By the number of dimensions of input_ids that are not packed."""


class OnnxRunner:
    """A Runner over the graphs of one model with one head, or none."""

    takes_packed = True

    def __init__(self, config: ModelConfig, sessions: Sessions) -> None:
        self.config, self._sessions = config, sessions
        self._inputs = Inputs.of(config)

    def run(self, batch: Mapping[str, np.ndarray[Any, Any]]) -> Arrays:
        """See Runner.run, and Inputs.checked for errors."""
        feeds = self._inputs.checked(batch)
        ids = feeds["input_ids"]
        kind: Kind = "packed"
        if "lengths" not in feeds:
            if ids.ndim not in KINDS:
                raise ShapeError(f"input_ids must be (batch, length) or (batch, choices, length), got {ids.shape}")
            kind = KINDS[ids.ndim]
            feeds.setdefault("attention_mask", _without_mask(ids, self.config.pad_token_id))
        if self.config.type_vocab_size and "token_type_ids" not in feeds:
            feeds["token_type_ids"] = np.zeros_like(ids)
        session = self._sessions.get(Form(kind, types="token_type_ids" in feeds))
        names = [output.name for output in session.get_outputs()]
        try:
            return dict(zip(names, session.run(names, feeds), strict=True))
        except FAILURES as error:
            raise BackendUnavailable(
                f"onnxruntime could not compute this batch of {ids.shape} tokens: {error}"
            ) from error


def _without_mask(tokens: np.ndarray[Any, Any], pad_token_id: int | None) -> np.ndarray[Any, Any]:
    """Every token is seen; a 2 marks the last one of each text that is no padding, which stands for the text."""
    mask = np.ones_like(tokens)
    if pad_token_id is not None:
        last = tokens.shape[-1] - 1 - (tokens != pad_token_id)[..., ::-1].argmax(-1)
        np.put_along_axis(mask, last[..., None], 2, axis=-1)
    return mask
