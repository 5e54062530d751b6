"""The compiled backend: few programs for all sizes, the same numbers, and what was compiled is kept."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from torch._dynamo.utils import counters

from plm.backends import compiled
from plm.backends.compiled import CompiledRunner, cache_folder, has_compiler, load_compiled, require_compiler
from plm.backends.eager import load_torch
from plm.backends.runner import Arrays
from plm.errors import BackendUnavailable
from tests.backends.batches import live
from tests.tiny_folders import tiny_folder
from tests.tolerances import assert_close

pytestmark = pytest.mark.filterwarnings("ignore")  # the compiler has its own

needs_compiler = pytest.mark.skipif(not has_compiler(), reason="no C++ compiler here")

HEAD = "token_classification"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of one layer, which takes long texts."""
    folder = tmp_path_factory.mktemp("compiled") / "model"
    return tiny_folder(folder, "bert", HEAD, num_hidden_layers=1, max_position_embeddings=512)


@pytest.fixture(scope="module")
def runner(folder: Path) -> Iterator[CompiledRunner]:
    """Warm, with a cache folder of its own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        patch.delenv("TORCHINDUCTOR_CACHE_DIR", raising=False)
        counters.clear()
        yield load_compiled(folder, HEAD, "float32")


def batch(rows: int, length: int) -> Arrays:
    """Texts of all lengths up to `length`."""
    random = np.random.default_rng(rows + length)
    mask = np.arange(length) < random.integers(1, length + 1, (rows, 1))
    return {"input_ids": random.integers(1, 20, (rows, length)), "attention_mask": mask.astype(np.int64)}


@needs_compiler
def test_all_batches_and_lengths_need_few_programs_and_give_the_numbers_of_eager(
    runner: CompiledRunner, folder: Path
) -> None:
    eager = load_torch(folder, HEAD, "float32")
    sizes = [(1, 2), (1, 7), (1, 512), (2, 2), (64, 3), (8, 8), (12, 12), (33, 100), (3, 512), (64, 64)]
    for rows, length in [*sizes, (2, 1), (64, 1), (1, 1), (5, 9)]:
        texts = batch(rows, length)
        answers, expected = (live(one.run(texts), texts)["logits"] for one in (runner, eager))
        assert_close(answers, expected, factor=2)
        assert counters["stats"]["unique_graphs"] <= (2 if (rows, length) in sizes else 4)


@needs_compiler
def test_texts_without_types_are_of_the_first_type(runner: CompiledRunner) -> None:
    texts = batch(3, 9)
    answers = runner.run({**texts, "token_type_ids": np.zeros_like(texts["input_ids"])})
    assert np.array_equal(answers["logits"], runner.run(texts)["logits"])


@needs_compiler
def test_programs_are_kept_in_the_cache_folder(runner: CompiledRunner, folder: Path) -> None:
    assert cache_folder() == folder / "cache" / "plm" / "compiled"
    assert any(cache_folder().rglob("*.so"))


def test_the_cache_folder_is_that_of_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    assert cache_folder() == Path.home() / ".cache" / "plm" / "compiled"


def test_without_a_compiler_another_backend_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled, "has_compiler", lambda: False)
    with pytest.raises(BackendUnavailable, match='take the backend "torch"'):
        require_compiler()
