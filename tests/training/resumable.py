"""A run of a real, tiny model that can be cut off anywhere, and what came out of it. Runs in processes of its own."""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import shutil
import signal
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch._dynamo  # which optimizers import when they are first used: here once for all processes
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from tqdm import tqdm

from plm import folders
from plm.data import Batches, Feature, batches_by_count, pad_batch
from plm.parallel import parallel_chunks
from plm.training import (
    Callback,
    CommaSeparated,
    JsonLines,
    Record,
    Run,
    Trainer,
    TrainingConfig,
    TrainingReport,
    state,
)
from tests.tiny_models import tiny_model

Fault = tuple[str, int]
"""A signal and after how many updates of the process it comes, or "operation" and its number."""

EXAMPLES = range(38)

# Measured by the clock, so never the same twice.
TIMED = ("seconds", "tokens_per_second")

WEIGHTS = "weights.safetensors"


def encode(chunk: Sequence[int], start: int) -> list[Feature]:
    """The features of some examples."""
    return [Feature([1 + (3 * n + place) % 30 for place in range(2 + n % 7)], None, (n // 3) % 2, n) for n in chunk]


def turn(features: Sequence[Feature], epoch: int) -> list[Feature]:
    """Other words in every epoch."""
    return [replace(one, input_ids=[1 + (word + epoch) % 30 for word in one.input_ids]) for one in features]


def batches(*, batch_size: int = 4, seed: int = 3, workers: int = 0) -> Batches[Feature]:
    """workers: processes that encode."""
    features = list(parallel_chunks(encode, EXAMPLES, workers=workers, chunk_size=7))
    lengths = [len(feature.input_ids) for feature in features]
    return Batches(
        features,
        plan=lambda epoch: batches_by_count(lengths, batch_size=batch_size, seed=seed, epoch=epoch),
        collate=partial(pad_batch, pad_token_id=0),
        vary=turn,
    )


def settings(**changes: Any) -> TrainingConfig:
    values: dict[str, Any] = {
        "learning_rate": 1e-3,
        "num_train_epochs": 2,
        "eval_strategy": "steps",
        "eval_steps": 4,
        "save_strategy": "steps",
        "save_steps": 3,
        "log_every": 2,
        "resume": "auto",
    }
    return TrainingConfig(**values | changes)


def evaluate(model: nn.Module) -> dict[str, float]:
    """A score that jumps with the weights, their size, and a number from random states that no part of plm sets."""
    size = sum(float(weight.detach().double().abs().sum()) for weight in model.parameters())
    noise = random.random() + float(np.random.rand()) + float(torch.rand(()))
    return {"score": (1000.0 * size) % 1.0, "size": size, "noise": noise}


def trainer(
    folder: Path, config: TrainingConfig, *callbacks: Callback, model: nn.Module | None = None, workers: int = 0
) -> Trainer:
    dropout = {"hidden_dropout_prob": 0.1, "attention_probs_dropout_prob": 0.1}
    trained = tiny_model("bert", "sequence_classification", **dropout) if model is None else model
    return Trainer(
        trained,
        config,
        batches=batches(workers=workers),
        evaluate=evaluate,
        save=lambda place: save_file(trained.state_dict(), place / WEIGHTS),
        output_dir=folder,
        callbacks=[JsonLines(folder / "log.jsonl"), CommaSeparated(folder / "log.csv"), *callbacks],
    )


@dataclass(frozen=True)
class Outcome:
    """All that two runs can be compared by. weights: when training ended, and in the folders "best" and "last"."""

    weights: Mapping[str, Tensor]
    report: Mapping[str, Any]
    lines: tuple[Mapping[str, Any], ...]

    @classmethod
    def of(cls, report: TrainingReport, model: nn.Module, folder: Path) -> Outcome:
        history = [
            (record.kind, record.update, record.epoch, record.tokens, untimed(record.values))
            for record in report.history
        ]
        told = {
            "history": history,
            "stopped": report.stopped,
            "updates": report.updates,
            "best": (report.best_update, dict(report.best_metrics)),
            "tokens": report.tokens,
        }
        lines = tuple(untimed(json.loads(line)) for line in (folder / "log.jsonl").read_text().splitlines())
        weights = {name: weight.clone() for name, weight in model.state_dict().items()}
        for path in sorted(folder.glob(f"*/{WEIGHTS}")):
            weights |= {f"{path.parent.name}: {name}": weight for name, weight in load_file(path).items()}
        return cls(weights, told, lines)


def untimed(values: Mapping[str, Any]) -> dict[str, Any]:
    """Without what depends on the clock; nan as a word, which is equal to itself."""
    return {name: "nan" if value != value else value for name, value in values.items() if name not in TIMED}


def assert_same(first: Outcome, second: Outcome) -> None:
    """Equal bits in all weights, equal numbers everywhere else."""
    assert first.report == second.report
    assert first.lines == second.lines
    assert first.weights.keys() == second.weights.keys()
    for name, weight in first.weights.items():
        assert torch.equal(weight.view(torch.uint8), second.weights[name].view(torch.uint8)), name


class At(Callback):
    """Does something after an update. of_process: True = it is counted from the start of the process."""

    def __init__(self, update: int, action: Callable[[], None], *, of_process: bool = False) -> None:
        self.update, self.action, self.of_process = update, action, of_process

    def on_step(self, run: Run, record: Record) -> None:
        if record.update - (run.resumed_update or 0) * self.of_process == self.update:
            self.action()


def send(number: int) -> None:
    """Send a signal to this very process."""
    os.kill(os.getpid(), number)


def watch_operations(fatal: int | None) -> None:
    """Let operation number `fatal`, from 1, of those that writing checkpoints consists of, be the end of this process.

    Files need not reach the disk for that: what a killed process has written stays, and the tests are quick.
    """
    done = 0

    def counted(operation: Callable[..., Any]) -> Callable[..., Any]:
        def run(*arguments: Any, **options: Any) -> Any:
            nonlocal done
            done += 1
            if done == fatal:
                send(signal.SIGKILL)
            return operation(*arguments, **options)

        return run

    folders.os = Operations(os, fsync=counted(lambda descriptor: None))  # type: ignore[attr-defined, assignment]
    shutil.rmtree = counted(shutil.rmtree)  # type: ignore[assignment]
    state.save_file = counted(save_file)  # type: ignore[assignment]
    Path.rename = counted(Path.rename)  # type: ignore[method-assign]


class Operations:
    """A module, some of whose functions are others."""

    def __init__(self, module: Any, **changed: Callable[..., Any]) -> None:
        self._module, self._changed = module, changed

    def __getattr__(self, name: str) -> Any:
        return self._changed.get(name) or getattr(self._module, name)


def main(folder: Path, changes: Mapping[str, Any], fault: Fault | None, workers: int) -> None:
    """Train to the end, or to the fault; leaves the outcome in the folder. workers: processes that encode the data."""
    tqdm.set_lock(threading.RLock())  # its own is shared by processes, and one that is killed leaves it behind
    callbacks: list[Callback] = []
    kind, number = fault or ("none", 0)
    watch_operations(number if kind == "operation" else None)
    if kind.startswith("SIG"):
        callbacks.append(At(number, partial(send, signal.Signals[kind]), of_process=True))
    # What a run draws from before its first checkpoint is the same each time; after it, nothing may depend on this.
    seed = os.getpid() if any(folder.glob("checkpoints/update-*")) else 1
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)
    tried = trainer(folder, settings(**changes), *callbacks, workers=workers)
    report = tried.train()
    outcome = Outcome.of(report, tried.model, folder)
    save_file(dict(outcome.weights), folder / WEIGHTS)
    (folder / "outcome.json").write_text(json.dumps([outcome.report, outcome.lines]))
    os._exit(report.exit_code)


_processes = multiprocessing.get_context("forkserver")
_processes.set_forkserver_preload([__name__])


def start(folder: Path, changes: Mapping[str, Any], fault: Fault | None = None, *, workers: int = 0) -> Any:
    """`main` in a new process, which has torch already."""
    process = _processes.Process(target=main, args=(folder, changes, fault, workers))
    process.start()
    return process


def finished(folder: Path, changes: Mapping[str, Any], fault: Fault | None = None, *, workers: int = 0) -> int:
    """The exit code of `main` in a new process; negative = the signal that ended it."""
    process = start(folder, changes, fault, workers=workers)
    process.join()
    code: int = process.exitcode
    process.close()
    return code


def outcome(folder: Path) -> Outcome:
    """What `main` left."""
    report, lines = json.loads((folder / "outcome.json").read_text())
    return Outcome(load_file(folder / WEIGHTS), report, tuple(lines))
