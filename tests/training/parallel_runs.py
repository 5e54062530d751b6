"""Whole runs of a Trainer, in one process or several: stopped, continued, killed.

As a program, under torchrun: arguments are a folder, the last update, and the update after which a process is killed.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from plm.training import Callback, Evaluation, JsonLines, Record, Run, Trainer, TrainingReport
from plm.training.step import Batch
from tests.tiny_models import tiny_model
from tests.training.test_accumulation import CASES, classes
from tests.training.tiny import config

UPDATES = 8
WEIGHTS = "weights.safetensors"


@dataclass(frozen=True)
class Texts:
    """Texts of one to seven words, in batches of unequal sizes that are others in every epoch."""

    sizes: tuple[int, ...] = (3, 1, 2, 2)

    def __len__(self) -> int:
        return len(self.sizes)

    def epoch(self, number: int) -> list[Batch]:
        batch = CASES["classes"].batch()
        order = torch.randperm(8, generator=torch.Generator().manual_seed(number))
        parts = order.split(list(self.sizes))
        return [{name: tensor[part] for name, tensor in batch.items()} for part in parts]


class At(Callback):
    """After an update: ask for an end, or kill this process if it is not a second try."""

    def __init__(self, *, stop: int, kill: int | None = None) -> None:
        self.stop, self.kill = stop, kill

    def on_step(self, run: Run, record: Record) -> None:
        if run.update == self.kill and os.environ.get("TORCHELASTIC_RESTART_COUNT") == "0":
            os.kill(os.getpid(), signal.SIGKILL)
        if run.update == self.stop < UPDATES:
            run.request_stop("enough")


def train(folder: Path, parallel: str, *, stop: int = UPDATES, kill: int | None = None) -> dict[str, Any]:
    """Go on as far as `stop`; returns the weights, and the report in JSON values without times."""
    values = {"ema_decay": 0.5, "freeze": ("*.position.*",), "adam_epsilon": 1e-2, "gradient_accumulation_steps": 3}
    often = {"eval_strategy": "steps", "eval_steps": 3, "save_strategy": "steps", "save_steps": 2, "log_every": 1}
    settings = config(max_steps=UPDATES, parallel=parallel, resume="auto", metric_for_best="loss", **values, **often)
    model = tiny_model("bert", "sequence_classification", **classes(3))
    report = Trainer(
        model,
        settings,
        batches=Texts(),
        evaluate=Evaluation(Texts().epoch(0)),
        save=lambda place: save_file(dict(model.state_dict()), place / WEIGHTS),
        output_dir=folder,
        callbacks=[JsonLines(folder / "log.jsonl"), At(stop=stop, kill=kill)],
    ).train()
    return {"weights": model.state_dict(), "report": told(report)}


def told(report: TrainingReport) -> dict[str, Any]:
    """What does not depend on time."""
    history = [
        [each.kind, each.update, each.tokens, {k: v for k, v in each.values.items() if k != "tokens_per_second"}]
        for each in report.history
    ]
    return {"best": report.best_update, "stopped": report.stopped, "history": history}


def save(folder: Path, parallel: str, *, stop: int, kill: int | None = None) -> None:
    """Train, and leave what came out, by rank, in the folder."""
    outcome = train(folder, parallel, stop=stop, kill=kill)
    rank = os.environ["RANK"]
    weights: dict[str, Tensor] = outcome["weights"]
    save_file({name: tensor.clone() for name, tensor in weights.items()}, folder / f"{rank}.safetensors")
    (folder / f"{rank}.json").write_text(json.dumps(outcome["report"]), encoding="utf-8")


if __name__ == "__main__":
    save(Path(sys.argv[1]), "ddp", stop=UPDATES, kill=int(sys.argv[2]))
