"""A classifier's accuracy on labelled texts, on every backend: what eight bits cost in answers.

    python -m benchmarks accuracy --model FOLDER --file dev.tsv [--rows N]
        [--backends torch:float32 int8:int8 onnx:int8]

FOLDER is what `plm train` or `plm finetune` wrote: it knows the columns of such files.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from benchmarks.measure import emit
from plm.data import Columns, read_examples
from plm.pipelines import pipeline
from plm.tasks import Classification
from plm.tasks.saving import load_tasks


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--file", type=Path, required=True)
    parser.add_argument("--backends", nargs="+", default=["torch:float32", "torch:bfloat16", "int8:int8", "onnx:int8"])
    parser.add_argument("--rows", type=int)
    options = parser.parse_args()
    (saved,) = load_tasks(options.model).values()
    task = saved.task
    if not isinstance(task, Classification):
        parser.error(f"{options.model} does not classify")
    columns = Columns(text=task.text, pair=task.pair, label=task.label)
    examples = read_examples(options.file, columns, format=task.format, header=task.header)[: options.rows]
    texts = [one.text if one.pair is None else (one.text, one.pair) for one in examples]
    first = None
    for backend in options.backends:
        name, _, dtype = backend.partition(":")
        ask = pipeline("text-classification", options.model, backend=name, dtype=dtype or "float32")
        start = time.perf_counter()
        answers = [answer["label"] for answer in ask(texts)]
        seconds = time.perf_counter() - start
        right = 100 * sum(answer == one.label for answer, one in zip(answers, examples, strict=True)) / len(texts)
        first = right if first is None else first
        emit("accuracy", model=options.model.name, backend=backend, texts=len(texts), accuracy=round(right, 2),
             points_to_first=round(right - first, 2), seconds=round(seconds, 2))  # fmt: skip


if __name__ == "__main__":
    main()
