"""How large, how much work and how slow a model is."""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping
from dataclasses import dataclass

import torch

from plm.auto.model import PretrainedModel
from plm.blocks.linear import unpack
from plm.heads.model import Model
from plm.runs.distilling.options import LatencyOptions
from plm.runs.report import flops_per_token


@dataclass(frozen=True, kw_only=True)
class Cost:
    """parameters: all of them, heads included; inner: without those of the embeddings.

    flops: floating-point operations of a text. seconds: for a batch of texts, without heads, the median.
    """

    parameters: int
    inner: int
    flops: float
    seconds: float


def text_flops(model: Model, length: int) -> float:
    """Floating-point operations of the blocks on a text of so many tokens: two for each multiplication and addition.

    Matrices, and scores and sums of attention; biases, norms, heads and terms of relative positions are left out, as in
    the column of the TinyBERT paper.
    """
    config, blocks = model.config, model.backbone.blocks
    return flops_per_token(blocks) / 3.0 * length + 4.0 * len(blocks) * length**2 * config.hidden_size


def costs(models: Mapping[str, PretrainedModel], options: LatencyOptions) -> dict[str, Cost]:
    """Of each model by name, where it is. Their times are taken in turns, so that a busy machine is busy for all.

    They compute as they do when they have just been opened.
    """
    for model in models.values():
        unpack(model.eval())
    seconds: dict[str, list[float]] = {name: [] for name in models}
    ids = {name: _ids(model, options) for name, model in models.items()}
    for _ in range(options.warmup + options.repetitions):
        for name, model in models.items():
            seconds[name].append(_seconds(model, ids[name]))
    found = {}
    for name, model in models.items():
        inner = model.num_parameters() - sum(each.numel() for each in model.backbone.embeddings.parameters())
        found[name] = Cost(
            parameters=model.num_parameters(),
            inner=inner,
            flops=text_flops(model, options.length),
            seconds=statistics.median(seconds[name][options.warmup :]),
        )
    return found


def circumstances(model: PretrainedModel, options: LatencyOptions) -> str:
    """Under which times are taken, in words."""
    where = torch.cuda.get_device_name(model.device) if model.device.type == "cuda" else "CPU"
    threads = f", threads: {torch.get_num_threads()}" if model.device.type == "cpu" else ""
    return (
        f"{where}, {str(model.dtype).removeprefix('torch.')}, batch of {options.batch_size}, {options.length} tokens"
        f"{threads}, median of {options.repetitions} after {options.warmup} to warm up, models in turns"
    )


def _ids(model: Model, options: LatencyOptions) -> torch.Tensor:
    shape = options.batch_size, options.length
    ids = torch.randint(model.config.vocab_size, shape, generator=torch.Generator().manual_seed(0))
    return ids.to(model.device)


@torch.inference_mode()
def _seconds(model: Model, ids: torch.Tensor) -> float:
    _wait(ids.device)
    start = time.perf_counter()
    model.backbone(ids)
    _wait(ids.device)
    return time.perf_counter() - start


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
