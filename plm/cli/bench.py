"""`plm bench`."""

from __future__ import annotations

from pathlib import Path

import click

from plm.bench import Run, latest, read_runs, write_report
from plm.cli.output import examples, json_option, show


@click.command(
    epilog=examples(
        "plm bench",
        "plm bench --report docs/benchmarks.md",
        "plm bench --results measured/ --report measured/report.md",
    )
)
@click.option(
    "--results",
    type=click.Path(path_type=Path),
    default=Path("benchmarks/results"),
    show_default=True,
    help="Folder of NAME.jsonl, as `python -m benchmarks NAME --save FILE` writes them.",
)
@click.option("--report", type=click.Path(path_type=Path), help="Write a page of the newest runs, and its pictures.")
@json_option
def command(results: Path, report: Path | None, as_json: bool) -> None:
    """List measurements that are stored, or make a page of them.

    Of several runs of a command on one kind of machine, the page has the newest.
    """
    runs = read_runs(results)
    if report is None:
        show(_table(runs), [_record(run) for run in runs], as_json=as_json)
        return
    files = [str(file) for file in write_report(latest(runs), report)]
    show([f"written: {file}" for file in files], {"files": files}, as_json=as_json)


def _table(runs: list[Run]) -> list[str]:
    return [f"{run.date}  {len(run.lines):3} lines  {run.command}" for run in runs]


def _record(run: Run) -> dict[str, object]:
    return {
        "name": run.name, "date": run.date, "command": run.command, "lines": len(run.lines), "setting": run.setting,
    }  # fmt: skip
