"""Memory of BERT-base: what a token costs in training under each setting, and in inference against the formula.

    python -m benchmarks memory [--tokens 4096] [--layers 4] [--settings packed bf16 ...]

Every figure comes from fresh processes: the peak with so many tokens of real lengths is taken from the peak with twice
as many, so that weights, gradients and the interpreter cancel out. Each setting adds one switch to one before it.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from benchmarks.encode import BASE
from benchmarks.measure import emit, own_peak_mib, sentence_lengths
from plm.auto.models import AutoModel, AutoModelForMaskedLM
from plm.backends.eager import load_torch
from plm.blocks.labels import IGNORED_LABEL
from plm.errors import BackendUnavailable
from plm.models.bert import BertConfig
from plm.models.config import ModelConfig
from plm.training.optimizers import OPTIMIZERS

TEXTS_IN_A_BATCH = 32
MASKED_SHARE = 0.15


@dataclass(frozen=True)
class Setting:
    """after: the setting that it is compared with. The switches are those of a training."""

    after: str | None
    packed: bool = True
    masked_only: bool = True
    bf16: bool = False
    checkpointing: bool = False


SETTINGS: Mapping[str, Setting] = {
    "padded": Setting(None, packed=False, masked_only=False),
    "masked words alone get logits": Setting("padded", packed=False),
    "packed": Setting("masked words alone get logits"),
    "bf16": Setting("packed", bf16=True),
    "checkpointing": Setting("packed", checkpointing=True),
    "bf16 and checkpointing": Setting("packed", bf16=True, checkpointing=True),
}


def texts(tokens: int) -> list[int]:
    """Lengths of sentences of that many tokens together."""
    lengths: list[int] = []
    for length in sentence_lengths(tokens):
        lengths.append(min(length, tokens - sum(lengths)))
        if sum(lengths) == tokens:
            break
    return lengths


def train_step(setting: Setting, *, tokens: int, layers: int) -> None:
    """Forward and backward of a new model; padded batches hold 32 texts as they come, so many as it takes."""
    model = AutoModelForMaskedLM.from_config(BertConfig(num_hidden_layers=layers, **BASE))
    if setting.checkpointing:
        model.gradient_checkpointing_enable()
    lengths = texts(tokens)
    # A rectangle as a padded batch of 32 has it: as many slots a text as its longest text has, on average.
    longest = [max(lengths[i : i + TEXTS_IN_A_BATCH]) for i in range(0, len(lengths), TEXTS_IN_A_BATCH)]
    width = max(lengths) if setting.packed else round(sum(longest) / len(longest))
    ids = torch.randint(1000, 20000, (len(lengths), width))
    live = torch.arange(width) < torch.tensor(lengths)[:, None]
    mask = live.long() if setting.packed else None
    with torch.autocast("cpu", dtype=torch.bfloat16) if setting.bf16 else nullcontext():
        loss = model(ids, mask, labels=_labels(ids, live, setting)).loss
    loss.backward()


def _labels(ids: Tensor, live: Tensor, setting: Setting) -> Tensor:
    if not setting.masked_only:
        return ids
    chosen = live & (torch.rand(ids.shape) < MASKED_SHARE)
    return ids.masked_fill(~chosen, IGNORED_LABEL)


def predict(folder: Path, *, tokens: int) -> None:
    """One packed batch of a model from a folder."""
    lengths = np.array(texts(tokens))
    load_torch(folder, None, "float32").run({"input_ids": np.full(lengths.sum(), 1000), "lengths": lengths})


def peak_mib(*arguments: object) -> int:
    """Peak memory of a fresh process that runs this module as a child."""
    command = [sys.executable, "-m", "benchmarks.memory", "--child", *map(str, arguments)]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def kib_a_token(peak: Callable[[int], int], tokens: int) -> float:
    """KiB that another token takes. peak: tokens -> MiB."""
    return round((peak(2 * tokens) - peak(tokens)) * 1024 / tokens, 1)


def optimizer_bytes(name: str) -> float | None:
    """Bytes of an optimizer's state for a parameter; None = its package is not there."""
    layer = torch.nn.Linear(512, 512, bias=False)
    try:
        optimizer = OPTIMIZERS.get(name)([{"params": [layer.weight], "lr": 1e-3, "weight_decay": 0.0}], lr=1e-3,
                                         betas=(0.9, 0.999))  # fmt: skip
    except BackendUnavailable:
        return None
    layer(torch.ones(1, 512)).sum().backward()
    optimizer.step()
    held = [part for part in _tensors(optimizer.state_dict()["state"]) if part.numel() > 256]
    return round(sum(part.numel() * part.element_size() for part in held) / layer.weight.numel(), 2)


def _tensors(tree: object) -> list[Tensor]:
    if isinstance(tree, Tensor):
        return [tree]
    return [part for value in tree.values() for part in _tensors(value)] if isinstance(tree, dict) else []


# MiB that the heap keeps of freed blocks, and kernels take for themselves, whatever the number of tokens.
KEPT_MIB = 48


def numbers_a_token(config: ModelConfig) -> int:
    """docs/memory.md: float32 numbers that a token takes at most where a block is widest, with what the heap keeps."""
    return 3 * (config.hidden_size + config.intermediate_size)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tokens", type=int, default=4096)
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--settings", nargs="+", default=list(SETTINGS), choices=list(SETTINGS))
    parser.add_argument("--child", nargs=argparse.REMAINDER)
    options = parser.parse_args()
    if options.child:
        _child(options.child)
        return
    found: dict[str, float] = {}
    for name in options.settings:
        found[name] = kib_a_token(lambda count, name=name: peak_mib(name, count, options.layers), options.tokens)
        before = SETTINGS[name].after
        share = round(found[name] / found[before], 3) if before in found else None
        emit("training_memory", switch=name, kib_a_token=found[name], after=before, of_that=share,
             layers=options.layers, tokens=options.tokens)  # fmt: skip
    for name in ("adamw", "adamw_8bit"):
        emit("optimizer_memory", optimizer=name, bytes_a_parameter=optimizer_bytes(name))
    _inference(options)


def _inference(options: argparse.Namespace) -> None:
    config = BertConfig(num_hidden_layers=options.layers, **BASE)
    with tempfile.TemporaryDirectory() as folder:
        model = AutoModel.from_config(config)
        model.save_pretrained(folder)
        weights = round(sum(held.numel() for held in model.parameters()) * 4 / 2**20)
        ready = peak_mib("predict", 1, folder)
        for tokens in (2048, 8192):
            found = round((peak_mib("predict", tokens, folder) - ready) * 1024 / tokens, 1)
            emit("inference_memory", layers=options.layers, weights_mib=weights, ready_mib=ready, tokens=tokens,
                 kib_a_token=found, stated_kib_a_token=4 * numbers_a_token(config) / 1024)  # fmt: skip


def _child(arguments: Sequence[str]) -> None:
    torch.manual_seed(0)
    name, tokens, where = arguments
    if name == "predict":
        predict(Path(where), tokens=int(tokens))
    else:
        train_step(SETTINGS[name], tokens=int(tokens), layers=int(where))
    print(own_peak_mib())


if __name__ == "__main__":
    main()
