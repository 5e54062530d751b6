"""Number formats of a run: which operations compute in 16 bits, and how small gradients survive it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import torch

from plm.errors import TrainingError

Precision = Literal["fp32", "bf16", "fp16"]

PRECISIONS: Mapping[Precision, torch.dtype] = {
    "fp32": torch.float32,
    "bf16": torch.bfloat16,
    "fp16": torch.float16,
}

# Below 1 a loss scale would make small gradients smaller, which is not what it is for.
LOWEST_SCALE = 1.0

# From the usual 65536 down to LOWEST_SCALE it takes 16 skipped updates; after so many the scale is not the trouble.
MOST_SKIPPED = 20


def check_precision(precision: Precision, device: torch.device) -> None:
    """Raise TrainingError when the device cannot compute in this format, naming one that it can."""
    if precision == "fp16" and device.type != "cuda":
        raise TrainingError(f'precision "fp16" needs a CUDA device, the model is on {device}; take "bf16" or "fp32"')
    if precision == "bf16" and device.type == "cuda" and not torch.cuda.is_bf16_supported():
        raise TrainingError(f'{torch.cuda.get_device_name(device)} has no bfloat16; take precision "fp16" or "fp32"')


def autocast(precision: Precision, device: torch.device) -> torch.autocast:
    """A context in which matrix products run in the format and sums that need it stay in 32 bits; fp32: no change."""
    check_precision(precision, device)
    return torch.autocast(device.type, dtype=PRECISIONS[precision], enabled=precision != "fp32")


def gradient_scaler(precision: Precision, device: torch.device) -> torch.amp.GradScaler:
    """Scales losses so that gradients do not vanish in fp16; passes everything through in the other formats."""
    check_precision(precision, device)
    return torch.amp.GradScaler(device.type, enabled=precision == "fp16")


def adapt_scale(scaler: torch.amp.GradScaler) -> None:
    """Change the scale after an update: half after an overflow, but at least LOWEST_SCALE; twice after many without."""
    scaler.update()
    if scaler.is_enabled() and scaler.get_scale() < LOWEST_SCALE:
        scaler.update(LOWEST_SCALE)


def check_skipped(skipped: int, *, update: int, scale: float) -> None:
    """Raise TrainingError when so many updates in a row overflowed that training in fp16 cannot be going on."""
    if skipped >= MOST_SKIPPED:
        raise TrainingError(
            f"update {update}: gradients overflowed in fp16 in {skipped} updates in a row, though the loss scale fell "
            f'to {scale:g}. All of them were skipped. Take precision "bf16" or "fp32", a smaller learning rate or '
            "more warmup; if it began with the first update, look for a loss that is very large."
        )
