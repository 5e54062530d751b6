"""Examples run as users run them, but in this process, which has loaded torch already."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path
from unittest import mock

from plm.runs import run
from plm.training import Callback

FOLDER = Path(__file__).resolve().parents[2] / "examples"


def run_example(name: str, *arguments: str | Path) -> None:
    """`python examples/NAME.py ARGUMENTS`, without pictures of curves, which take longer than small trainings."""
    path = FOLDER / f"{name}.py"
    with (
        mock.patch.object(sys, "argv", [str(path), *map(str, arguments)]),
        mock.patch.object(run, "CurvePlot", return_value=Callback()),
    ):
        runpy.run_path(str(path), run_name="__main__")
