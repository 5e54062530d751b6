"""From texts to labels against the model alone on the same token ids, and against the pipeline of transformers.

    python -m benchmarks pipeline --text books.txt --vocabulary bert-base-uncased-vocab.txt [--threads 2] [--layers 2]
        [--texts 4000] [--peer-texts 500] [--models base tiny-en] [--repetitions 5]

`text` is UTF-8, a passage a line. base: BERT-base's sizes, but few layers, with random weights; tiny-en: the encoder
that comes with plm under a random classifier, so small that tokens and Python count most. "model" gets all token ids,
made before, in batches by length; "pipeline" gets the texts; "in_turn" as well, but never encodes while it computes.
The peer gets batches of 32 in arrival order, fewer texts, and rates by token are compared; labels in the same run.
"""

from __future__ import annotations

import argparse
import random
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch

from benchmarks.bulk import make_model
from benchmarks.measure import emit, interleave, ratios
from plm.auto.models import AutoModelForSequenceClassification
from plm.auto.tokenizer import AutoTokenizer
from plm.pipelines import TOKENS_PER_BATCH, Encoded, Pipeline, ahead, batches_by_length, pipeline

LONGEST = 128


def passages(file: Path, count: int) -> list[str]:
    """Lines that are more than a heading, in random order."""
    lines = [line for line in file.read_text(encoding="utf-8").split("\n") if len(line) > 20]
    return random.Random(0).sample(lines, count)


def small_classifier(folder: Path) -> None:
    """plm/tiny-en with a new head of four classes, in a folder that transformers reads too."""
    torch.manual_seed(0)
    AutoModelForSequenceClassification.from_pretrained("plm/tiny-en", num_labels=4).save_pretrained(folder)
    AutoTokenizer.from_pretrained("plm/tiny-en").save_pretrained(folder)


def run_model(answer: Pipeline, encoded: Encoded) -> None:
    """The logits of all texts."""
    for places in batches_by_length(encoded.lengths(range(len(encoded.ids))), TOKENS_PER_BATCH):
        answer.runner.run(encoded.packed(places))


def in_turn(answer: Pipeline, texts: list[str]) -> list[Any]:
    """The pipeline as it is on one core."""
    with patch.object(ahead, "usable_cores", return_value=1):
        return answer(texts)


def peer_pipeline(folder: Path) -> Callable[[list[str]], Any]:
    """That of transformers, with its default arithmetic and attention."""
    import transformers

    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    made = transformers.pipeline("text-classification", model=str(folder), device="cpu")
    return partial(made, batch_size=32, truncation=True, max_length=LONGEST)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--text", type=Path, required=True)
    parser.add_argument("--vocabulary", type=Path, required=True, help="vocab.txt of an uncased BERT")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--layers", type=int, default=2)
    parser.add_argument("--texts", type=int, default=4000)
    parser.add_argument("--peer-texts", type=int, default=500)
    parser.add_argument("--models", nargs="+", choices=("base", "tiny-en"), default=["base", "tiny-en"])
    parser.add_argument("--repetitions", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    texts = passages(options.text, options.texts)
    for name in options.models:
        with tempfile.TemporaryDirectory() as folder:
            if name == "base":
                make_model(Path(folder), layers=options.layers, vocabulary=options.vocabulary)
            else:
                small_classifier(Path(folder))
            emit("pipeline", model=name, **compared(Path(folder), texts, options))


def compared(folder: Path, texts: list[str], options: argparse.Namespace) -> dict[str, Any]:
    """The ratios of all sides, after their labels are compared."""
    found = pipeline("text-classification", folder, max_length=LONGEST)
    assert isinstance(found, Pipeline), "classes come from each text's own output"
    answer: Pipeline = found
    encoded = Encoded(*answer.tokenizer.encode_batch_ids(texts, max_length=LONGEST))
    lengths = encoded.lengths(range(len(texts)))
    peer, few = peer_pipeline(folder), texts[: options.peer_texts]
    ours, theirs = _labels(answer(few)), _labels(peer(few))
    alike = float(np.mean([one == other for one, other in zip(ours, theirs, strict=True)]))
    assert alike > 0.99, f"only {alike:.1%} of the labels are those of transformers"
    seconds = interleave(
        {
            "model": lambda: run_model(answer, encoded),
            "pipeline": lambda: answer(texts),
            "in_turn": lambda: in_turn(answer, texts),
            "tokens": lambda: answer.tokenizer.encode_batch_ids(texts, max_length=LONGEST),
            "transformers": lambda: peer(few),
        },
        repetitions=options.repetitions,
    )
    per_token = {
        "pipeline": [one / sum(lengths) for one in seconds["pipeline"]],
        "transformers": [one / sum(lengths[: len(few)]) for one in seconds["transformers"]],
    }
    return {
        "layers": answer.runner.config.num_hidden_layers,
        "texts": len(texts),
        "tokens": sum(lengths),
        "labels_alike": round(alike, 4),
        "pipeline_to_model": ratios(seconds, of="pipeline", to="model"),
        "in_turn_to_model": ratios(seconds, of="in_turn", to="model"),
        "share_of_tokenization": round(float(np.median(seconds["tokens"]) / np.median(seconds["in_turn"])), 4),
        "pipeline_to_transformers": ratios(per_token, of="pipeline", to="transformers"),
        "tokens_per_second": round(sum(lengths) / float(np.median(seconds["pipeline"]))),
    }


def _labels(answers: Sequence[dict[str, Any]]) -> list[str]:
    return [answer["label"] for answer in answers]


if __name__ == "__main__":
    main()
