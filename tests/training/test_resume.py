"""A run that was cut off anywhere ends with the same bits as one that was not; another run is not continued."""

from __future__ import annotations

import errno
import itertools
import logging
import random
import signal
import time
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from plm.errors import CheckpointError, TrainingError
from plm.training import OPTIMIZERS, Batch, Callback, ExponentialAverage, Record, Run, Trainer, state
from plm.training.parts import BestWeights, RandomStates, UpdaterState
from plm.training.resume import MAY_CHANGE, find_state
from plm.training.window import Window
from tests.tiny_models import tiny_model
from tests.training.resumable import (
    At,
    Outcome,
    assert_same,
    batches,
    finished,
    outcome,
    send,
    settings,
    start,
    trainer,
)

WITH_EVERYTHING = {
    "gradient_accumulation_steps": 2,
    "ema_decay": 0.9,
    "num_train_epochs": 3,
    "save_steps": 2,
    "eval_steps": 3,
    "log_every": 4,
}


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waiting for the disk is tested in test_folders."""
    monkeypatch.setattr("plm.folders.os.fsync", lambda descriptor: None)


class Cut(Exception):
    """Stands for whatever ends a process."""


def cut() -> None:
    raise Cut


def seeded(folder: Path) -> None:
    """Set the random states outside the run: to known ones before its first checkpoint, to any after it."""
    number = 17 if any(folder.glob("checkpoints/update-*")) else 1
    random.seed(number)
    np.random.seed(number)
    torch.manual_seed(number)


def whole(folder: Path, changes: Mapping[str, Any]) -> Outcome:
    """The run without interruption."""
    return in_parts(folder, changes)


def in_parts(folder: Path, changes: Mapping[str, Any], *cuts: int) -> Outcome:
    """The run, cut off after these updates, each time continued by a new trainer with a new model."""
    for update in cuts:
        seeded(folder)
        with pytest.raises(Cut):
            trainer(folder, settings(**changes), At(update, cut)).train()
    seeded(folder)
    tried = trainer(folder, settings(**changes))
    return Outcome.of(tried.train(), tried.model, folder)


def test_killed_at_random_updates_and_inside_checkpoints_it_ends_with_the_same_bits(tmp_path: Path) -> None:
    changes = WITH_EVERYTHING | {"num_train_epochs": 6}
    assert finished(tmp_path / "whole", changes) == 0
    draw, kills, folder = random.Random(0), 0, tmp_path / "killed"
    for number in range(1, 9):
        # Each process comes further into its checkpoints; every other one dies between them.
        fault = ("operation", 2 * number) if number % 2 else ("SIGKILL", draw.randrange(1, 4))
        kills += finished(folder, changes, fault) == -signal.SIGKILL
    assert kills == 8
    assert finished(folder, changes) == 0
    assert_same(outcome(tmp_path / "whole"), outcome(folder))


def test_every_moment_of_writing_a_checkpoint_leaves_a_whole_one_to_go_on_from(tmp_path: Path) -> None:
    changes = {"save_steps": 2, "max_steps": 8, "num_train_epochs": 3, "eval_strategy": "no", "eval_steps": None}
    assert finished(tmp_path / "whole", changes) == 0
    operations = range(16, 27)  # the second checkpoint to the third, which deletes the first
    for number in operations:
        folder = tmp_path / str(number)
        assert finished(folder, changes, ("operation", number)) == -signal.SIGKILL
        found = state.Checkpoints(folder / "checkpoints", keep=2).newest()
        assert found is not None
        assert found[0].name in ("update-00000002", "update-00000004", "update-00000006")
    assert finished(folder, changes) == 0
    assert_same(outcome(tmp_path / "whole"), outcome(folder))


def test_killed_from_outside_at_any_time_it_ends_with_the_same_bits(tmp_path: Path) -> None:
    assert finished(tmp_path / "whole", {}) == 0
    draw = random.Random(1)
    for _ in range(5):
        process = start(tmp_path / "killed", {})
        time.sleep(draw.uniform(0.05, 0.5))
        process.kill()
        process.join()
    assert finished(tmp_path / "killed", {}) == 0
    assert_same(outcome(tmp_path / "whole"), outcome(tmp_path / "killed"))


def test_data_may_be_encoded_by_other_processes_when_the_run_goes_on(tmp_path: Path) -> None:
    assert finished(tmp_path / "whole", {}) == 0
    assert finished(tmp_path / "killed", {}, ("SIGKILL", 7), workers=1) == -signal.SIGKILL
    assert finished(tmp_path / "killed", {}) == 0
    assert_same(outcome(tmp_path / "whole"), outcome(tmp_path / "killed"))


@pytest.mark.parametrize(("name", "code"), [("SIGTERM", 143), ("SIGINT", 130)])
def test_a_signal_lets_the_update_finish_saves_and_tells_by_the_exit_code(tmp_path: Path, name: str, code: int) -> None:
    assert finished(tmp_path / "whole", WITH_EVERYTHING) == 0
    assert finished(tmp_path / "cut", WITH_EVERYTHING, (name, 7)) == code
    assert (tmp_path / "cut" / "checkpoints" / "update-00000007").is_dir()
    assert finished(tmp_path / "cut", WITH_EVERYTHING) == 0
    assert_same(outcome(tmp_path / "whole"), outcome(tmp_path / "cut"))


@pytest.mark.parametrize("optimizer", [name for name in OPTIMIZERS.names() if name != "adamw_8bit"])  # needs torchao
def test_every_optimizer_goes_on_where_it_was(tmp_path: Path, optimizer: str) -> None:
    changes = {"optimizer": optimizer}
    assert_same(whole(tmp_path / "whole", changes), in_parts(tmp_path / "parts", changes, 5))


@pytest.mark.parametrize(
    "changes",
    [
        {"gradient_accumulation_steps": 3, "save_steps": 1},
        {"ema_decay": 0.5},
        {"eval_strategy": "epoch", "eval_steps": None, "save_strategy": "epoch", "save_steps": None},
        {"precision": "bf16"},
        {"load_best": False},
        {"lr_scheduler": "cosine", "warmup_steps": 7, "log_every": 7},
        {"max_steps": 13, "freeze": ("backbone.embeddings.*",)},
        {"num_train_epochs": 1.7, "keep_checkpoints": 1},
        {"r_drop": 0.5, "adversarial": "pgd", "adversarial_steps": 2},
    ],
)
def test_every_setting_goes_on_in_the_middle_of_an_epoch(tmp_path: Path, changes: dict[str, Any]) -> None:
    last = whole(tmp_path / "whole", changes)
    assert_same(last, in_parts(tmp_path / "parts", changes, 2, 5, last.report["updates"] - 1))


def test_the_loss_scale_goes_on_growing_and_falling(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in fp16, which needs a GPU; here the scale alone, which overflows in 32 bits."""
    scaler = partial(torch.amp.GradScaler, "cpu", init_scale=2.0**127, growth_interval=3)
    monkeypatch.setattr("plm.training.update.gradient_scaler", lambda *arguments: scaler())
    expected = whole(tmp_path / "whole", {"log_every": 1})
    scales = [values["loss_scale"] for kind, *_, values in expected.report["history"] if kind == "train"]
    assert any(first < second for first, second in itertools.pairwise(scales))
    assert any(first > second for first, second in itertools.pairwise(scales))
    assert_same(expected, in_parts(tmp_path / "parts", {"log_every": 1}, 4, 7, 11))


