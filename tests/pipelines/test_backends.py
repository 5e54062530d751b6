"""Pipelines by every backend: the answers of PyTorch, and what a backend cannot do is said when it is opened."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import plm
from plm.backends import BACKENDS
from plm.backends.exporting import export
from plm.errors import BackendUnavailable, CheckpointError, ConfigError
from plm.generation import GenerationConfig
from plm.pipelines import pipeline
from plm.pipelines.generation import open_generator, open_poet
from plm.poetry.request import PoemRequest
from plm.tasks import Tagging
from plm.tasks.saving import SavedTask, save_tasks
from tests.tiny_folders import tiny_folder
from tests.tiny_poets import tiny_poet_folder
from tests.tolerances import assert_close

TAGS = ("O", "B-a", "I-a")
TEXTS = ["the good film was very slow", "bad", "not the old red book"]
QUESTIONS = [("good day", "the good day was not old"), ("red", "the red sun")]
ASKED: dict[str, tuple[str, str | None, Any]] = {
    "text-classification": ("bert", "sequence_classification", TEXTS),
    "feature-extraction": ("nezha", None, TEXTS),
    "sentence-embedding": ("openai-gpt", None, ["good day", "bad"]),
    "token-classification": ("tinybert", "crf_token_classification", [text.split() for text in TEXTS]),
    "question-answering": ("nezha", "question_answering", QUESTIONS),
}
EXACT = ("onnx", "numpy")


def folder_for(task: str, folder: Path) -> Path:
    family, head, _ = ASKED[task]
    changes = {"id2label": dict(enumerate(TAGS))} if task == "token-classification" else {}
    tiny_folder(folder, family, *([] if head is None else [head]), **changes)
    if task == "token-classification":
        tagging = Tagging(labels=TAGS, scheme="bio", decoder="crf", joiner=" ")
        save_tasks(folder, {"tags": SavedTask(tagging, 24)})
    return folder


def opened(task: str, folder: Path, backend: str, **options: Any) -> Any:
    if backend == "onnx":
        pytest.importorskip("onnxruntime")
        pytest.importorskip("onnx")
    return pipeline(task, folder, backend=backend, **options)


def assert_alike(actual: Any, expected: Any) -> None:
    """The same structure and words, and numbers that are close."""
    assert type(actual) is type(expected)
    if isinstance(expected, dict):
        assert actual.keys() == expected.keys()
        actual, expected = list(actual.values()), list(expected.values())
    if isinstance(expected, (list, tuple)):
        assert len(actual) == len(expected)
        for one, other in zip(actual, expected, strict=True):
            assert_alike(one, other)
    elif isinstance(expected, (float, np.ndarray)):
        assert_close(actual, expected, factor=4.0)
    else:
        assert actual == expected


@pytest.mark.parametrize("backend", EXACT)
@pytest.mark.parametrize("task", ASKED)
def test_exact_backends_answer_like_torch(task: str, backend: str, tmp_path: Path) -> None:
    folder = folder_for(task, tmp_path)
    assert_alike(opened(task, folder, backend)(ASKED[task][2]), opened(task, folder, "torch")(ASKED[task][2]))


@pytest.mark.parametrize("task", ASKED)
def test_eight_bits_answer_about_everything_and_an_exported_folder_alike(task: str, tmp_path: Path) -> None:
    folder = folder_for(task, tmp_path / "folder")
    export(folder, tmp_path / "small", to="int8", head=ASKED[task][1] or "none", verify=False)
    rounded = opened(task, folder, "torch", dtype="int8")(ASKED[task][2])
    assert_alike(opened(task, tmp_path / "small", "int8")(ASKED[task][2]), rounded)
    with pytest.raises(CheckpointError, match="exported for the backend 'int8'"):
        opened(task, tmp_path / "small", "torch")


@pytest.mark.parametrize("family", ["openai-gpt", "nezha"])
def test_texts_are_written_alike_by_all_backends_that_write(family: str, tmp_path: Path) -> None:
    changes = {} if family == "openai-gpt" else {"attention_pattern": "causal"}
    folder = tiny_folder(tmp_path, family, "causal_lm", **changes)
    prompts, config = ["the good", "not a"], GenerationConfig(max_new_tokens=6, num_beams=2)
    expected = pipeline("text-generation", folder)(prompts, config)
    answers = opened("text-generation", folder, "onnx")(prompts, config)
    assert_alike([one["text"] for [one] in answers], [one["text"] for [one] in expected])
    small = opened("text-generation", folder, "int8")(prompts, config)
    assert small == pipeline("text-generation", folder, dtype="int8")(prompts, config)


def test_poems_are_those_of_torch_where_a_backend_is_exact(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnx")
    folder, wish = tiny_poet_folder(tmp_path), PoemRequest(form="五绝", n=2, candidates=3)
    expected = open_poet(folder).write(wish)
    assert [poem.lines for poem in open_poet(folder, backend="onnx").write(wish)] == [poem.lines for poem in expected]
    assert all(poem.report.form_ok for poem in open_poet(folder, backend="int8").write(wish))
    with pytest.raises(BackendUnavailable, match="does not write texts"):
        open_poet(folder, backend="numpy")
    with pytest.raises(ConfigError, match="shows no model of PyTorch"):
        _ = open_poet(folder, backend="onnx").model


@pytest.mark.parametrize("backend", [name for name, row in BACKENDS.items() if row.causal is None])
def test_a_backend_that_writes_nothing_says_so_when_it_is_opened(backend: str, tmp_path: Path) -> None:
    folder = tiny_folder(tmp_path, "openai-gpt", "causal_lm")
    with pytest.raises(BackendUnavailable, match=f"backend '{backend}' does not write texts"):
        pipeline("text-generation", folder, backend=backend)
    with pytest.raises(BackendUnavailable, match="does not write texts"):
        open_generator(folder, backend=backend)


@pytest.mark.parametrize("task", ["text-classification", "text-generation"])
def test_loaded_models_are_of_torch_and_of_no_other_backend(task: str, tmp_path: Path) -> None:
    folder = tiny_folder(tmp_path, "openai-gpt", "sequence_classification")
    model = plm.AutoModelForSequenceClassification.from_pretrained(folder)
    tokenizer = plm.AutoTokenizer.from_pretrained(folder)
    for options in ({"backend": "numpy"}, {"dtype": "int8"}):
        with pytest.raises(ConfigError, match="a loaded model is PyTorch's"):
            pipeline(task, model, tokenizer=tokenizer, **options)
