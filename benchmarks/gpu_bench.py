"""What the measurements of benchmarks.gpu share: sizes, lengths, both sides' models, and lines with their speed."""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.measure import emit, interleave, ratios
from plm.auto.models import AutoModel, AutoModelForMaskedLM
from plm.training.report import PEAK_FLOPS


@dataclass(frozen=True, kw_only=True)
class Size:
    """Sizes of a model, and how much of it one batch takes. tokens: of an encoding batch; texts: encoded in one run."""

    hidden: int
    layers: int
    heads: int
    vocabulary: int = 30522
    positions: int = 512
    tokens: int = 32768
    trained_tokens: int = 16384
    texts: int = 512

    @property
    def arguments(self) -> dict[str, int]:
        """Of configs, ours and theirs."""
        return {
            "vocab_size": self.vocabulary,
            "hidden_size": self.hidden,
            "num_hidden_layers": self.layers,
            "num_attention_heads": self.heads,
            "intermediate_size": 4 * self.hidden,
            "max_position_embeddings": self.positions,
        }

    def flops(self, lengths: Sequence[int]) -> float:
        """Multiplications and additions of all blocks for texts of these lengths, forward."""
        linear = 2 * 12 * self.hidden**2
        return float(self.layers * sum(n * linear + 4 * n * n * self.hidden for n in lengths))

    def head_flops(self, masked: int) -> float:
        """Those of the masked words' head for so many words, forward."""
        return 2.0 * masked * self.hidden * (self.hidden + self.vocabulary)


BASE = Size(hidden=768, layers=12, heads=12)
LARGE = Size(hidden=1024, layers=24, heads=16, trained_tokens=8192, texts=256)
TINY = Size(hidden=32, layers=1, heads=2, vocabulary=100, tokens=512, trained_tokens=256, texts=4)


def squad_lengths(count: int, *, seed: int = 0) -> list[int]:
    """Tokens of SQuAD's questions with their paragraphs, at most 384: lognormal, mean about 172."""
    drawn = np.random.default_rng(seed).lognormal(np.log(157), 0.42, count)
    return [int(n) for n in np.clip(drawn.round(), 30, 384)]


LENGTHS: Mapping[str, Callable[[int], list[int]]] = {
    "128": lambda texts: [128] * texts,
    "512": lambda texts: [512] * (texts // 4),
    "squad": squad_lengths,
}


class Bench:
    """What all measurements of a run share."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.device = torch.device(options.device)
        self.sizes = {"tiny": TINY} if options.tiny else {"base": BASE, "large": LARGE}
        self.peak = options.peak * 1e12 if options.peak else self._known_peak()

    def _known_peak(self) -> float | None:
        if self.device.type != "cuda":
            return None
        name = torch.cuda.get_device_name(self.device)
        return next((peaks.get("bf16") for part, peaks in PEAK_FLOPS.items() if part in name), None)

    def run(self, sides: Mapping[str, Callable[[], object]]) -> dict[str, list[float]]:
        """Seconds of each side in turn, the device's work included."""

        def waited(side: Callable[[], object]) -> Callable[[], None]:
            def run() -> None:
                side()
                if self.device.type == "cuda":
                    torch.cuda.synchronize(self.device)

            return run

        return interleave({name: waited(side) for name, side in sides.items()}, repetitions=self.options.repetitions)

    def report(self, name: str, seconds: dict[str, list[float]], *, tokens: int, flops: float, **more: Any) -> None:
        """One line a side: speed on real tokens, share of the peak, ratio to the others."""
        for side, times in seconds.items():
            best = float(np.median(times))
            emit(
                f"gpu-{name}",
                side=side,
                tokens_per_second=round(tokens / best),
                mfu=round(flops / best / self.peak, 4) if self.peak else None,
                peak_tflops=self.peak / 1e12 if self.peak else None,
                faster_than={other: ratios(seconds, of=side, to=other) for other in seconds if other != side},
                **more,
            )

    def texts(self, lengths: Sequence[int], size: Size) -> list[Tensor]:
        """Random token ids of these lengths."""
        generator = torch.Generator().manual_seed(1)
        return [torch.randint(5, size.vocabulary, (n,), generator=generator) for n in lengths]

    @contextmanager
    def pair(self, kind: str, size: Size, **options: Any) -> Iterator[tuple[Any, Any]]:
        """transformers' model of a size and ours with its weights. kind: "BertModel" or "BertForMaskedLM"."""
        import transformers

        transformers.utils.logging.disable_progress_bar()
        torch.manual_seed(0)
        config = transformers.BertConfig(**size.arguments, **options, attn_implementation="sdpa")
        peer = getattr(transformers, kind)(config).eval()
        auto = AutoModel if kind == "BertModel" else AutoModelForMaskedLM
        with tempfile.TemporaryDirectory() as folder:
            peer.save_pretrained(folder)
            ours = auto.from_pretrained(Path(folder), device=self.device)
            yield peer.to(self.device), ours
        del peer, ours
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats(self.device)


def padded(texts: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Token ids and mask, (texts, longest)."""
    ids = torch.nn.utils.rnn.pad_sequence(list(texts), batch_first=True)
    lengths = torch.tensor([len(text) for text in texts])
    return ids, (torch.arange(ids.shape[1]) < lengths[:, None]).long()