def test_every_part_of_a_checkpoint_is_needed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So these tests would notice if one of them were lost."""
    # Weights only grow here, so the smallest are the first, and the best weights of the end are from the checkpoint.
    changes = WITH_EVERYTHING | {"metric_for_best": "size", "greater_is_better": False}
    expected = whole(tmp_path / "whole", changes)
    assert expected.report["best"][0] == 3
    assert_same(expected, in_parts(tmp_path / "parts", changes, 11))
    holders = {
        "model": torch.nn.Module,
        "updater": UpdaterState,
        "best": BestWeights,
        "run": Run,
        "window": Window,
        "average": ExponentialAverage,
        "random": RandomStates,
    }
    for name, holder in holders.items():
        with monkeypatch.context() as patch:
            patch.setattr(holder, "load_state_dict", lambda part, state: None)
            found = in_parts(tmp_path / name, changes, 11)
        with pytest.raises(AssertionError):
            assert_same(expected, found)


def test_early_stopping_goes_on_counting(tmp_path: Path) -> None:
    changes = {"early_stopping_patience": 3, "eval_steps": 1, "save_steps": 1, "learning_rate": 1e-12, "max_steps": 20}
    expected = whole(tmp_path / "whole", changes)
    assert expected.report["stopped"] == "early stopping"
    assert_same(expected, in_parts(tmp_path / "parts", changes, expected.report["updates"] - 1))
    again = trainer(tmp_path / "parts", settings(**changes))
    assert_same(expected, Outcome.of(again.train(), again.model, tmp_path / "parts"))


def test_a_finished_run_is_not_trained_again_and_can_be_made_longer(tmp_path: Path) -> None:
    expected = whole(tmp_path, {"lr_scheduler": "constant", "num_train_epochs": 1})
    again = trainer(tmp_path, settings(lr_scheduler="constant", num_train_epochs=1), At(11, cut))
    assert_same(expected, Outcome.of(again.train(), again.model, tmp_path))
    longer = trainer(tmp_path, settings(lr_scheduler="constant", num_train_epochs=2))
    assert longer.train().updates == 20


def test_an_evaluation_that_a_signal_cut_short_is_made_up_for(tmp_path: Path) -> None:
    expected = whole(tmp_path / "whole", {})
    stopped = trainer(tmp_path / "cut", settings())
    evaluate, calls = stopped.evaluate, []

    def evaluate_slowly(model: torch.nn.Module) -> Mapping[str, float]:
        calls.append(len(calls))
        if len(calls) == 2:
            send(signal.SIGTERM)
            pytest.fail("the signal did not cut the evaluation short")
        assert evaluate is not None
        return evaluate(model)

    stopped.evaluate = evaluate_slowly
    seeded(tmp_path / "cut")
    report = stopped.train()
    assert (report.stopped, report.updates, report.exit_code) == ("terminated", 8, 143)
    assert_same(expected, in_parts(tmp_path / "cut", {}))


def test_what_a_stop_alone_brought_is_no_part_of_the_continued_run(tmp_path: Path) -> None:
    class Stop(Callback):
        def on_step(self, run: Run, record: Record) -> None:
            if record.update == 7:
                run.request_stop("enough for today")

    expected = whole(tmp_path / "whole", {})
    seeded(tmp_path / "cut")
    assert trainer(tmp_path / "cut", settings(), Stop()).train().stopped == "enough for today"
    assert_same(expected, in_parts(tmp_path / "cut", {}))


def test_callbacks_go_on_from_what_they_remembered(tmp_path: Path) -> None:
    class Sum(Callback):
        def __init__(self) -> None:
            self.total = torch.zeros(())

        def on_step(self, run: Run, record: Record) -> None:
            self.total += record.update

        def state_dict(self) -> dict[str, Any]:
            return {"total": self.total}

        def load_state_dict(self, state_dict: dict[str, Any]) -> None:
            self.total = state_dict["total"]

    first, other, second = Sum(), Sum(), Sum()
    with pytest.raises(Cut):
        trainer(tmp_path, settings(), first, other, At(8, cut)).train()
    trainer(tmp_path, settings(), second).train()
    assert float(first.total) == sum(range(9))
    assert float(second.total) == sum(range(21))


def test_steps_and_batches_with_a_state_have_it_saved(tmp_path: Path) -> None:
    class Counting:
        """Batches that know how many they gave out."""

        def __init__(self) -> None:
            self.batches, self.given, self.loaded = batches(), 0, -1

        def __len__(self) -> int:
            return len(self.batches)

        def epoch(self, number: int) -> Iterator[Batch]:
            for batch in self.batches.epoch(number):
                self.given += 1
                yield batch

        def state_dict(self) -> dict[str, int]:
            return {"given": self.given}

        def load_state_dict(self, state_dict: Mapping[str, int]) -> None:
            self.loaded = state_dict["given"]

    first, second = trainer(tmp_path, settings(), At(7, cut)), trainer(tmp_path, settings())
    first.batches, second.batches = Counting(), Counting()
    with pytest.raises(Cut):
        first.train()
    second.train()
    assert second.batches.loaded == 6


def test_another_config_is_refused_field_by_field(tmp_path: Path) -> None:
    trainer(tmp_path, settings(max_steps=3)).train()
    other = settings(max_steps=3, learning_rate=2e-3, optimizer="lamb")
    with pytest.raises(TrainingError) as raised:
        trainer(tmp_path, other).train()
    lines = str(raised.value).splitlines()
    assert lines[1:3] == ["  learning_rate: 0.001 -> 0.002", "  optimizer: adamw -> lamb"]
    assert "What may change: num_train_epochs, max_steps" in lines[3]


def test_what_may_change_may_change(tmp_path: Path) -> None:
    trainer(tmp_path, settings(max_steps=3)).train()
    changes: dict[str, Any] = {
        "num_train_epochs": 5,
        "max_steps": 6,
        "eval_strategy": "epoch",
        "eval_steps": None,
        "early_stopping_patience": 9,
        "keep": (),
        "save_strategy": "epoch",
        "save_steps": None,
        "keep_checkpoints": 1,
        "resume": str(tmp_path / "checkpoints" / "update-00000003"),
        "batch_workers": 1,
        "log_every": 1,
    }
    assert changes.keys() == MAY_CHANGE.keys()
    assert trainer(tmp_path, settings(**changes)).train().updates == 6


def test_other_data_and_another_model_are_refused(tmp_path: Path) -> None:
    trainer(tmp_path, settings(max_steps=3)).train()
    tried = trainer(tmp_path, settings(max_steps=3))
    tried.batches = batches(batch_size=8)
    with pytest.raises(TrainingError, match=r"another run; then -> now:\n  data: batches: 10 -> 5\n  data: order: "):
        tried.train()
    wider = tiny_model("bert", "sequence_classification", intermediate_size=24)
    with pytest.raises(TrainingError, match=r"model: .*weight: float32 \(20, 12\) -> float32 \(24, 12\)"):
        trainer(tmp_path, settings(max_steps=3), model=wider).train()


def test_a_torn_or_altered_checkpoint_is_passed_over_with_a_line(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    expected = whole(tmp_path / "whole", {})
    for number, name in enumerate((state.TENSORS, state.VALUES, state.MANIFEST)):
        folder = tmp_path / name
        seeded(folder)
        with pytest.raises(Cut):
            trainer(folder, settings(), At(8, cut)).train()
        damaged = folder / "checkpoints" / "update-00000006" / name
        content = bytearray(damaged.read_bytes())
        content[len(content) // 2] ^= 1
        damaged.write_bytes(content if number % 2 else content[: len(content) // 2])
        caplog.clear()
        assert_same(expected, in_parts(folder, {}))
        [line] = [entry.getMessage() for entry in caplog.records if entry.levelno == logging.WARNING]
        assert "update-00000006" in line
        assert "looking for an older checkpoint" in line


def test_a_run_without_a_whole_checkpoint_does_not_start_anew_in_silence(tmp_path: Path) -> None:
    trainer(tmp_path, settings(max_steps=3)).train()
    (tmp_path / "checkpoints" / "update-00000003" / state.VALUES).unlink()
    with pytest.raises(CheckpointError, match="none of 1 checkpoints is whole; delete the folder to start anew"):
        trainer(tmp_path, settings(max_steps=3)).train()


def test_a_full_disk_stops_the_run_and_leaves_the_older_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = whole(tmp_path / "whole", {})
    write = state.save_file

    def write_until_full(tensors: Any, path: Path) -> None:
        write(tensors, path)
        if "00000006" in str(path):
            path.write_bytes(path.read_bytes()[:1000])
            raise OSError(errno.ENOSPC, "No space left on device")

    seeded(tmp_path / "full")
    with monkeypatch.context() as patch:
        patch.setattr(state, "save_file", write_until_full)
        with pytest.raises(
            TrainingError, match=r"update-00000006: cannot be written: .*No space left.*00000003 is whole"
        ):
            trainer(tmp_path / "full", settings()).train()
    assert [path.name for path in (tmp_path / "full" / "checkpoints").iterdir()] == ["update-00000003"]
    assert_same(expected, in_parts(tmp_path / "full", {}))


def test_an_earlier_run_is_neither_mixed_up_with_nor_overwritten(tmp_path: Path) -> None:
    trainer(tmp_path, settings(max_steps=3)).train()
    with pytest.raises(TrainingError, match=r'earlier run; continue it with resume="auto", delete the folder'):
        trainer(tmp_path, settings(max_steps=3, resume="never")).train()
    with pytest.raises(TrainingError, match="holds the checkpoints of an earlier run"):
        trainer(tmp_path, settings(max_steps=3)).train(resume="never")


def test_an_older_checkpoint_can_be_named_and_what_came_after_it_makes_room(tmp_path: Path) -> None:
    expected = whole(tmp_path, {"keep_checkpoints": 9})
    older = tmp_path / "checkpoints" / "update-00000006"
    seeded(tmp_path)
    tried = trainer(tmp_path, settings(keep_checkpoints=9), At(10, cut))
    with pytest.raises(Cut):
        tried.train(resume=older)
    names = sorted(path.name for path in older.parent.iterdir())
    assert names == ["update-00000003", "update-00000006", "update-00000009"]
    assert_same(expected, in_parts(tmp_path, {"keep_checkpoints": 9}))
    with pytest.raises(TrainingError, match='expected "auto", "never" or the folder of a checkpoint'):
        trainer(tmp_path, settings()).train(resume=tmp_path / "checkpoints" / "update-99999999")


def test_places_to_save_to_are_asked_for(tmp_path: Path) -> None:
    tried = trainer(tmp_path, settings())
    with pytest.raises(TrainingError, match='save_strategy is "steps", but there is no output_dir'):
        Trainer(tried.model, settings(), batches=tried.batches, evaluate=tried.evaluate)
    bare = settings(save_strategy="no", save_steps=None)
    with pytest.raises(TrainingError, match="no output_dir to look into"):
        Trainer(tried.model, bare, batches=tried.batches, evaluate=tried.evaluate, callbacks=()).train()


def test_what_is_no_folder_of_a_checkpoint_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match='resume: expected "auto", "never" or the folder of a checkpoint, got'):
        find_state(str(tmp_path / "yes"), None, is_saving=False)
