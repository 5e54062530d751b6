"""Whether torch just computes: paths with a gradient of their own, or random bits of their own, are for that alone."""

from __future__ import annotations

import torch
from torch.autograd import forward_ad


def is_transformed() -> bool:
    """True where torch does more than compute: compiling, tracing, function transforms, forward derivatives."""
    return bool(
        torch.compiler.is_compiling()
        or torch._C._get_tracing_state() is not None
        or torch._C._are_functorch_transforms_active()
        or forward_ad._current_level >= 0
    )
