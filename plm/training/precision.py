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
