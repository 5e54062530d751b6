"""An account of a run for people: settings, environment, scores, speed."""

from __future__ import annotations

import platform
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib import metadata
from pathlib import Path

import torch

from plm.config import to_dict, write_text
from plm.training.callbacks import Callback
from plm.training.config import TrainingConfig
from plm.training.precision import Precision
from plm.training.run import Record, Run

PEAK_FLOPS: Mapping[str, Mapping[Precision, float]] = {
    "H100 PCIe": {"bf16": 756e12, "fp16": 756e12, "fp32": 51e12},
    "H100": {"bf16": 989e12, "fp16": 989e12, "fp32": 67e12},
    "H200": {"bf16": 989e12, "fp16": 989e12, "fp32": 67e12},
    "A100": {"bf16": 312e12, "fp16": 312e12, "fp32": 19.5e12},
    "V100": {"fp16": 125e12, "fp32": 15.7e12},
    "T4": {"fp16": 65e12, "fp32": 8.1e12},
}
"""Part of the name of a device -> floating-point operations a second at best, dense; the first part that fits counts.

Source: NVIDIA's data sheets; fp32 without TF32.
"""

_PACKAGES = ("plm", "torch", "numpy", "tokenizers", "safetensors")


class MarkdownReport(Callback):
    """Writes the account after every evaluation and at the end, whole each time.

    flops_per_token: -> floating-point operations of one pass with one token, forward and backward, which is 6 times the
        number of weights in matrices, and some for attention; asked for once. None = speed in tokens alone. The further
        passes of R-Drop and adversarial training are counted here; blocks that are computed again are not.
    peak_flops: of the device in the run's precision; None = as in PEAK_FLOPS, where it is known.
    """

    def __init__(
        self,
        path: Path | str,
        *,
        title: str = "Training",
        flops_per_token: Callable[[], float] | None = None,
        peak_flops: float | None = None,
    ) -> None:
        self.path, self.title, self.peak_flops = Path(path), title, peak_flops
        self._flops_per_token = flops_per_token
        self._flops: float | None = None

    def on_start(self, run: Run) -> None:
        """Ask for what does not change."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._flops = self._flops_per_token() if self._flops_per_token is not None else None

    def on_evaluate(self, run: Run, record: Record) -> None:
        """Write it as it is now."""
        self._write(run, "running")

    def on_stop(self, run: Run) -> None:
        """Write how it ended."""
        is_finished = run.update >= run.total_updates
        self._write(run, run.stop_reason or ("finished" if is_finished else "ended by an error"))

    def _write(self, run: Run, stopped: str) -> None:
        peak = self.peak_flops or _peak(run)
        write_text(
            self.path, markdown(run, title=self.title, stopped=stopped, flops_per_token=self._flops, peak_flops=peak)
        )


def markdown(
    run: Run,
    *,
    title: str = "Training",
    stopped: str | None = None,
    flops_per_token: float | None = None,
    peak_flops: float | None = None,
) -> str:
    """The account as Markdown. stopped: how it ended; None = run.stop_reason. The rest as in MarkdownReport."""
    sections = {
        "Outcome": _table(("", ""), _outcome(run, stopped or run.stop_reason or "finished")),
        "Speed": _table(("", ""), _speed(run, flops_per_token, peak_flops)),
        "Evaluations": _evaluations(run),
        "Settings": _table(("setting", "value"), to_dict(run.config).items()),
        "Environment": _table(("", ""), environment(run.device).items()),
    }
    return f"# {title}\n" + "".join(f"\n## {name}\n\n{text}\n" for name, text in sections.items())


def environment(device: str) -> dict[str, str]:
    """Versions and machine, by name. device: as torch spells it."""
    where = torch.device(device)
    is_cuda = where.type == "cuda"
    return {
        "Python": sys.version.split()[0],
        **{package: _version(package) for package in _PACKAGES},
        "platform": platform.platform(),
        "device": f"{device}, {torch.cuda.get_device_name(where)}" if is_cuda else device,
        "CUDA": torch.version.cuda or "not built in",
        "threads": str(torch.get_num_threads()),
    }


def _outcome(run: Run, stopped: str) -> Iterable[tuple[str, object]]:
    yield "stopped", stopped
    yield "updates", f"{run.update} of {run.total_updates}"
    yield "epochs", f"{run.epoch:.2f}"
    yield "seed", run.config.seed
    if run.resumed_update is not None:
        yield "continued after update", run.resumed_update
    if run.best_metrics:
        yield "best update", run.best_update
    for name, value in run.best_metrics.items():
        yield f"best {name}", f"{value:.4f}"


def _speed(run: Run, flops_per_token: float | None, peak_flops: float | None) -> Iterable[tuple[str, object]]:
    rate = run.tokens / max(run.seconds, 1e-9)
    yield "seconds", f"{run.elapsed:.1f}, of which {run.seconds:.1f} training"
    yield "real tokens", f"{run.tokens:,}"
    yield "real tokens per second", f"{rate:,.0f}"
    yield "padding", f"{run.padding_share:.1%} of the positions"
    if flops_per_token is not None:
        flops = rate * flops_per_token * _passes(run.config)
        yield "computing", f"{flops / 1e12:.3g} TFLOP/s, on real tokens"
        if peak_flops is not None:
            yield "share of the device's peak (MFU)", f"{flops / peak_flops:.1%}"


def _passes(config: TrainingConfig) -> int:
    """How often an update computes with each token."""
    places = {None: 1, "fgm": 2, "pgd": 1 + config.adversarial_steps}[config.adversarial]
    return 2 * places if config.r_drop else places


def _evaluations(run: Run) -> str:
    records = [record for record in run.history if record.kind == "evaluation"]
    if not records:
        return "None."
    names = list(dict.fromkeys(name for record in records for name in record.values))
    rows = [
        (
            f"{record.update}{' (best)' if record.update == run.best_update else ''}",
            f"{record.epoch:.2f}",
            *(f"{record.values[name]:.4f}" if name in record.values else "" for name in names),
        )
        for record in records
    ]
    return _table(("update", "epoch", *names), rows)


def _table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(_cell(cell) for cell in line)} |" for line in lines)


def _cell(value: object) -> str:
    return str(value).replace("|", "\\|").replace("\n", " ")


def _peak(run: Run) -> float | None:
    if torch.device(run.device).type != "cuda":
        return None
    name = torch.cuda.get_device_name(torch.device(run.device))
    known = next((peaks for part, peaks in PEAK_FLOPS.items() if part in name), {})
    return known.get(run.config.precision)


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"
