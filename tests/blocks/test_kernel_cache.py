"""A process that computes batches of many lengths keeps few kernels for them."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from plm.blocks.kernel_cache import bound_kernels


def test_few_kernels_are_kept_unless_the_environment_says_how_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LRU_CACHE_CAPACITY", "7")
    monkeypatch.setenv("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "")
    monkeypatch.delenv("ONEDNN_PRIMITIVE_CACHE_CAPACITY")
    bound_kernels()
    assert os.environ["LRU_CACHE_CAPACITY"] == "7"
    assert int(os.environ["ONEDNN_PRIMITIVE_CACHE_CAPACITY"]) < 1024


PROGRAM = """
import os, sys
import plm.blocks.kernel_cache
assert "torch" not in sys.modules
from plm.backends.eager import TorchRunner
from tests.tiny_models import tiny_model
assert "LRU_CACHE_CAPACITY" not in os.environ
TorchRunner(tiny_model("bert"))
print(os.environ["LRU_CACHE_CAPACITY"])
"""


def test_runners_bound_them_and_imports_change_nothing() -> None:
    names = ("LRU_CACHE_CAPACITY", "ONEDNN_PRIMITIVE_CACHE_CAPACITY")
    environment = {name: value for name, value in os.environ.items() if name not in names}
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=False, env=environment)
    assert (done.returncode, done.stdout) == (0, "64\n"), done.stderr
