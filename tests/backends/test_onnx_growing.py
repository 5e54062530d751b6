"""The graph with a cache goes on with texts as eager PyTorch does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from plm.backends import BACKENDS
from plm.errors import ConfigError, ShapeError
from plm.generation.config import GenerationConfig
from plm.generation.generating import generate
from plm.heads.engine import ModelEngine
from plm.heads.model import Model
from tests.tiny_folders import tiny_folder
from tests.tiny_models import FAMILY_NAMES, mask_of, random_ids, tiny_model
from tests.tolerances import assert_close

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from plm.backends.exporting import export
from plm.backends.onnx.exporting import BuiltSessions
from plm.backends.onnx.growing import OnnxEngine


def causal(family: str, head: str = "causal_lm") -> Model:
    return tiny_model(family, head, **({} if family == "openai-gpt" else {"attention_pattern": "causal"})).eval()


def engine(model: Model, dtype: str = "float32") -> OnnxEngine:
    return OnnxEngine(model.config, BuiltSessions(model, dtype=dtype))


def grown(engine: Any, ids: Tensor, live: Tensor | None) -> list[Tensor]:
    """Logits after a prompt, after one token, after two at once, and, of rows chosen anew, after the last one."""
    reading, chosen = engine.begin(16), torch.tensor([2, 0, 0])
    logits = [
        reading.read(ids[:, start:stop], None if live is None else live[:, :stop])
        for start, stop in ((0, 5), (5, 6), (6, 8))
    ]
    reading.select(chosen)
    return [*logits, reading.read(ids[:, 8:], None if live is None else live[chosen])]


@pytest.mark.parametrize("is_filled", [False, True])
@pytest.mark.parametrize("family", FAMILY_NAMES)
def test_tokens_read_one_after_the_other_score_as_in_eager(family: str, is_filled: bool) -> None:
    model, ids = causal(family), random_ids(3, 9)
    live = mask_of(9, (0, 9), (2, 9), (4, 9)).bool() if is_filled else None
    for ours, theirs in zip(grown(engine(model), ids, live), grown(ModelEngine(model), ids, live), strict=True):
        assert ours.dtype == torch.float32
        assert_close(ours, theirs, factor=2)


@pytest.mark.parametrize("family", ["nezha", "openai-gpt"])
def test_eight_bits_stay_near_when_texts_grow(family: str) -> None:
    model, ids = causal(family), random_ids(3, 9)
    for ours, theirs in zip(grown(engine(model, "int8"), ids, None), grown(ModelEngine(model), ids, None), strict=True):
        assert torch.nn.functional.cosine_similarity(ours.flatten(), theirs.flatten(), dim=0) > 0.99


@pytest.mark.parametrize("family", ["bert", "openai-gpt"])
def test_token_types_are_read_with_their_tokens(family: str) -> None:
    model, ids = causal(family), random_ids(2, 6)
    types = random_ids(2, 6, seed=1) % 2
    ours, theirs = (each.begin(6).read(ids, None, types) for each in (engine(model), ModelEngine(model)))
    assert_close(ours, theirs, factor=2)


def test_a_reading_without_room_keeps_nothing_and_one_with_room_keeps_no_more() -> None:
    given, ids = engine(causal("openai-gpt")), random_ids(2, 6)
    once = given.begin(0)
    assert torch.equal(once.read(ids), once.read(ids))
    reading = given.begin(6)
    before = reading.read(ids[:, :5])
    with pytest.raises(ShapeError, match="the cache holds 6 tokens, 7 are needed"):
        reading.read(ids[:, :2])
    assert before.shape == (2, 31)
    assert_close(reading.read(ids[:, 5:]), once.read(ids))


@pytest.mark.parametrize("family", ["nezha", "openai-gpt"])
def test_generation_gives_the_same_tokens(family: str) -> None:
    model = causal(family)
    ids, mask = random_ids(2, 4), mask_of(4, (0, 4), (2, 4))
    for config in (GenerationConfig(max_new_tokens=8), GenerationConfig(max_new_tokens=8, num_beams=3)):
        ours, theirs = (generate(each, ids, config, attention_mask=mask) for each in (engine(model), model))
        assert torch.equal(ours.ids, theirs.ids)


def test_an_exported_folder_goes_on_with_texts(tmp_path: Path) -> None:
    source = tiny_folder(tmp_path / "source", "openai-gpt", "causal_lm")
    export(source, tmp_path / "exported", to="onnx")
    ids = random_ids(1, 5)
    ours, theirs = (BACKENDS.get("onnx").causal(folder, "float32") for folder in (tmp_path / "exported", source))
    assert torch.equal(ours.begin(8).read(ids), theirs.begin(8).read(ids))


def test_models_that_see_what_comes_after_or_score_no_words_are_refused(tmp_path: Path) -> None:
    source = tiny_folder(tmp_path, "bert", "causal_lm")
    with pytest.raises(ConfigError, match="sees the words after a word"):
        BACKENDS.get("onnx").causal(source, "float32")
    with pytest.raises(ConfigError, match="a causal model whose head scores words; heads: matching"):
        engine(causal("bert", "matching"))
