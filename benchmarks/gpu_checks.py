"""Is everything right on this GPU? Every kernel against float64 on the CPU, one process of NCCL, training in fp16.

    python -m benchmarks gpu_checks [--device cuda:0]

One JSON line a check. A check that fails says so in its line, and the program ends with 1 after all of them. Optional
kernels, which prove themselves at first use and are left out where they cannot, are listed with what speaks against
them: that is no failure.
"""

from __future__ import annotations

import argparse
import math
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from benchmarks.measure import emit
from plm.auto.models import AutoModel, AutoModelForSequenceClassification
from plm.blocks import relative_features, varlen
from plm.blocks.layout import Packed, Pattern
from plm.blocks.proof import LIMITS, KernelMismatch, compare, forget, require_near
from plm.blocks.relative import relative_attention, relative_attention_reference, relative_table
from plm.models.bert import BertConfig
from plm.models.config import ModelConfig
from plm.models.gpt1 import Gpt1Config
from plm.models.nezha import NezhaConfig
from plm.training import Callback, Record, Run, Trainer, TrainingConfig

SIZES = {"vocab_size": 97, "hidden_size": 128, "num_hidden_layers": 2, "num_attention_heads": 2}
WIDE = {**SIZES, "intermediate_size": 256}
LENGTHS = (90, 3, 33, 90)
RADIUS = 16

FAMILIES: Mapping[str, ModelConfig] = {
    "bert": BertConfig(**WIDE),
    "nezha": NezhaConfig(**WIDE, max_relative_position=RADIUS),
    "gpt1": Gpt1Config(**WIDE),
}
DTYPES = (torch.float32, torch.bfloat16, torch.float16)


def check_all(device: torch.device) -> bool:
    """Run and print every check; True where all hold."""
    forget()
    checks: dict[str, Callable[[], object]] = {
        "process group": lambda: one_process(device),
        "training in 16 bits": lambda: train_in_16_bits(device),
    }
    for dtype in DTYPES:
        checks[f"blocks of NEZHA, {dtype}"] = lambda dtype=dtype: relative_blocks(device, dtype)
        for name, config in FAMILIES.items():
            checks[f"{name}, {dtype}"] = lambda config=config, dtype=dtype: family(config, device, dtype)
    holds = [_told(name, check) for name, check in checks.items()]
    for name, takes in optional_kernels(device):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            emit("gpu-kernel", kernel=name, is_used=takes(), why_not=[str(warning.message) for warning in caught])
    return all(holds)


def _told(name: str, check: Callable[[], object]) -> bool:
    try:
        found, failure = check(), None
    except Exception as error:  # every check is to be run, whatever another one meets
        found, failure = None, f"{type(error).__name__}: {error}"
    emit("gpu-check", check=name, holds=failure is None, found=found, failure=failure)
    return failure is None


def optional_kernels(device: torch.device) -> Iterator[tuple[str, Callable[[], bool]]]:
    """Name and question of each kernel that proves itself."""
    patterns: tuple[Pattern, ...] = ("full", "causal")
    for dtype in DTYPES:
        for pattern in patterns:
            for dropout in (0.0, 0.1):
                yield (
                    f"varlen, {dtype}, {pattern}, dropout {dropout}",
                    lambda dtype=dtype, pattern=pattern, dropout=dropout: varlen.takes(
                        device=device, dtype=dtype, pattern=pattern, head_size=64, dropout=dropout
                    ),
                )
            for length in (40, 200):
                rows = torch.empty(1, 1, length, 64, dtype=dtype, device=device)
                call = relative_features.Call(64, is_causal=pattern == "causal")
                yield (
                    f"features of NEZHA, {dtype}, {pattern}, {'near' if length == 40 else 'far'}",
                    lambda rows=rows, call=call: relative_features.takes(rows, rows, call),
                )


