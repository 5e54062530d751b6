"""A conversion changes names, formats and config files, and not one bit of a model."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch

from plm.checkpoints import conversion
from plm.checkpoints.conversion import convert
from plm.checkpoints.formats.safetensors import read, write
from plm.checkpoints.loading import load_model
from plm.checkpoints.saving import save_model
from plm.checkpoints.store import open_checkpoint
from plm.checkpoints.verification import compare
from plm.config import read_json, write_json
from plm.errors import CheckpointError
from plm.heads.model import Model
from plm.tokenizers import load_tokenizer
from tests.golden_files import checkpoint, checkpoints_root
from tests.tiny_folders import WORDS, tiny_folder
from tests.tiny_models import tiny_model

FOLDERS = sorted(path.parent for path in checkpoints_root().glob("*/golden.npz"))

# Every family with the layouts that can hold it, and heads that they have names for.
ROUND_TRIPS = [
    ("bert", "huggingface", ("pretraining",)),
    ("bert", "google-tf1", ("pretraining",)),
    ("bert", "huawei", ("pretraining",)),
    ("bert", "google-tf1", ("question_answering",)),
    ("bert", "huggingface", ("token_classification",)),
    ("nezha", "huggingface", ("masked_lm",)),
    ("nezha", "google-tf1", ("masked_lm",)),
    ("nezha", "huawei", ("sequence_classification",)),
    ("tinybert", "huggingface", ("pretraining", "hidden_projection")),
    ("tinybert", "huawei", ("sequence_classification", "hidden_projection")),
    ("openai-gpt", "huggingface", ("double_heads",)),
    ("openai-gpt", "openai", ("causal_lm",)),
]


def assert_same_model(first: Path, second: Path, heads: tuple[str, ...]) -> None:
    comparison = compare(*(load_model(folder, heads=heads, dtype=None)[0] for folder in (first, second)))
    assert comparison.is_equal
    assert comparison.largest == 0.0


@pytest.mark.parametrize(("family", "layout", "heads"), ROUND_TRIPS)
def test_there_and_back_every_bit_is_the_same(family: str, layout: str, heads: tuple[str, ...], tmp_path: Path) -> None:
    first = tiny_folder(tmp_path / "first", family, *heads)
    report = convert(first, tmp_path / "there", layout=layout, verify=True)
    assert report.heads == heads
    assert report.comparison is not None
    assert report.comparison.largest == 0.0
    convert(tmp_path / "there", tmp_path / "back", heads=heads, verify=True)
    assert_same_model(first, tmp_path / "back", heads)
    assert (tmp_path / "back" / "model.safetensors").read_bytes() == (first / "model.safetensors").read_bytes()


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_checkpoints_of_the_original_frameworks_convert_and_verify(folder: Path, tmp_path: Path) -> None:
    report = convert(folder, tmp_path / "new", verify=True)
    assert report.comparison is not None
    assert report.comparison.is_equal
    assert report.comparison.largest == 0.0
    assert_same_model(folder, tmp_path / "new", report.heads)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_the_stored_type_is_kept_unless_another_is_asked_for(dtype: torch.dtype, tmp_path: Path) -> None:
    save_model(tiny_model("bert", "masked_lm").eval().to(dtype), tmp_path / "half")
    convert(tmp_path / "half", tmp_path / "same", verify=True)
    convert(tmp_path / "half", tmp_path / "wide", dtype=torch.float32, verify=True)
    assert {tensor.dtype for tensor in read(tmp_path / "same" / "model.safetensors").values()} == {dtype}
    assert {tensor.dtype for tensor in read(tmp_path / "wide" / "model.safetensors").values()} == {torch.float32}


def test_the_tokenizer_goes_along(tmp_path: Path) -> None:
    first = tiny_folder(tmp_path / "first", "bert", "masked_lm")
    report = convert(first, tmp_path / "new", layout="google-tf1")
    before, after = load_tokenizer(first), load_tokenizer(tmp_path / "new")
    assert after.get_vocab() == before.get_vocab()
    assert after.encode("the good film") == before.encode("the good film")
    assert {"vocab.txt", "bert_config.json", "bert_model.ckpt.index"} <= set(report.files)


def test_openais_layout_has_openais_names_for_the_tokenizer(tmp_path: Path) -> None:
    first = tiny_folder(tmp_path / "first", "openai-gpt", "causal_lm")
    report = convert(first, tmp_path / "new", layout="openai")
    assert {"encoder_bpe_40000.json", "vocab_40000.bpe", "params_9.npy"} <= set(report.files)
    assert json.loads((tmp_path / "new" / "encoder_bpe_40000.json").read_text()) == load_tokenizer(first).get_vocab()
    only = tmp_path / "only"
    only.mkdir()
    for name in ("encoder_bpe_40000.json", "vocab_40000.bpe"):
        shutil.copy(tmp_path / "new" / name, only)
    sentence = " ".join(WORDS)
    assert load_tokenizer(only).encode(sentence) == load_tokenizer(first).encode(sentence)


def test_a_tokenizer_that_cannot_be_read_is_copied_and_said_so(tmp_path: Path) -> None:
    first = tiny_folder(tmp_path / "first", "bert")
    (first / "tokenizer.json").write_text("{broken")
    report = convert(first, tmp_path / "new")
    assert (tmp_path / "new" / "tokenizer.json").read_text() == "{broken"
    assert any("copied unread" in note for note in report.notes)


def test_a_folder_without_tokenizer_is_said_so(tmp_path: Path) -> None:
    save_model(tiny_model("bert").eval(), tmp_path / "first")
    assert convert(tmp_path / "first", tmp_path / "new").notes == ("there is no tokenizer beside the weights",)


def test_config_fields_that_the_readers_of_a_layout_do_not_know_are_kept(tmp_path: Path) -> None:
    first = tiny_folder(tmp_path / "first", "bert", pad_token_id=7)
    assert convert(first, tmp_path / "new", layout="google-tf1").notes == ()
    assert open_checkpoint(tmp_path / "new").config.pad_token_id == 7


def test_several_files_and_an_index_for_large_models(tmp_path: Path) -> None:
    first = tiny_folder(tmp_path / "first", "bert", "masked_lm")
    report = convert(first, tmp_path / "new", max_shard_size=4000, verify=True)
    assert "model.safetensors.index.json" in report.files
    assert "model.safetensors" not in report.files
    assert_same_model(first, tmp_path / "new", ("masked_lm",))


def test_weights_are_never_made_up(tmp_path: Path) -> None:
    first = tiny_folder(tmp_path / "first", "bert", "sequence_classification")
    with pytest.raises(CheckpointError, match=r"masked_lm.*made up"):
        convert(first, tmp_path / "new", heads=("masked_lm",))
    tensors = read(first / "model.safetensors")
    write(first, {name: tensor for name, tensor in tensors.items() if name != "classifier.bias"})
    with pytest.raises(CheckpointError, match=r"classifier.linear.bias"):
        convert(first, tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_a_layout_that_cannot_hold_the_model_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    first = tiny_folder(tmp_path / "first", "tinybert", "masked_lm")
    with pytest.raises(CheckpointError, match="tinybert"):
        convert(first, tmp_path / "new", layout="google-tf1")
    assert not (tmp_path / "new").exists()


def test_a_wrong_result_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = tiny_folder(tmp_path / "first", "bert", "masked_lm")

    def save_another(model: Model, folder: Path, **options: object) -> list[Path]:
        with torch.no_grad():
            model.backbone.blocks[0].attention.query.weight.mul_(1.001)
        return save_model(model, folder)

    monkeypatch.setattr(conversion, "save_model", save_another)
    monkeypatch.setattr(conversion, "compare", lambda one, two: compare(load_model(first, dtype=None)[0], two))
    with pytest.raises(CheckpointError, match=r"not the one that was read.*query.weight"):
        convert(first, tmp_path / "new", verify=True)
    assert not (tmp_path / "new").exists()


def test_overrides_correct_a_wrong_config(tmp_path: Path) -> None:
    first = tiny_folder(tmp_path / "first", "bert")
    write_json(first / "config.json", {**read_json(first / "config.json"), "num_hidden_layers": 5})
    report = convert(first, tmp_path / "new", overrides={"num_hidden_layers": 2}, verify=True)
    assert read_json(tmp_path / "new" / "config.json")["num_hidden_layers"] == 2
    assert report.comparison is not None


def test_shared_names_are_read_as_the_head_asked_for(tmp_path: Path) -> None:
    folder = checkpoint("mindspore_bert_classifier")
    report = convert(folder, tmp_path / "tagger", heads=("token_classification",), verify=True)
    assert read_json(tmp_path / "tagger" / "config.json")["architectures"] == ["BertForTokenClassification"]
    assert report.heads == ("token_classification",)


def test_the_report_is_plain_json_and_lines(tmp_path: Path) -> None:
    report = convert(tiny_folder(tmp_path / "first", "bert", "masked_lm"), tmp_path / "new", verify=True)
    assert json.loads(json.dumps(report.to_dict()))["comparison"]["unequal"] == []
    text = "\n".join(report.lines())
    assert "tensors equal bit by bit" in text
    assert "masked_lm.logits: largest difference 0" in text
