"""Devices by name, as users give them."""

from __future__ import annotations

import torch

from plm.errors import ConfigError


def require_device(device: torch.device | str) -> None:
    """Raise ConfigError when no tensor can be there, with torch's reason and the devices that there are."""
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:  # the latter from a torch that was built without CUDA
        there = ["cpu", *(f"cuda:{number}" for number in range(torch.cuda.device_count()))]
        reason = str(error).partition("\n")[0].rstrip(".")
        raise ConfigError(f"device: {str(device)!r} cannot be used: {reason}. There are: {', '.join(there)}") from error
