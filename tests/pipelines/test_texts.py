"""Pipelines answer in the order of the texts, and batching changes no answer."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import plm
from plm.backends.eager import TorchRunner
from plm.backends.runner import Arrays
from plm.errors import CheckpointError, ConfigError, DataError, UnknownNameError
from plm.models.config import ModelConfig
from plm.pipelines import TASKS, Pipeline, batches_by_length, label_and_score, pipeline
from tests.tiny_folders import WORDS, tiny_folder
from tests.tiny_models import FAMILY_NAMES, tiny_config
from tests.tolerances import assert_close

TEXTS = ["the good film", "bad", "the old book was not very good", "night", "red sun red rain red day"]
TEXT_TASKS = ("text-classification", "feature-extraction", "sentence-embedding")
PAIRS = list(zip(TEXTS, reversed(TEXTS), strict=True))


class PaddedRunner:
    """A runner that wants rectangles."""

    takes_packed = False

    def __init__(self, inner: TorchRunner) -> None:
        self.inner = inner
        self.config: ModelConfig = inner.config
        self.shapes: list[tuple[int, ...]] = []

    def run(self, batch: Mapping[str, np.ndarray[Any, Any]]) -> Arrays:
        """See Runner.run."""
        assert "lengths" not in batch
        assert {array.dtype for array in batch.values()} == {np.dtype(np.int64)}
        self.shapes.append(batch["input_ids"].shape)
        return self.inner.run(batch)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A classifier of each family, with its tokenizer."""
    root = tmp_path_factory.mktemp("pipelines")
    return {
        family: tiny_folder(root / family, family, "sequence_classification", max_position_embeddings=40)
        for family in FAMILY_NAMES
    }


def made(folder: Path, task: str, **options: Any) -> Pipeline:
    return pipeline(task, folder, **options)


def assert_same_answers(first: list[Any], second: list[Any]) -> None:
    assert len(first) == len(second)
    for one, other in zip(first, second, strict=True):
        if isinstance(one, dict):
            assert one["label"] == other["label"]
            assert_close(one["score"], other["score"])
        else:
            assert_close(one, other)


@pytest.mark.parametrize("task", TEXT_TASKS)
@pytest.mark.parametrize("family", FAMILY_NAMES)
@pytest.mark.parametrize("texts", [TEXTS, PAIRS], ids=["texts", "pairs"])
def test_answers_equal_those_of_texts_alone(task: str, family: str, texts: list[Any], folders: dict[str, Path]) -> None:
    answer = made(folders[family], task)
    together = answer(texts)
    assert_same_answers(together, [answer([text])[0] for text in texts])
    assert_same_answers(together, [answer(text)[0] for text in texts])
    assert_same_answers(together[::-1], answer(texts[::-1]))
    assert_same_answers(together, made(folders[family], task, tokens_per_batch=7)(texts))


@pytest.mark.parametrize("task", TEXT_TASKS)
@pytest.mark.parametrize("family", FAMILY_NAMES)
@pytest.mark.parametrize("texts", [TEXTS, PAIRS], ids=["texts", "pairs"])
def test_packed_and_padded_runners_give_the_same_answers(
    task: str, family: str, texts: list[Any], folders: dict[str, Path]
) -> None:
    packed = made(folders[family], task)
    assert isinstance(packed.runner, TorchRunner)
    runner = PaddedRunner(packed.runner)
    padded = Pipeline(runner, packed.tokenizer, TASKS.get(task))
    assert_same_answers(packed(texts), padded(texts))
    assert runner.shapes


def test_outputs_are_those_of_the_model(folders: dict[str, Path]) -> None:
    model = plm.AutoModelForSequenceClassification.from_pretrained(folders["bert"])
    tokenizer = plm.AutoTokenizer.from_pretrained(folders["bert"])
    batch = tokenizer(TEXTS, padding=True, return_tensors="pt")
    expected = model(**batch).logits.softmax(-1).max(-1)
    answers = pipeline("text-classification", model, tokenizer=tokenizer)(TEXTS)
    assert [answer["label"] for answer in answers] == [f"LABEL_{index}" for index in expected.indices.tolist()]
    assert_close([answer["score"] for answer in answers], expected.values)
    states = pipeline("feature-extraction", model, tokenizer=tokenizer)(TEXTS[0])[0]
    assert states.shape == (len(tokenizer(TEXTS[0])["input_ids"]), 12)
    assert_close(pipeline("sentence-embedding", folders["bert"])(TEXTS[0])[0], states.mean(0))


def test_a_loaded_model_answers_with_the_head_of_the_task(folders: dict[str, Path]) -> None:
    tokenizer = plm.AutoTokenizer.from_pretrained(folders["bert"])
    backbone = plm.AutoModel.from_pretrained(folders["bert"])
    with pytest.raises(ConfigError, match="needs the head 'sequence_classification'; this model has: none"):
        pipeline("text-classification", backbone, tokenizer=tokenizer)
    with pytest.raises(DataError, match="a loaded model needs its tokenizer"):
        pipeline("feature-extraction", backbone)
    classifier = plm.AutoModelForSequenceClassification.from_pretrained(folders["bert"])
    features = pipeline("feature-extraction", classifier, tokenizer=tokenizer)(TEXTS)
    assert_same_answers(features, pipeline("feature-extraction", backbone, tokenizer=tokenizer)(TEXTS))


