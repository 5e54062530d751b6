"""A bar on the terminal."""

from __future__ import annotations

from tqdm import tqdm

from plm.training.callbacks.callback import Callback
from plm.training.run import Record, Run


class ProgressBar(Callback):
    """Updates, time left, loss, learning rate, real tokens per second. Nothing without a terminal."""

    def __init__(self) -> None:
        self._bar: tqdm[None] | None = None

    def on_start(self, run: Run) -> None:
        """Show the bar, as far on as the run is."""
        self._bar = tqdm(
            total=run.total_updates,
            initial=run.update,
            desc="training",
            unit="update",
            disable=None,
            dynamic_ncols=True,
        )

    def on_step(self, run: Run, record: Record) -> None:
        """Move it."""
        assert self._bar is not None, "on_step before on_start"
        self._bar.set_postfix(
            {
                "loss": f"{record.values['loss']:.4f}",
                "lr": f"{record.values['learning_rate']:.1e}",
                "tokens/s": f"{run.tokens / max(run.seconds, 1e-9):,.0f}",
            },
            refresh=False,
        )
        self._bar.update()

    def on_evaluate(self, run: Run, record: Record) -> None:
        """Write the results above the bar."""
        if self._bar is not None and not self._bar.disable:
            listed = ", ".join(f"{name} {value:.4f}" for name, value in record.values.items())
            self._bar.write(f"update {record.update}, epoch {record.epoch:.2f}: {listed}")

    def on_stop(self, run: Run) -> None:
        """Leave it as it is."""
        if self._bar is not None:
            self._bar.close()
