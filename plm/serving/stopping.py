"""Runners and engines that look before every pass whether anybody still waits for what they compute."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from plm.backends.runner import Arrays, Runner
from plm.heads.engine import CausalEngine, Reading
from plm.models.config import ModelConfig
from plm.serving.batcher import stop_where_nobody_waits


class StoppingRunner:
    """A runner that raises NobodyWaits in place of computing for nobody."""

    def __init__(self, inner: Runner) -> None:
        self._inner = inner
        self.config, self.takes_packed = inner.config, inner.takes_packed

    def run(self, batch: Mapping[str, np.ndarray[Any, Any]]) -> Arrays:
        """See Runner.run."""
        stop_where_nobody_waits()
        return self._inner.run(batch)


class StoppingEngine:
    """The same for an engine that goes on with texts."""

    def __init__(self, inner: CausalEngine) -> None:
        self._inner = inner

    @property
    def config(self) -> ModelConfig:
        """See CausalEngine."""
        return self._inner.config

    @property
    def device(self) -> torch.device:
        """See CausalEngine."""
        return self._inner.device

    @property
    def positions(self) -> int | None:
        """See CausalEngine."""
        return self._inner.positions

    def begin(self, capacity: int) -> Reading:
        """See CausalEngine."""
        return _StoppingReading(self._inner.begin(capacity))


class _StoppingReading:
    def __init__(self, inner: Reading) -> None:
        self._inner = inner
        self.select = inner.select

    def read(
        self, ids: Tensor, live: Tensor | None = None, types: Tensor | None = None, prefix: Tensor | None = None
    ) -> Tensor:
        """See Reading."""
        stop_where_nobody_waits()
        return self._inner.read(ids, live, types, prefix)
