"""The doctor finds every disease that is put into a healthy folder, and none in the healthy one."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor

from plm.checkpoints.conversion import convert
from plm.checkpoints.doctor import CHECKS, Finding, examine
from plm.checkpoints.formats.safetensors import read, write
from plm.checkpoints.saving import save_model
from plm.config import read_json, write_json
from plm.errors import CheckpointError
from tests.golden_files import checkpoint, checkpoints_root
from tests.tiny_folders import VOCABULARY, tiny_folder
from tests.tiny_models import FAMILY_NAMES, tiny_model

LABELS = {0: "bad", 1: "good"}
HEAD = "sequence_classification"
FOLDERS = sorted(path.parent for path in checkpoints_root().glob("*/golden.npz"))


@pytest.fixture(autouse=True)
def usual_umask() -> Iterator[None]:
    before = os.umask(0o022)
    yield
    os.umask(before)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tiny_folder(tmp_path / "model", "bert", HEAD, id2label=LABELS)


def errors(findings: list[Finding]) -> list[Finding]:
    return [finding for finding in findings if finding.severity == "error"]


@pytest.mark.parametrize("family", FAMILY_NAMES)
def test_a_saved_model_is_healthy(family: str, tmp_path: Path) -> None:
    findings = examine(tiny_folder(tmp_path / "model", family, HEAD, id2label=LABELS))
    assert {finding.check for finding in findings} == set(CHECKS)
    assert [finding for finding in findings if finding.severity != "ok"] == []


@pytest.mark.parametrize("source", FOLDERS, ids=lambda folder: folder.name)
def test_checkpoints_of_the_original_frameworks_have_no_errors(source: Path) -> None:
    assert errors(examine(source)) == []


def test_examining_changes_nothing(folder: Path) -> None:
    before = {file.name: (file.stat().st_mtime_ns, file.read_bytes()) for file in folder.iterdir()}
    examine(folder)
    assert {file.name: (file.stat().st_mtime_ns, file.read_bytes()) for file in folder.iterdir()} == before


def test_a_file_is_not_examined(folder: Path) -> None:
    with pytest.raises(CheckpointError, match="examines folders"):
        examine(folder / "model.safetensors")


def edit_config(folder: Path, **changes: object) -> None:
    write_json(folder / "config.json", {**read_json(folder / "config.json"), **changes})


def edit_tensor(folder: Path, name: str, change: Callable[[Tensor], Tensor]) -> None:
    tensors = read(folder / "model.safetensors")
    write(folder, {key: change(tensor) if key == name else tensor for key, tensor in tensors.items()})


def with_value(value: float) -> Callable[[Tensor], Tensor]:
    def change(tensor: Tensor) -> Tensor:
        tensor = tensor.clone()
        tensor[0, 0] = value
        return tensor

    return change


WORDS = "bert.embeddings.word_embeddings.weight"


def add_copy(folder: Path, factor: float) -> None:
    tensors = read(folder / "model.safetensors")
    write(folder, {**tensors, "cls.predictions.decoder.weight": tensors[WORDS] * factor})


def add_other_weights(folder: Path) -> None:
    save_model(tiny_model("bert", HEAD, vocab_size=len(VOCABULARY), seed=1), folder / "other", layout="huawei")
    (folder / "other" / "pytorch_model.bin").rename(folder / "pytorch_model.bin")


DISEASES: dict[str, tuple[Callable[[Path], object], str, str, str]] = {
    "no config": (lambda f: (f / "config.json").unlink(), "config", "error", "no config"),
    "broken config": (lambda f: (f / "config.json").write_text("{"), "config", "error", "JSON"),
    "unknown key": (lambda f: edit_config(f, hiden_size=3), "config", "warning", "did you mean 'hidden_size'"),
    "wrong type": (lambda f: edit_config(f, hidden_size="12"), "config", "error", "hidden_size"),
    "unsupported": (lambda f: edit_config(f, position_embedding_type="rotary"), "config", "error", "rotary"),
    "too few layers": (lambda f: edit_config(f, num_hidden_layers=1), "weights", "error", "holds 2 layers"),
    "wrong vocab_size": (lambda f: edit_config(f, vocab_size=10), "weights", "error", "(10, 12)"),
    "no weights": (lambda f: (f / "model.safetensors").unlink(), "weights", "error", "no weights found"),
    "nan": (lambda f: edit_tensor(f, WORDS, with_value(float("nan"))), "numbers", "error", "1 of 324 values"),
    "infinity": (lambda f: edit_tensor(f, WORDS, with_value(float("inf"))), "numbers", "error", WORDS),
    "denormal": (lambda f: edit_tensor(f, WORDS, with_value(1e-40)), "numbers", "warning", "denormal"),
    "constant": (lambda f: edit_tensor(f, WORDS, torch.zeros_like), "numbers", "warning", "never trained"),
    "untied copy": (lambda f: add_copy(f, 1.5), "tied weights", "error", "should repeat"),
    "too many labels": (
        lambda f: edit_config(f, id2label={"0": "a", "1": "b", "2": "c"}),
        "labels",
        "error",
        "has 2 rows, the config names 3 classes",
    ),
    "swapped label2id": (
        lambda f: edit_config(f, label2id={"bad": 1, "good": 0}),
        "labels",
        "error",
        "not the inverse",
    ),
    "no label names": (
        lambda f: edit_config(f, id2label=None, label2id=None),
        "labels",
        "warning",
        "add id2label",
    ),
    "broken tokenizer": (lambda f: (f / "tokenizer.json").write_text("{"), "tokenizer", "error", "tokenizer.json"),
    "pad id": (lambda f: edit_config(f, pad_token_id=3), "special tokens", "error", "pad_token_id is 3"),
    "mask id": (lambda f: edit_config(f, mask_token_id=7), "special tokens", "warning", "mask_token_id is 7"),
    "private file": (lambda f: (f / "model.safetensors").chmod(0o600), "permissions", "warning", "chmod 644"),
    "public file": (lambda f: (f / "config.json").chmod(0o666), "permissions", "warning", "anybody may change"),
    "half a save": (lambda f: (f / ".model.safetensors.1a2b3c4d").touch(), "leftovers", "warning", "interrupted"),
    "half a download": (lambda f: (f / "x.incomplete").touch(), "leftovers", "warning", "x.incomplete"),
    "stale shard": (
        lambda f: (f / "model-00001-of-00002.safetensors").touch(),
        "leftovers",
        "warning",
        "no index names",
    ),
    "two models": (add_other_weights, "copies", "error", "different models"),
}


@pytest.mark.parametrize("disease", DISEASES)
def test_disease_is_found(disease: str, folder: Path) -> None:
    infect, check, severity, word = DISEASES[disease]
    infect(folder)
    found = [finding for finding in examine(folder) if finding.check == check and finding.severity == severity]
    assert any(word in finding.message for finding in found), found


def test_the_config_of_another_folder_does_not_count(folder: Path) -> None:
    (folder / "config.json").rename(folder.parent / "config.json")
    assert {"config", "weights"} <= {finding.check for finding in errors(examine(folder))}


def test_a_small_vocabulary_file_is_no_error_and_a_large_one_is(folder: Path, tmp_path: Path) -> None:
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (folder / name).unlink()
    (folder / "vocab.txt").write_text("\n".join([*VOCABULARY, "more", "words"]))
    assert [f.check for f in errors(examine(folder))] == ["vocabulary"]
    (folder / "vocab.txt").write_text("\n".join(VOCABULARY[:-1]))
    assert errors(examine(folder)) == []


def test_a_vocabulary_without_special_tokens_is_an_error(folder: Path) -> None:
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (folder / name).unlink()
    (folder / "vocab.txt").write_text("\n".join(token for token in VOCABULARY if token != "[SEP]"))
    assert any("sep_token" in f.message for f in errors(examine(folder)) if f.check in ("special tokens", "tokenizer"))


def test_the_same_weights_twice_are_fine(folder: Path, tmp_path: Path) -> None:
    convert(folder, tmp_path / "bin", layout="huawei")
    (tmp_path / "bin" / "pytorch_model.bin").rename(folder / "pytorch_model.bin")
    assert [(f.severity, f.check) for f in examine(folder) if f.check == "copies"] == [("ok", "copies")]


def test_an_equal_copy_of_a_tied_tensor_is_fine(tmp_path: Path) -> None:
    folder = tiny_folder(tmp_path / "model", "bert", "masked_lm")
    add_copy(folder, 1.0)
    found = [finding for finding in examine(folder) if finding.check == "tied weights"]
    assert [finding.severity for finding in found] == ["ok"]
    assert "repeats the word embeddings" in found[0].message


def test_weights_alone_are_examined_as_far_as_it_goes(tmp_path: Path) -> None:
    save_model(tiny_model("bert"), tmp_path / "model")
    findings = examine(tmp_path / "model")
    assert errors(findings) == []
    assert ("warning", "tokenizer") in {(finding.severity, finding.check) for finding in findings}


@pytest.mark.parametrize(
    "case", ["st_truncated_data", "config_unknown_model_type", "weights_nan", "index_path_traversal"]
)
def test_hostile_and_damaged_folders_give_errors_not_exceptions(case: str) -> None:
    folder = checkpoint("adversarial") / case
    if not folder.is_dir():
        pytest.skip(f"no case {case!r} among the committed ones")
    assert errors(examine(folder))


def test_an_exported_folder_is_healthy_though_it_is_no_checkpoint(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "model.onnx")
    config = folder / "config.json"
    entry = {"backend": "onnx", "dtype": "float32", "heads": [{"name": HEAD, "kind": HEAD}]}
    write_json(config, read_json(config) | {"exported": entry})
    findings = examine(folder)
    assert {finding.severity for finding in findings} == {"ok"}
    assert any("exported for the backend 'onnx'" in finding.message for finding in findings)
    write_json(config, read_json(config) | {"exported": {"backend": 3}})
    assert any("exported" in finding.message for finding in errors(examine(folder)))
