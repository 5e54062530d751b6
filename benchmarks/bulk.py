"""A classifier over many rows of a file, from text to written answers: `plm predict` against transformers' pipeline.

    python -m benchmarks bulk --data ag_news --vocabulary bert-base-uncased-vocab.txt [--rows 100000]
        [--peer-rows 100000] [--layers 12] [--workers 2] [--backend torch] [--dtype float32] [--batch-size 1]

`data` is a folder with train.csv of AG News (no header, the text in column 2) or train.tsv of SST-2 (sentence, label);
fewer rows than asked for are repeated. Both sides read the same weights, drawn at random. plm runs as the command, its
start and the loading of the model included, in `workers` processes that share the threads. The pipeline of transformers
gets all texts as a list, loaded and warmed up, with all threads; one half of its rows before plm and one after, so that
the machine is the same for both. Answers are compared. With fewer rows for the peer, its rate is taken for the rest.
"""

from __future__ import annotations

import argparse
import csv
import itertools
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch

from benchmarks.measure import emit


def texts_of(folder: Path) -> Iterator[str]:
    """The real ones, again and again."""
    tables = (("train.csv", {}, 2, 0), ("train.tsv", {"delimiter": "\t", "quoting": csv.QUOTE_NONE}, 0, 1))
    for name, dialect, column, header in tables:
        if (folder / name).is_file():
            with (folder / name).open(newline="", encoding="utf-8") as file:
                rows: list[list[str]] = list(csv.reader(file, **dialect))  # type: ignore[arg-type]
            return itertools.cycle(row[column] for row in rows[header:] if row[column].strip())
    raise SystemExit(f"{folder}: has neither train.csv of AG News nor train.tsv of SST-2")


def make_model(folder: Path, *, layers: int, vocabulary: Path) -> None:
    """A random classifier of four classes of BERT-base's sizes, saved by transformers."""
    import transformers

    torch.manual_seed(0)
    config = transformers.BertConfig(num_hidden_layers=layers, num_labels=4)
    transformers.BertForSequenceClassification(config).save_pretrained(folder)
    (folder / "vocab.txt").write_bytes(vocabulary.read_bytes())
    settings = {"tokenizer_class": "BertTokenizer", "do_lower_case": True, "model_max_length": 512}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))


def run_plm(arguments: Sequence[str]) -> float:
    """Seconds of `plm predict` with these arguments."""
    start = time.perf_counter()
    subprocess.run([sys.executable, "-m", "plm", "predict", *arguments], check=True)
    return time.perf_counter() - start


class Peer:
    """transformers' pipeline."""

    def __init__(self, model: Path, batch_size: int) -> None:
        import transformers

        transformers.utils.logging.set_verbosity_error()
        self.ask = transformers.pipeline("text-classification", str(model), device="cpu")
        self.batch_size = batch_size

    def run(self, texts: Sequence[str], output: Path) -> float:
        """Seconds to ask and to write."""
        start = time.perf_counter()
        with output.open("w", encoding="utf-8") as file:
            for text, answer in zip(
                texts, self.ask(list(texts), batch_size=self.batch_size, truncation=True), strict=True
            ):
                file.write(json.dumps({"text": text, **answer}, ensure_ascii=False) + "\n")
        return time.perf_counter() - start


def scores(path: Path) -> list[float]:
    """Of the answers in a file."""
    return [json.loads(line)["score"] for line in path.read_text(encoding="utf-8").splitlines()]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--vocabulary", type=Path, required=True)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--peer-rows", type=int, help="[all]")
    parser.add_argument("--layers", type=int, default=12)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--backend", default="torch")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--batch-size", type=int, default=1, help="of the peer, whose default is 1")
    parser.add_argument("--part-rows", type=int, default=2048)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        compare(Path(folder), options)


def compare(folder: Path, options: argparse.Namespace) -> None:
    """Both sides over the same rows."""
    model, file, output = folder / "model", folder / "rows.jsonl", folder / "answers.jsonl"
    make_model(model, layers=options.layers, vocabulary=options.vocabulary)
    texts = list(itertools.islice(texts_of(options.data), options.rows))
    file.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts), encoding="utf-8")
    asked = texts[: options.peer_rows or options.rows]
    half = len(asked) // 2
    peer = Peer(model, options.batch_size)
    peer.run(asked[:8], folder / "warm.jsonl")
    theirs = [peer.run(asked[:half], folder / "first.jsonl")]
    ours = run_plm(
        [
            *(str(model), "--file", str(file), "--output", str(output), "--workers", str(options.workers)),
            *("--backend", options.backend, "--dtype", options.dtype, "--part-rows", str(options.part_rows)),
        ]
    )
    theirs.append(peer.run(asked[half:], folder / "second.jsonl"))
    expected, found = scores(folder / "first.jsonl") + scores(folder / "second.jsonl"), scores(output)
    assert len(found) == len(texts), "a row is missing"
    rates: dict[str, Any] = {
        "plm": len(texts) / ours,
        "first": half / theirs[0],
        "second": (len(asked) - half) / theirs[1],
    }
    emit(
        "bulk",
        **{name: value for name, value in vars(options).items() if name not in ("data", "vocabulary")},
        data=options.data.name,
        largest_difference=max(abs(a - b) for a, b in zip(found, expected, strict=False)),
        rows_per_second={name: round(rate, 2) for name, rate in rates.items()},
        ratio=round(rates["plm"] / (len(asked) / sum(theirs)), 3),
        ratio_range=[round(rates["plm"] / rates[name], 3) for name in ("first", "second")],
        largest_process_mib=resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024,
    )


if __name__ == "__main__":
    main()
