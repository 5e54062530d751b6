"""Several processes do what one does. They run under torchrun, on the CPU."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from plm.errors import TrainingError
from plm.training.distributed import ALONE, join
from tests.training import parallel_runs
from tests.training.parallel_cases import CASES_IN_PARALLEL
from tests.training.parallel_worker import MODES
from tests.training.tiny import distance

ROOT = Path(__file__).parents[2]


def leave_group() -> None:
    """Undo what a sharded run in this process needs."""
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


def torchrun(module: str, *arguments: str, options: tuple[str, ...] = (), count: int = 2) -> None:
    """Run a module of the tests in several processes."""
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", str(count), *options, "-m", module]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    result = subprocess.run(
        [*command, *arguments], env=environment, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False
    )
    assert result.returncode == 0, result.stderr[-4000:]


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what two processes made of all cases; one launch, as starting takes longer than all of them."""
    folder = tmp_path_factory.mktemp("outcomes")
    for parallel in MODES:
        parallel_runs.train(folder / f"begun by one, {parallel}", parallel, stop=5)
    leave_group()
    torchrun("tests.training.parallel_worker", str(folder))
    return folder


@pytest.mark.parametrize("parallel", MODES)
@pytest.mark.parametrize("name", CASES_IN_PARALLEL)
def test_two_processes_do_what_one_does(outcomes: Path, name: str, parallel: str) -> None:
    if (name, parallel) == ("dropout", "fsdp"):
        pytest.skip("fsdp always cuts batches, and a batch draws other dropout than its parts")
    tensors, records = CASES_IN_PARALLEL[name](ALONE, "ddp")
    for rank in (0, 1):
        found = load_file(outcomes / f"{parallel}.{name}.{rank}.safetensors")
        assert found.keys() == tensors.keys()
        for key, tensor in tensors.items():
            assert torch.allclose(found[key], tensor, rtol=0.0, atol=1e-6), key
        logged = json.loads((outcomes / f"{parallel}.{name}.{rank}.json").read_text(encoding="utf-8"))
        for mine, theirs in zip(records, logged, strict=True):
            assert theirs == pytest.approx(mine, rel=1e-5, abs=1e-6) if "loss" in mine else theirs == mine


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What comes of a run in one process that nothing interrupts."""
    return parallel_runs.train(tmp_path_factory.mktemp("whole"), "ddp")


def assert_same(found: Mapping[str, Any], expected: Mapping[str, Any]) -> None:
    assert found["report"]["best"] == expected["report"]["best"]
    assert found["report"]["stopped"] == "finished"
    for mine, theirs in zip(found["report"]["history"], expected["report"]["history"], strict=True):
        assert mine[:3] == theirs[:3]
        assert mine[3] == pytest.approx(theirs[3], abs=1e-5)
    assert distance(found["weights"], expected["weights"]) < 2e-6


def outcome(folder: Path, rank: int) -> dict[str, Any]:
    report = json.loads((folder / f"{rank}.json").read_text(encoding="utf-8"))
    return {"weights": load_file(folder / f"{rank}.safetensors"), "report": report}


@pytest.mark.parametrize("parallel", MODES)
def test_several_processes_continue_what_one_began(outcomes: Path, expected: dict[str, Any], parallel: str) -> None:
    folder = outcomes / f"begun by one, {parallel}"
    for rank in (0, 1):
        assert_same(outcome(folder, rank), expected)
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [line["update"] for line in lines] == [entry[1] for entry in expected["report"]["history"]]
    assert distance(load_file(folder / "best" / parallel_runs.WEIGHTS), expected["weights"]) < 2e-6


@pytest.mark.parametrize("parallel", MODES)
def test_one_process_continues_what_several_began(outcomes: Path, expected: dict[str, Any], parallel: str) -> None:
    folder = outcomes / f"begun by two, {parallel}"
    assert outcome(folder, 1)["report"]["stopped"] == "enough"  # said by a callback in the main process
    shards = sorted(
        path.name[:11] for path in (folder / "checkpoints" / "update-00000005").glob("shards/*.safetensors")
    )
    assert shards == ([] if parallel == "ddp" else ["shard-00001", "shard-00002"])
    assert_same(parallel_runs.train(folder, parallel), expected)
    leave_group()


def test_when_a_process_dies_all_start_again_from_the_last_whole_checkpoint(
    tmp_path: Path, expected: dict[str, Any]
) -> None:
    torchrun("tests.training.parallel_runs", str(tmp_path), "5", options=("--max-restarts", "1"))
    for rank in (0, 1):
        assert_same(outcome(tmp_path, rank), expected)


def test_alone_everything_is_what_it_is() -> None:
    assert ALONE.is_main
    assert ALONE.sums({"b": 2.0, "a": 1.0}) == {"b": 2.0, "a": 1.0}
    assert ALONE.gather("x") == ["x"]
    assert ALONE.from_main("x") == "x"
    assert ALONE.agree(None) is None
    assert ALONE.agree("enough") == "enough"


def test_without_torchrun_a_process_is_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    processes = join()
    assert (processes.rank, processes.count) == (0, 1)
    assert not torch.distributed.is_initialized()


def test_more_processes_than_gpus_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    for name, value in {"WORLD_SIZE": "3", "LOCAL_WORLD_SIZE": "3", "LOCAL_RANK": "2"}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(TrainingError, match="3 processes on a machine with 2 GPUs: start at most one process for each"):
        join()
