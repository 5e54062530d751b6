"""Lines as benchmarks print them, with made-up figures."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any


def ratio(median: float) -> dict[str, float]:
    return {"median": median, "min": median - 0.5, "max": median + 0.5}


def line(kind: str = "encode", *, date: str = "2026-01-02T03:04:05+00:00", options: str = "", **values: Any) -> Any:
    """One line. options: of the command; threads and processor go into its setting."""
    setting = {
        "date": date,
        "command": f"python -m benchmarks {kind} {options}".strip(),
        "about": "Encoding made-up sentences.",
        "processor": values.pop("processor", "Some CPU"),
        "cores": 2,
        "threads": values.pop("threads", 1),
        "versions": {"torch": "2.13"},
    }
    return {"benchmark": kind, **values, "setting": setting}


def store(folder: Path, name: str, lines: Iterable[Any]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.jsonl").write_text("".join(json.dumps(one) + "\n" for one in lines))
    return folder
