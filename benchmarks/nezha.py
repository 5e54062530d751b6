"""NEZHA-base against our own BERT-base at length 512: the price of relative positions.

    python -m benchmarks nezha [--threads 2] [--layers 2] [--batch 8] [--length 512] [--repetitions 5]

BERT runs once with plain attention (scores, softmax, product, as the step-by-step twin computes them) and once with
the fused kernel. Peak memory is that of a fresh process for each.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from benchmarks.measure import emit, interleave, own_peak_mib, ratios
from plm.auto.models import AutoModel
from plm.blocks.kernels import DotProduct
from plm.models.bert import BertConfig
from plm.models.nezha import NezhaConfig

BASE = {"vocab_size": 21128, "hidden_size": 768, "num_attention_heads": 12, "intermediate_size": 3072}


class PlainDotProduct(DotProduct):
    """The dot-product kernel, step by step."""

    def forward(self, query: Tensor, key: Tensor, value: Tensor, **options: Any) -> Tensor:
        """As DotProduct.forward."""
        return self.explain(query, key, value, **options)[0]


def build(kind: str, layers: int) -> torch.nn.Module:
    """A base-size model: "nezha", "bert" or "bert_plain"."""
    config = (NezhaConfig if kind == "nezha" else BertConfig)(num_hidden_layers=layers, **BASE)
    model = AutoModel.from_config(config)
    if kind == "bert_plain":
        for block in model.backbone.blocks:
            block.attention.kernel = PlainDotProduct()
    return model


def forward(model: torch.nn.Module, ids: Tensor) -> None:
    """One pass without gradients, in evaluation mode."""
    model.eval()
    with torch.inference_mode():
        model(ids)


def train_step(model: torch.nn.Module, ids: Tensor) -> None:
    """Forward and backward with dropout."""
    model.train()
    model(ids).last_hidden_state.square().mean().backward()
    model.zero_grad(set_to_none=True)


def peak_mib(kind: str, mode: str, options: argparse.Namespace) -> int:
    """Peak memory of a fresh process that does one pass, in MiB."""
    arguments = [f"--{name}={getattr(options, name)}" for name in ("threads", "layers", "batch", "length")]
    command = [sys.executable, "-m", "benchmarks.nezha", "--peak", kind, "--mode", mode, *arguments]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name, default in (("threads", 2), ("layers", 2), ("batch", 8), ("length", 512), ("repetitions", 5)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--peak", choices=("nezha", "bert", "bert_plain"))
    parser.add_argument("--mode", choices=("forward", "train_step"), default="forward")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    ids = torch.randint(1000, 20000, (options.batch, options.length))
    modes: dict[str, Callable[[torch.nn.Module, Tensor], None]] = {"forward": forward, "train_step": train_step}
    if options.peak:
        modes[options.mode](build(options.peak, options.layers), ids)
        print(own_peak_mib())
        return
    models = {kind: build(kind, options.layers) for kind in ("nezha", "bert", "bert_plain")}
    for mode, run in modes.items():
        seconds = interleave(
            {kind: partial(run, model, ids) for kind, model in models.items()}, repetitions=options.repetitions
        )
        emit(
            f"nezha_{mode}",
            batch=options.batch,
            length=options.length,
            layers=options.layers,
            cost_to_plain_bert=ratios(seconds, of="bert_plain", to="nezha"),
            cost_to_fused_bert=ratios(seconds, of="bert", to="nezha"),
            peak_mib={kind: peak_mib(kind, mode, options) for kind in models},
        )


if __name__ == "__main__":
    main()
