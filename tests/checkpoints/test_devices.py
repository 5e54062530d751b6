"""A device is there, or an error says which are."""

from __future__ import annotations

import pytest
import torch

from plm.checkpoints.devices import require_device
from plm.errors import ConfigError


def test_the_cpu_is_always_there() -> None:
    require_device("cpu")
    require_device(torch.device("cpu"))


@pytest.mark.parametrize("name", ["gpu", "cuda:99", ""])
def test_other_names_are_refused_with_the_devices_that_there_are(name: str) -> None:
    with pytest.raises(ConfigError, match=f"device: '{name}' cannot be used: .*There are: cpu"):
        require_device(name)
