"""The arrays of a call, packed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from plm.backends.batch import Inputs
from plm.backends.numpy.engine import NumpyOps, Weights
from plm.backends.numpy.places import Places
from plm.backends.program.spec import Spec

Array = np.ndarray[Any, np.dtype[Any]]


def open_batch(spec: Spec, weights: Weights, batch: Mapping[str, Array]) -> NumpyOps:
    """Lay out the texts of a call; see plm.backends.runner.Runner.run. Raises what Inputs.checked does."""
    inputs = Inputs(words=spec.vocab_size, types=spec.token_types, positions=spec.positions or None)
    arrays = inputs.checked(batch)
    ids, types, lengths = arrays["input_ids"], arrays.get("token_type_ids"), arrays.get("lengths")
    places = _padded(spec, ids, arrays.get("attention_mask")) if lengths is None else Places.from_lengths(lengths)
    return NumpyOps(
        weights=weights,
        places=places,
        shape=ids.shape,
        input_ids=places.pack(ids),
        token_type_ids=None if types is None else places.pack(types),
    )


def _padded(spec: Spec, ids: Array, mask: Array | None) -> Places:
    rows = ids.reshape(-1, ids.shape[-1])
    if mask is None:
        last = None if spec.pad_token_id is None else _last_unpadded(rows, spec.pad_token_id)
        return Places.from_rectangle(*rows.shape, last=last)
    return Places.from_mask(mask.reshape(rows.shape) != 0)


def _last_unpadded(ids: Array, pad_token_id: int) -> Array:
    """(texts,), column of the rightmost token that is not padding; the last column of a row of padding alone."""
    last: Array = ids.shape[1] - 1 - (ids != pad_token_id)[:, ::-1].argmax(1)
    return last
