"""Distillation: a student learns from a teacher what TinyBERT learned, stage by stage, from one recipe.

    config = DistillationConfig(
        teacher="runs/sst-2",
        student="tinybert-4l-312.json",
        output_dir="runs/sst-2-small",
        task=TaskData(task=glue_task("sst-2"), train="SST-2/train.tsv", dev="SST-2/dev.tsv"),
    )
    print(*distill(config).lines(), sep="\\n")

`plm distill` does the same with a TOML file. Source: Jiao et al. 2020, https://arxiv.org/abs/1909.10351.
"""

from __future__ import annotations

from plm.runs.distilling.config import DistillationConfig, read_distillation
from plm.runs.distilling.distill import distill
from plm.runs.distilling.options import General, LatencyOptions, Stage, Variation
from plm.runs.distilling.report import DistillationReport

__all__ = [
    "DistillationConfig",
    "DistillationReport",
    "General",
    "LatencyOptions",
    "Stage",
    "Variation",
    "distill",
    "read_distillation",
]
