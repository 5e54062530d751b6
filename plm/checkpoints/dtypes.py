"""Types of weights by name."""

from __future__ import annotations

import torch

from plm.errors import ConfigError, did_you_mean

DTYPES = {
    "float32": torch.float32,
    "fp32": torch.float32,
    "bfloat16": torch.bfloat16,
    "bf16": torch.bfloat16,
    "float16": torch.float16,
    "fp16": torch.float16,
    "auto": None,
}


def as_dtype(dtype: str | torch.dtype) -> torch.dtype | None:
    """A torch type from its name; "auto" is None, which means as stored. Raises ConfigError listing the names."""
    if isinstance(dtype, torch.dtype):
        return dtype
    if dtype not in DTYPES:
        listed = ", ".join(map(repr, DTYPES))
        raise ConfigError(f"dtype: {dtype!r} is not one of {listed}{did_you_mean(str(dtype), DTYPES)}")
    return DTYPES[dtype]
