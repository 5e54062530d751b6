"""A fresh process that loads BERT-base: plm against transformers, CPU seconds and peak memory; and import times.

python -m benchmarks loading [--repetitions 5]
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile

import torch

from benchmarks.encode import BASE
from benchmarks.measure import emit
from plm.auto.models import AutoModel
from plm.models.bert import BertConfig

REPORT = """
import json, sys, time
seconds, has_torch = time.process_time(), "torch" in sys.modules
peak = next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM")) / 1024
print(json.dumps([seconds, peak, has_torch]))
"""

PROGRAMS = {
    "python": "",
    "import plm": "import plm",
    "plm.AutoTokenizer": "import plm; plm.AutoTokenizer",
    "import torch": "import torch",
    "plm.AutoModel": "import plm; plm.AutoModel.from_pretrained({folder!r})",
    "transformers.AutoModel": "from transformers import AutoModel; AutoModel.from_pretrained({folder!r})",
}


def measure(program: str) -> tuple[float, float, bool]:
    """(CPU seconds, peak MiB, whether torch was imported) of a fresh process."""
    result = subprocess.run([sys.executable, "-c", program + REPORT], check=True, capture_output=True, text=True)
    seconds, peak, has_torch = json.loads(result.stdout.strip().splitlines()[-1])
    return seconds, peak, has_torch


def main() -> None:
    """Measure in turn and print medians."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repetitions", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        torch.manual_seed(0)
        AutoModel.from_config(BertConfig(num_hidden_layers=12, **BASE)).save_pretrained(folder)
        runs: dict[str, list[tuple[float, float, bool]]] = {name: [] for name in PROGRAMS}
        for _ in range(options.repetitions):
            for name, program in PROGRAMS.items():
                runs[name].append(measure(program.format(folder=folder)))
    medians = {
        name: (statistics.median(run[0] for run in rows), statistics.median(run[1] for run in rows))
        for name, rows in runs.items()
    }
    start = medians["python"][0]
    for name, (seconds, peak) in medians.items():
        emit("loading", program=name, cpu_seconds=round(seconds, 3), above_python=round(seconds - start, 3),
             peak_mib=round(peak), imports_torch=runs[name][0][2])  # fmt: skip
    ours, theirs = medians["plm.AutoModel"], medians["transformers.AutoModel"]
    emit("loading_ratio", cpu=round(ours[0] / theirs[0], 3), peak_memory=round(ours[1] / theirs[1], 3))


if __name__ == "__main__":
    main()
