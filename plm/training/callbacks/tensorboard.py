"""The history for TensorBoard."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from plm.errors import optional_import
from plm.training.callbacks.callback import Callback
from plm.training.run import Record, Run


class TensorBoard(Callback):
    """Writes every value of the history as a scalar, "train/loss" or "evaluation/accuracy", over the updates.

    folder: where TensorBoard looks. A continued run hides what was written there after its checkpoint. Needs the extra
    "tensorboard".
    """

    def __init__(self, folder: Path | str) -> None:
        self.folder = Path(folder)
        # torch's module needs the package of this name and says so in its own words, without plm's extra.
        optional_import("tensorboard", extra="tensorboard", purpose="writing for TensorBoard")
        self._writers = optional_import(
            "torch.utils.tensorboard", extra="tensorboard", purpose="writing for TensorBoard"
        )
        self._writer: Any = None

    def on_start(self, run: Run) -> None:
        """Open the folder."""
        self._writer = self._writers.SummaryWriter(
            str(self.folder), purge_step=run.update + 1 if run.resumed_update is not None else None
        )

    def on_log(self, run: Run, record: Record) -> None:
        """Write an entry."""
        for name, value in record.values.items():
            self._writer.add_scalar(f"{record.kind}/{name}", value, record.update)

    def on_stop(self, run: Run) -> None:
        """Write what waits, and close."""
        if self._writer is not None:
            self._writer.close()
