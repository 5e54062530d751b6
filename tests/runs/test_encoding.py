"""Features are the same however many processes make them, and are made once where they are kept."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import plm
from plm import parallel
from plm.data import Batching
from plm.errors import ConfigError, DataError
from plm.runs.encoding import Encoder, text_length
from plm.runs.preparation import Split
from plm.tasks import AnyTask, Classification, Matching, QuestionAnswering, Tagging
from tests.reading import plain
from tests.tiny_folders import tiny_folder, write_rows

TAGGED = "good O\nsun B-sky\n\n" * 6 + "the O\n" * 40


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tiny_folder(tmp_path / "model", "bert")


def encoder(folder: Path, task: AnyTask, **options: Any) -> Encoder:
    tokenizer = plm.AutoTokenizer.from_pretrained(folder)
    return Encoder(task, tokenizer, max_length=16, batching=Batching(batch_size=4), **options)


def classified(tmp_path: Path) -> tuple[AnyTask, Split]:
    rows = [("label", "text"), *(("good", "the good film") if n % 2 else ("bad", "bad") for n in range(2500))]
    path = str(write_rows(tmp_path / "t.tsv", rows))
    task = Classification(labels=("bad", "good"))
    return task, Split(path, task.read(path))


def tagged(tmp_path: Path) -> tuple[AnyTask, Split]:
    path = tmp_path / "t.conll"
    path.write_text(TAGGED)
    task = Tagging(overlap=4)
    examples = task.read(path)
    return task.learned(examples), Split(str(path), examples)


def questioned(tmp_path: Path) -> tuple[AnyTask, Split]:
    answer = {"text": "bad", "answer_start": 9}
    about = [
        {
            "context": f"the good bad film {'the book was old ' * n}",
            "qas": [{"id": str(n), "question": "the film?", "answers": [answer]}],
        }
        for n in range(9)
    ]
    path = tmp_path / "t.json"
    path.write_text(json.dumps({"data": [{"title": "t", "paragraphs": about}]}))
    task = QuestionAnswering(version_2=False, doc_stride=4)
    return task, Split(str(path), task.read(path))


def compared(tmp_path: Path) -> tuple[AnyTask, Split]:
    rows = [("query", "text", "label"), *((f"film {n % 3}", "good " * (n % 4 + 1), str(n % 2)) for n in range(24))]
    path = str(write_rows(tmp_path / "t.tsv", rows))
    task = Matching(query="query", text="text", label="label", side_by_side=3)
    return task, Split(path, task.read(path))


@pytest.mark.parametrize("made", [classified, tagged, questioned, compared])
def test_several_processes_make_the_same_features(
    made: Any, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task, split = made(tmp_path)
    alone = encoder(folder, task)(split, seed=None)
    expected = list(map(plain, alone.features))
    monkeypatch.setattr("plm.runs.encoding.parallel_chunks", _small_chunks)
    for options in ({}, {"workers": 2}, {"cache": str(tmp_path / "kept")}, {"cache": str(tmp_path / "kept")}):
        assert list(map(plain, encoder(folder, task, **options)(split, seed=None).features)) == expected
    assert [feature.index for feature in alone.features] == list(range(len(alone.features)))


def _small_chunks(function: Any, items: Any, *, workers: int, unit: str) -> Any:
    return parallel.parallel_chunks(function, items, workers=workers, unit=unit, chunk_size=max(len(items) // 3, 1))


def test_kept_features_are_not_made_again(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    task, split = classified(tmp_path)
    keeping = encoder(folder, task, cache=str(tmp_path / "cache"))
    first = keeping(split, seed=None)
    with monkeypatch.context() as patched:
        patched.setattr(Classification, "encode", None)
        assert list(keeping(split, seed=None).features) == list(first.features)
        for other in (replace(keeping, max_length=8), replace(keeping, task=Classification(labels=("good", "bad")))):
            with pytest.raises(TypeError):
                other(split, seed=None)
    Path(split.source).write_text("label\ttext\ngood\tfilm\n")
    changed = Split(split.source, task.read(split.source))
    assert len(keeping(changed, seed=None).features) == 1


def test_an_error_of_a_process_names_file_and_line(folder: Path, tmp_path: Path) -> None:
    task, split = classified(tmp_path)
    wrong = replace(split.examples[1700], label="badd")
    examples = [*split.examples[:1700], wrong, *split.examples[1701:]]
    with pytest.raises(DataError, match="line 1702: unknown label 'badd'"):
        encoder(folder, task, workers=1)(Split(split.source, examples), seed=None)


def test_lengths_are_those_asked_for_if_the_model_takes_them(folder: Path) -> None:
    model = plm.AutoModel.from_pretrained(folder)
    tokenizer = plm.AutoTokenizer.from_pretrained(folder)
    most = model.config.longest_text
    assert most is not None
    assert text_length(most, model, tokenizer) == most
    assert text_length(None, model, tokenizer) == min(most, 128)
    with pytest.raises(ConfigError, match=f"max_length: {most + 1} is more than the {most} tokens"):
        text_length(most + 1, model, tokenizer)