def family(config: ModelConfig, device: torch.device, dtype: torch.dtype) -> dict[str, float]:
    """Hidden states and gradients of a small model, padded and packed, against float64 on the CPU."""
    model = AutoModel.from_config(config, generator=torch.Generator().manual_seed(0)).eval()
    exact = AutoModel.from_config(config, generator=torch.Generator().manual_seed(0)).double().eval()
    model = model.to(device, dtype)
    exact.load_state_dict({name: tensor.double().cpu() for name, tensor in model.state_dict().items()})
    ids = torch.randint(1, 97, (len(LENGTHS), max(LENGTHS)), generator=torch.Generator().manual_seed(1))
    mask = torch.arange(ids.shape[1]) < torch.tensor(LENGTHS)[:, None]
    weights = torch.randn(*ids.shape, config.hidden_size, generator=torch.Generator().manual_seed(2)) * mask[..., None]

    def computed(model: nn.Module, ids: Tensor, **options: Any) -> tuple[Tensor, Tensor]:
        hidden = model(ids, **options).last_hidden_state
        here = weights[mask] if "layout" in options else weights
        (hidden * here.to(hidden)).sum().backward()
        gradient = model.backbone.embeddings.word.weight.grad  # type: ignore[union-attr]
        model.zero_grad(set_to_none=True)
        rows = hidden if "layout" in options else hidden[mask.to(hidden.device)]
        return rows.detach(), gradient  # type: ignore[return-value]

    expected = computed(exact, ids, attention_mask=mask)
    layout = Packed.from_lengths(LENGTHS, pattern=config.attention_pattern, device=device)
    ways = {
        "padded": computed(model, ids.to(device), attention_mask=mask.to(device)),
        "packed": computed(model, ids[mask].to(device), layout=layout),
    }
    errors: dict[str, float] = {}
    for way, found in ways.items():
        for name, ours, theirs in zip(("hidden states", "gradients"), found, expected, strict=True):
            require_near(f"{way}: {name}", ours, theirs, limit=5 * LIMITS[dtype])
            errors[f"{way} {name}"] = float((ours.double().cpu() - theirs).norm() / theirs.norm())
    return errors


def relative_blocks(device: torch.device, dtype: torch.dtype) -> None:
    """The path of NEZHA that takes every mask and dropout, with a mask, both patterns."""
    table = relative_table(RADIUS, 64)
    allowed = torch.ones(2, 1, 1, 70, dtype=torch.bool)
    allowed[1, ..., :20] = False
    for is_causal in (False, True):
        compare(
            lambda query, key, value, is_causal=is_causal: relative_attention(
                query, key, value, table.to(device), allowed=allowed.to(device), is_causal=is_causal
            ),
            lambda query, key, value, is_causal=is_causal: relative_attention_reference(
                query, key, value, table.double(), allowed=allowed, is_causal=is_causal
            )[0],
            shape=(2, 2, 70, 64),
            device=device,
            dtype=dtype,
        )


def one_process(device: torch.device) -> str:
    """A group of one process, its sum and its gathering."""
    backend = "nccl" if device.type == "cuda" else "gloo"
    dist.init_process_group(backend, store=dist.HashStore(), rank=0, world_size=1)
    try:
        total = torch.arange(8.0, device=device)
        dist.all_reduce(total)
        parts = [torch.zeros(8, device=device)]
        dist.all_gather(parts, total)
        if not torch.equal(parts[0], torch.arange(8.0, device=device)):
            raise KernelMismatch(f"a sum over one process changed it: {parts[0].tolist()}")
    finally:
        dist.destroy_process_group()
    return backend


@dataclass(frozen=True)
class _Batches:
    """The same labelled texts over and over."""

    batch: dict[str, Tensor]
    count: int = 20

    def __len__(self) -> int:
        return self.count

    def epoch(self, epoch: int) -> list[dict[str, Tensor]]:
        """See plm.training.TrainingBatches."""
        return [self.batch] * self.count


class _Losses(Callback):
    def __init__(self) -> None:
        self.losses: list[float] = []

    def on_step(self, run: Run, record: Record) -> None:
        self.losses.append(record.values["loss"])


def train_in_16_bits(device: torch.device) -> dict[str, Any]:
    """A few updates in fp16 with loss scaling, bf16 on CPUs: losses are finite and fall."""
    precision = "fp16" if device.type == "cuda" else "bf16"
    ids = torch.randint(5, 97, (16, 24), generator=torch.Generator().manual_seed(0))
    batch = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "labels": ids[:, 0] % 2}
    model = AutoModelForSequenceClassification.from_config(BertConfig(**WIDE)).to(device)
    config = TrainingConfig(learning_rate=1e-3, max_steps=20, precision=precision, eval_strategy="no", log_every=1)  # type: ignore[arg-type]
    seen = _Losses()
    Trainer(model, config, batches=_Batches(batch), callbacks=[seen]).train()  # type: ignore[arg-type]
    if not all(map(math.isfinite, seen.losses)) or seen.losses[-1] >= seen.losses[0]:
        raise KernelMismatch(f"losses in {precision} do not fall: {seen.losses}")
    return {"precision": precision, "first_loss": seen.losses[0], "last_loss": seen.losses[-1]}


def graphed(run: Callable[[], object]) -> Callable[[], object]:
    """A computation on the current GPU recorded as a CUDA graph; each call computes it again, in the same memory."""
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            run()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        run()
    return graph.replay


def main() -> None:
    """Check and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda")
    options = parser.parse_args()
    sys.exit(0 if check_all(torch.device(options.device)) else 1)


if __name__ == "__main__":
    main()