def test_answers_of_a_head_that_was_never_trained_are_refused(tmp_path: Path) -> None:
    folder = tiny_folder(tmp_path, "bert", "masked_lm")
    with pytest.raises(CheckpointError, match="its answers would be random"):
        pipeline("text-classification", folder)


@pytest.mark.parametrize("family", FAMILY_NAMES)
def test_longer_texts_are_cut(family: str, folders: dict[str, Path]) -> None:
    long = " ".join(WORDS * 20)
    features = made(folders[family], "feature-extraction", max_length=6)
    assert len(features([long, "good"])[0]) == 6
    assert [len(rows) for rows in features([(long, long)])] == [6]
    whole = made(folders[family], "feature-extraction")([long])[0]
    assert (len(whole) > 40) if family == "nezha" else (len(whole) == 40)  # relative positions set no limit


@pytest.mark.parametrize("length", [0, -1, 41])
def test_a_length_that_the_model_cannot_take_is_refused(length: int, folders: dict[str, Path]) -> None:
    with pytest.raises(ConfigError, match=f"max_length: expected a positive number of at most 40, .* got {length}"):
        made(folders["bert"], "feature-extraction", max_length=length)
    if length > 0:
        made(folders["nezha"], "feature-extraction", max_length=length)


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (["good", 3], r"text 1: expected a string or a pair of strings, got 3"),
        (["good", None], r"text 1: expected a string or a pair"),
        ([("a", "b", "c")], r"text 0: expected a string or a pair"),
        ([("a", 1)], r"text 0: expected a string or a pair"),
        ([["a", "b"]], r"text 0: expected a string or a pair"),
        (["good", ("a", "b")], r"text 1: is a pair among single texts; all or none must be pairs"),
        ([("a", "b"), "good"], r"text 1: is a single text among pairs"),
    ],
)
def test_an_entry_that_is_no_text_is_named(texts: list[Any], message: str, folders: dict[str, Path]) -> None:
    with pytest.raises(DataError, match=message):
        made(folders["bert"], "sentence-embedding")(texts)


def test_no_texts_give_no_answers(folders: dict[str, Path]) -> None:
    assert made(folders["bert"], "text-classification")([]) == []


def test_an_empty_text_has_special_tokens_or_is_named(folders: dict[str, Path]) -> None:
    assert made(folders["bert"], "feature-extraction")([""])[0].shape == (2, 12)
    with pytest.raises(DataError, match=r"text 1: has no tokens \(''\)"):
        made(folders["openai-gpt"], "feature-extraction")(["good", ""])


def test_unknown_tasks_and_backends_are_named(folders: dict[str, Path]) -> None:
    with pytest.raises(UnknownNameError, match=r"did you mean 'text-classification'\?"):
        pipeline("text-clasification", folders["bert"])
    with pytest.raises(UnknownNameError, match="unknown backend 'onnyx'"):
        pipeline("text-classification", folders["bert"], backend="onnyx")
    with pytest.raises(ConfigError, match="dtype: 'int4' is not one of"):
        pipeline("text-classification", folders["bert"], dtype="int4")


@given(lengths=st.lists(st.integers(1, 50), max_size=40), tokens=st.integers(1, 100))
@settings(deadline=None, max_examples=60)
def test_batches_hold_every_text_once_and_few_tokens(lengths: list[int], tokens: int) -> None:
    batches = list(batches_by_length(lengths, tokens))
    assert sorted(place for batch in batches for place in batch) == list(range(len(lengths)))
    for batch in batches:
        assert len(batch) == 1 or sum(lengths[place] for place in batch) <= tokens
        assert [lengths[place] for place in batch] == sorted((lengths[place] for place in batch), reverse=True)


@pytest.mark.parametrize(
    ("logits", "changes", "expected"),
    [
        ([0.0, 2.0], {}, {"label": "LABEL_1", "score": 1 / (1 + np.exp(-2.0))}),
        ([1000.0, -1000.0, 0.0], {"id2label": {0: "a", 1: "b", 2: "c"}}, {"label": "a", "score": 1.0}),
        ([3.5], {"id2label": {0: "stars"}}, {"label": "stars", "score": 3.5}),
        ([3.5, 0.1], {"problem_type": "regression"}, {"label": "LABEL_0", "score": 3.5}),
    ],
)
def test_one_label_and_its_score(logits: list[float], changes: dict[str, Any], expected: dict[str, Any]) -> None:
    answer = label_and_score(np.array(logits, dtype=np.float32), tiny_config("bert", **changes))
    assert answer["label"] == expected["label"]
    assert answer["score"] == pytest.approx(expected["score"])


def test_several_labels_are_those_above_one_half() -> None:
    config = tiny_config("bert", id2label=dict(enumerate("abcd")), problem_type="multi_label_classification")
    answer = label_and_score(np.array([1.0, -2000.0, 2000.0, -0.1], dtype=np.float32), config)
    assert list(answer["labels"]) == ["c", "a"]
    assert answer["labels"]["a"] == pytest.approx(1 / (1 + np.exp(-1.0)))
