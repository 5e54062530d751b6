"""benchmarks/gpu.py and gpu_checks.py: ready to run on a GPU, so they run here with tiny sizes."""

from __future__ import annotations

import json
import sys
from typing import Any

import pytest
import torch

pytest.importorskip("transformers")

from benchmarks import gpu, gpu_checks
from benchmarks.gpu_bench import BASE, LENGTHS, squad_lengths

CPU = torch.device("cpu")


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_every_measurement_runs_on_the_cpu_with_tiny_sizes(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["gpu", "--device", "cpu", "--tiny", "--repetitions", "1", "--peak", "0.5"])
    gpu.main()
    made = lines(capsys)
    names = {line["benchmark"] for line in made}
    assert names == {
        f"gpu-{name}" for name in ("encode", "train", "nezha-train", "nezha-encode", "latency", "generate")
    }
    assert {line["lengths"] for line in made if line["benchmark"] == "gpu-encode"} == set(LENGTHS)
    for line in made:
        assert line["tokens_per_second"] > 0
        assert line["mfu"] is not None
        assert line["peak_tflops"] == 0.5


def test_every_check_holds_on_the_cpu(capsys: pytest.CaptureFixture[str]) -> None:
    assert gpu_checks.check_all(CPU)
    made = lines(capsys)
    assert all(line["holds"] for line in made if line["benchmark"] == "gpu-check")
    kernels = [line for line in made if line["benchmark"] == "gpu-kernel"]
    assert len(kernels) == 24
    assert not any(line["is_used"] for line in kernels), "they are for GPUs"


def test_a_check_that_fails_says_why_and_lets_the_others_run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(device: torch.device) -> str:
        raise RuntimeError("no NCCL here")

    monkeypatch.setattr(gpu_checks, "one_process", broken)
    monkeypatch.setattr(gpu_checks, "FAMILIES", {})
    assert not gpu_checks.check_all(CPU)
    failed = [line for line in lines(capsys) if line.get("holds") is False]
    assert [line["failure"] for line in failed] == ["RuntimeError: no NCCL here"]


def test_the_work_of_a_token_is_that_of_its_weights_and_its_attention() -> None:
    """BERT-base has 85 million weights in its blocks; at length 512 attention adds 11 %."""
    assert BASE.flops([1]) == pytest.approx(2 * 84.9e6, rel=0.01)
    assert BASE.flops([512]) / 512 == pytest.approx(2 * 84.9e6 * 1.111, rel=0.01)


def test_lengths_fill_a_window_of_384_as_squad_does() -> None:
    drawn = squad_lengths(5000)
    assert sum(drawn) / len(drawn) == pytest.approx(172, abs=4)
    assert max(drawn) == 384
