"""Encoding sentences of real lengths with BERT-base: plm against transformers, and against the machine's peak.

    python -m benchmarks encode [--threads 1] [--layers 12] [--sentences 1000] [--repetitions 5]

transformers runs in float32 with its default attention, batches of 32: once in arrival order (its default), once
sorted by length. Both sides start from token ids; outputs are compared before anything is timed.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.measure import emit, interleave, peak_gflops, ratios, sentence_lengths
from plm.auto.models import AutoModel
from plm.backends.eager import TorchRunner
from plm.models.bert import BertConfig
from plm.pipelines import TOKENS_PER_BATCH, batches_by_length

BASE = {
    "vocab_size": 30522,
    "hidden_size": 768,
    "num_attention_heads": 12,
    "intermediate_size": 3072,
    "max_position_embeddings": 512,
}

Array = np.ndarray[Any, Any]


def encode_packed(runner: TorchRunner, texts: Sequence[Array]) -> list[Array]:
    """Last hidden states of every text, in order: what `pipeline("feature-extraction")` does behind its tokenizer."""
    states: list[Any] = [None] * len(texts)
    for places in batches_by_length([len(text) for text in texts], TOKENS_PER_BATCH):
        lengths = np.array([len(texts[place]) for place in places])
        batch = {"input_ids": np.concatenate([texts[place] for place in places]), "lengths": lengths}
        rows = runner.run(batch)["last_hidden_state"]
        for place, part in zip(places, np.split(rows, np.cumsum(lengths)[:-1]), strict=True):
            states[place] = part
    return states


def encode_padded(model: Callable[..., Any], texts: Sequence[Array], order: Sequence[int]) -> list[Array]:
    """The same with a model of transformers, batches of 32 in the given order."""
    states: list[Any] = [None] * len(texts)
    with torch.inference_mode():
        for start in range(0, len(texts), 32):
            places = order[start : start + 32]
            longest = max(len(texts[place]) for place in places)
            ids = torch.zeros(len(places), longest, dtype=torch.long)
            mask = torch.zeros_like(ids)
            for row, place in enumerate(places):
                ids[row, : len(texts[place])] = torch.from_numpy(texts[place])
                mask[row, : len(texts[place])] = 1
            hidden = model(ids, attention_mask=mask).last_hidden_state
            for row, place in enumerate(places):
                states[place] = hidden[row, : len(texts[place])].numpy()
    return states


def gflop(lengths: Sequence[int], layers: int) -> float:
    """Multiplications and additions of all blocks for texts of these lengths, in billions."""
    hidden, inner = BASE["hidden_size"], BASE["intermediate_size"]
    linear = 2 * (4 * hidden * hidden + 2 * hidden * inner)
    return layers * sum(length * linear + 4 * length * length * hidden for length in lengths) / 1e9


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--layers", type=int, default=12)
    parser.add_argument("--sentences", type=int, default=1000)
    parser.add_argument("--repetitions", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    import transformers

    transformers.utils.logging.disable_progress_bar()
    torch.manual_seed(0)
    peer = transformers.BertModel(transformers.BertConfig(num_hidden_layers=options.layers)).eval()
    with tempfile.TemporaryDirectory() as folder:
        peer.save_pretrained(folder)
        runners = {
            dtype: TorchRunner(AutoModel.from_pretrained(Path(folder), dtype=dtype)) for dtype in ("fp32", "bf16")
        }
        for runner in runners.values():
            assert isinstance(runner.config, BertConfig)
        compare(peer, runners, options)


def compare(peer: Callable[..., Any], runners: dict[str, TorchRunner], options: argparse.Namespace) -> None:
    """Check that outputs are equal, then time everything in turn."""
    lengths = sentence_lengths(options.sentences)
    rng = np.random.default_rng(1)
    texts = [rng.integers(1000, 30000, length) for length in lengths]
    arrival = list(range(len(texts)))
    by_length = sorted(arrival, key=lambda place: -lengths[place])
    expected = encode_padded(peer, texts, by_length)
    worst = max(
        float(np.abs(ours - theirs).max())
        for ours, theirs in zip(encode_packed(runners["fp32"], texts), expected, strict=True)
    )
    assert worst < 1e-5, f"outputs differ by {worst}"
    seconds = interleave(
        {
            "transformers": lambda: encode_padded(peer, texts, arrival),
            "transformers_sorted": lambda: encode_padded(peer, texts, by_length),
            "plm_fp32": lambda: encode_packed(runners["fp32"], texts),
            "plm_bf16": lambda: encode_packed(runners["bf16"], texts),
        },
        repetitions=options.repetitions,
    )
    peak, work = peak_gflops(torch.float32), gflop(lengths, options.layers)
    emit(
        "encode",
        sentences=options.sentences,
        layers=options.layers,
        tokens=sum(lengths),
        largest_difference=worst,
        fp32_to_default=ratios(seconds, of="plm_fp32", to="transformers"),
        fp32_to_sorted=ratios(seconds, of="plm_fp32", to="transformers_sorted"),
        bf16_to_default=ratios(seconds, of="plm_bf16", to="transformers"),
        tokens_per_second=round(sum(lengths) / min(seconds["plm_fp32"])),
        peak_gflops=round(peak, 1),
        share_of_peak=round(work / float(np.median(seconds["plm_fp32"])) / peak, 3),
    )


if __name__ == "__main__":
    main()
