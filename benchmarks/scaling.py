"""How time and memory grow with length, batch, threads, layers and vocabulary, beside the count of arithmetic.

    python -m benchmarks scaling [--threads 2] [--curves length batch ...] [--save benchmarks/results/scaling.jsonl]

Models of BERT-base's width with two layers and random weights. Every point is a fresh process: one call with so many
whole texts as one packed batch, timed after a warm-up. seconds: median. gflop: multiplications and additions of each
thread, 10^9. ready_mib, peak_mib: the most memory after a call with one token, and at the end. stated_mib: what
docs/memory.md says that the peak is at most. `plm bench --report` draws curves of the lines.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from dataclasses import asdict, dataclass, replace

import numpy as np
import torch

from benchmarks.encode import BASE
from benchmarks.measure import emit, own_peak_mib
from benchmarks.memory import KEPT_MIB, numbers_a_token
from plm.auto.models import AutoModel, AutoModelForMaskedLM
from plm.backends.eager import TorchRunner
from plm.models.bert import BertConfig
from plm.models.nezha import NezhaConfig

CURVES = ("length", "batch", "threads", "layers", "vocabulary")


@dataclass(frozen=True, kw_only=True)
class Point:
    """One measurement. words: True = a masked language model, which says a word for each token."""

    curve: str
    model: str = "bert"
    batch: int = 1
    length: int = 128
    layers: int = 2
    vocabulary: int = 8192
    threads: int = 2
    words: bool = False

    @property
    def x(self) -> int:
        """The value that the curve is about."""
        value: int = getattr(self, self.curve)
        return value

    def shape(self) -> dict[str, int]:
        """What stays the same along the curve, and what does not."""
        return {name: getattr(self, name) for name in ("batch", "length", "layers", "vocabulary", "threads")}

    def config(self) -> BertConfig | NezhaConfig:
        """Of the model."""
        sizes = {**BASE, "vocab_size": self.vocabulary, "num_hidden_layers": self.layers}
        return NezhaConfig(**sizes) if self.model == "nezha" else BertConfig(**sizes)

    def gflop(self) -> float:
        """Of each thread: matrix products, attention, NEZHA's distances, the scores of words; 10^9."""
        hidden, inner, tokens = BASE["hidden_size"], BASE["intermediate_size"], self.batch * self.length
        a_token = 2 * (4 * hidden * hidden + 2 * hidden * inner) + 4 * self.length * hidden
        config = self.config()
        if isinstance(config, NezhaConfig):  # each query meets every distance once, and so do its probabilities
            a_token += 4 * min(2 * self.length - 1, 2 * config.max_relative_position + 1) * hidden
        words = 2 * hidden * (hidden + self.vocabulary) if self.words else 0
        return tokens * (self.layers * a_token + words) / self.threads / 1e9

    def stated_mib(self) -> float:
        """What a call adds at most: the widest place of a block, or what the head gives."""
        numbers = numbers_a_token(self.config())
        if self.words:
            numbers = max(numbers, self.vocabulary + 4 * BASE["hidden_size"])
        return self.batch * self.length * numbers * 4 / 2**20 + KEPT_MIB


def doubled(first: int, last: int) -> list[int]:
    """first, twice that, ... last."""
    return [first << step for step in range((last // first).bit_length())]


def points(curve: str, threads: int) -> list[Point]:
    """All of one curve."""
    base = Point(curve=curve, threads=threads)
    if curve == "length":
        longest = {"bert": 512, "nezha": 4096}
        return [replace(base, model=model, length=n) for model in longest for n in doubled(16, longest[model])]
    if curve == "batch":
        return [replace(base, batch=batch, length=32) for batch in doubled(1, 256)]
    if curve == "threads":
        return [replace(base, batch=16, threads=count) for count in range(1, threads + 1)]
    if curve == "layers":
        return [replace(base, batch=8, layers=layers) for layers in doubled(1, 8)]
    return [replace(base, batch=8, length=32, vocabulary=size, words=True) for size in doubled(1024, 131072)]


def measured(point: Point) -> dict[str, float]:
    """Time and memory, in this process, which has done nothing yet."""
    torch.set_num_threads(point.threads)
    torch.manual_seed(0)
    runner = TorchRunner((AutoModelForMaskedLM if point.words else AutoModel).from_config(point.config()))
    rng = np.random.default_rng(0)
    lengths = np.full(point.batch, point.length)
    batch = {"input_ids": rng.integers(0, point.vocabulary, lengths.sum()), "lengths": lengths}
    runner.run({"input_ids": batch["input_ids"][:1], "lengths": np.array([1])})  # the kernels get their weights
    ready = own_peak_mib()
    runner.run(batch)
    seconds: list[float] = []
    while sum(seconds) < 0.3 or (len(seconds) < 3 and sum(seconds) < 3.0):
        start = time.perf_counter()
        runner.run(batch)
        seconds.append(time.perf_counter() - start)
    return {"seconds": round(statistics.median(seconds), 6), "ready_mib": ready, "peak_mib": own_peak_mib()}


def in_a_process(point: Point) -> dict[str, float]:
    """The same in a fresh one."""
    command = [sys.executable, "-m", "benchmarks.scaling", "--child", json.dumps(asdict(point))]
    found: dict[str, float] = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return found


def main() -> None:
    """Measure every point in a process of its own, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=min(2, os.cpu_count() or 1))
    parser.add_argument("--curves", nargs="+", choices=CURVES, default=CURVES)
    parser.add_argument("--child", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        print(json.dumps(measured(Point(**json.loads(options.child)))))
        return
    for name in options.curves:
        for point in points(name, options.threads):
            found = in_a_process(point)
            stated = round(found["ready_mib"] + point.stated_mib())
            emit("scaling", curve=name, series=point.model, x=point.x, gflop=round(point.gflop(), 4), **found,
                 stated_mib=stated, **point.shape())  # fmt: skip


if __name__ == "__main__":
    main()
