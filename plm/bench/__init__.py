"""Stored measurements: lines that benchmarks printed, and the report that is made of them.

runs = read_runs(Path("benchmarks/results"))
write_report(latest(runs), Path("docs/benchmarks.md"))
"""

from __future__ import annotations

from plm.bench.report import write_report
from plm.bench.stored import Line, Run, Spread, latest, read_runs

__all__ = ["Line", "Run", "Spread", "latest", "read_runs", "write_report"]
