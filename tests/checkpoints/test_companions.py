"""A tokenizer goes where its weights go."""

from __future__ import annotations

from pathlib import Path

from plm.checkpoints.companions import carry_tokenizer
from plm.tokenizers import load_tokenizer
from tests.tiny_folders import tiny_folder


def test_it_lies_beside_a_weight_file_as_well_as_in_a_folder(tmp_path: Path) -> None:
    source = tiny_folder(tmp_path / "source", "bert")
    for name, origin in (("a", source), ("b", source / "model.safetensors")):
        (tmp_path / name).mkdir()
        files, remark = carry_tokenizer(origin, tmp_path / name, layout="huggingface")
        assert remark is None
        assert set(files) == {"tokenizer.json", "tokenizer_config.json", "vocab.txt"}
        assert load_tokenizer(tmp_path / name).get_vocab() == load_tokenizer(source).get_vocab()


def test_no_tokenizer_is_a_remark_and_no_files(tmp_path: Path) -> None:
    files, remark = carry_tokenizer(tmp_path, tmp_path, layout="openai")
    assert (files, remark) == ((), "there is no tokenizer beside the weights")
