"""Short texts that change when data change, and are the same on every machine."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

SAMPLED = 256


def digest(value: Any) -> str:
    """16 hex digits for a value: numbers, texts, arrays, tensors, and sequences, mappings and dataclasses of them.

    Of an object of any other type, only the name of the type counts.
    """
    told = hashlib.sha256()
    for part in _parts(value):
        told.update(len(part).to_bytes(8, "little"))
        told.update(part)
    return told.hexdigest()[:16]


def facts(source: object, *, of: str = "") -> dict[str, int | str]:
    """What `source.fingerprint()` says; nothing if it has no such method. of: what stands before the name of each."""
    told: Mapping[str, int | str] = getattr(source, "fingerprint", dict)()
    return {f"{of}{name}": value for name, value in told.items()}


def sample(items: Sequence[Any]) -> list[Any]:
    """At most SAMPLED items, evenly spaced, the first and the last among them."""
    if len(items) <= SAMPLED:
        return list(items)
    return [items[place * (len(items) - 1) // (SAMPLED - 1)] for place in range(SAMPLED)]


def _parts(value: Any) -> Iterator[bytes]:
    """The value as pieces of bytes, type and size before content."""
    kind = type(value).__name__.encode()
    if value is None or isinstance(value, (bool, int, float, str)):
        yield kind
        yield str(value).encode("utf-8", "surrogatepass")
    elif isinstance(value, bytes):
        yield kind
        yield value
    elif isinstance(value, np.generic):
        yield from _parts(value.item())
    elif isinstance(value, Tensor):
        yield f"{value.dtype} {tuple(value.shape)}".encode()
        yield value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
    elif isinstance(value, np.ndarray):
        yield f"{value.dtype.str} {value.shape}".encode()
        yield np.ascontiguousarray(value).tobytes()
    elif dataclasses.is_dataclass(value):
        yield kind
        for field in dataclasses.fields(value):
            yield from _parts(getattr(value, field.name))
    elif isinstance(value, Mapping):
        yield from _parts(list(value.items()))
    elif isinstance(value, (list, tuple)):
        yield str(len(value)).encode()
        for item in value:
            yield from _parts(item)
    else:
        yield kind
