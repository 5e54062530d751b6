"""What each part of a distillation is worth: the same once more without it, and a table of all.

Source: Jiao et al. 2020, tables 2 and 3.
"""

from __future__ import annotations

import dataclasses
import importlib.util
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from plm.config import write_json, write_text
from plm.distillation import Objective
from plm.errors import ConfigError, did_you_mean, optional_import
from plm.runs.distilling.config import DistillationConfig
from plm.runs.distilling.distill import distill
from plm.runs.distilling.options import Stage
from plm.runs.distilling.report import DistillationReport
from plm.runs.report import finite
from plm.training import Callback
from plm.training.distributed import join

Change = Callable[[DistillationConfig], DistillationConfig]

FULL = "full"
"""What the distillation with all its parts is called."""


@dataclass(frozen=True)
class AblationReport:
    """reports: by what was left out; the first one, FULL, has everything."""

    output_dir: Path
    reports: Mapping[str, DistillationReport]

    @property
    def stopped(self) -> str:
        """As in DistillationReport, of the last one."""
        return list(self.reports.values())[-1].stopped

    def lines(self) -> list[str]:
        """The account of the full distillation, and the table: scores on the dev file, and what is lost."""
        full = self.reports[FULL]
        names = list(full.metrics)
        rows = [["student", *names, "lost"], ["---"] * (len(names) + 2)]
        for name, report in self.reports.items():
            scores = [f"{report.metrics[metric]:.4f}" if metric in report.metrics else "" for metric in names]
            can_compare = bool(names) and names[0] in report.metrics
            lost = f"{full.metrics[names[0]] - report.metrics[names[0]]:+.4f}" if can_compare else ""
            rows.append([name if name == FULL else f"without {name}", *scores, lost])
        return [*full.lines(), "", *(f"| {' | '.join(row)} |" for row in rows)]

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        shown = {name: finite(dict(report.metrics)) for name, report in self.reports.items()}
        return {"output_dir": str(self.output_dir), "stopped": self.stopped, "metrics": shown}


def ablate(
    config: DistillationConfig, parts: Sequence[str], *, overwrite: bool = False, callbacks: Sequence[Callback] = ()
) -> AblationReport:
    """Distil as the config says; then, for each part, without it, into a folder in output_dir/ablation.

    parts: names in PARTS. Stages that do not depend on a part are taken from the full distillation. The output_dir also
    gets ablation.md, ablation.json, and ablation.png where matplotlib is installed.
    Before anything runs, raises ConfigError for a part that is unknown, or that the recipe has not; later as `distill`.
    """
    folder = Path(config.output_dir)
    plan = {name: without(config, name) for name in dict.fromkeys(parts)}
    reports = {FULL: distill(config, overwrite=overwrite, callbacks=callbacks)}
    for name, variant in plan.items():
        if reports[list(reports)[-1]].stopped == "finished":
            reports[name] = distill(variant, overwrite=overwrite, shared=[folder], callbacks=callbacks)
    report = AblationReport(folder, reports)
    if join().is_main:
        write_text(folder / "ablation.md", "\n".join(report.lines()) + "\n")
        write_json(folder / "ablation.json", report.to_dict())
        if importlib.util.find_spec("matplotlib") and reports[FULL].metrics:
            _draw(report, folder / "ablation.png")
    return report


def without(config: DistillationConfig, part: str) -> DistillationConfig:
    """The same distillation without a part, with a folder of its own.

    Raises ConfigError for a part that is unknown, or that it has not.
    """
    if part not in PARTS:
        raise ConfigError(f"ablate: {part!r} is not one of {', '.join(PARTS)}{did_you_mean(part, PARTS)}")
    changed = PARTS[part](config)
    if changed == config:
        raise ConfigError(f"ablate: the recipe has no {part}, so nothing can be left out")
    folder = Path(config.output_dir) / "ablation" / f"without-{part}"
    return dataclasses.replace(changed, output_dir=str(folder))


def _without_values(config: DistillationConfig, names: Sequence[str]) -> DistillationConfig:
    """Without some inner values, in general and in task distillation; a stage that has nothing left to learn goes."""

    def change(stage: Stage) -> Stage | None:
        weights = {name: getattr(stage.objective, name) for name in ("attention", "hidden", "embedding", "prediction")}
        if not any(weight for name, weight in weights.items() if name not in names) and not stage.objective.labels:
            return None
        return stage.changed({"objective": dict.fromkeys(names, 0.0)})

    general = config.general
    if general is not None:
        stage = change(general.stage)
        general = None if stage is None else dataclasses.replace(general, stage=stage)
    intermediate = None if config.intermediate is None else change(config.intermediate)
    return dataclasses.replace(config, general=general, intermediate=intermediate)


def _with_labels(config: DistillationConfig) -> DistillationConfig:
    """The last stage learns from the labels in the data, and not from what the teacher says."""
    if config.prediction is None or not config.prediction.objective.prediction:
        return config
    objective: Objective = dataclasses.replace(config.prediction.objective, prediction=0.0, labels=1.0)
    return dataclasses.replace(config, prediction=dataclasses.replace(config.prediction, objective=objective))


PARTS: Mapping[str, Change] = {
    "attention": partial(_without_values, names=("attention",)),
    "hidden": partial(_without_values, names=("hidden",)),
    "embedding": partial(_without_values, names=("embedding",)),
    "transformer": partial(_without_values, names=("attention", "hidden")),
    "prediction": _with_labels,
    "intermediate": lambda config: dataclasses.replace(config, intermediate=None),
    "augmentation": lambda config: dataclasses.replace(config, augmentation=None),
    "general": lambda config: dataclasses.replace(config, general=None),
}
"""What can be left out, by name: of the objective, of the stages."""


def _draw(report: AblationReport, path: Path) -> None:
    """The first score of each student as a bar."""
    figures = optional_import("matplotlib.figure", extra="plot", purpose="drawing ablations")
    metric = next(iter(report.reports[FULL].metrics))
    found = {name: one.metrics[metric] for name, one in report.reports.items() if metric in one.metrics}
    figure = figures.Figure(figsize=(7, 0.5 * len(found) + 1.2), layout="constrained")
    axes = figure.subplots()
    names = [name if name == FULL else f"without {name}" for name in found]
    axes.bar_label(axes.barh(names, list(found.values())), fmt="%.4f", padding=3)
    axes.invert_yaxis()
    axes.set_xlabel(f"dev {metric}")
    axes.margins(x=0.15)
    aside = path.with_stem(f".{path.stem}.new")
    figure.savefig(aside)
    aside.replace(path)
