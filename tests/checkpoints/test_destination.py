"""A destination is filled whole or not at all, and never at the cost of what lies there."""

from __future__ import annotations

from pathlib import Path

import pytest

from plm.checkpoints.destination import filling
from plm.errors import CheckpointError


def fill(destination: Path, source: Path, *names: str, overwrite: bool = False, layout: str = "huggingface") -> None:
    with filling(destination, source=source, layout=layout, overwrite=overwrite) as folder:
        for name in names:
            (folder / name).write_text(f"new {name}")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    folder.mkdir()
    return folder


def test_files_appear_and_nothing_else(source: Path, tmp_path: Path) -> None:
    fill(tmp_path / "a" / "b", source, "config.json", "model.safetensors")
    assert sorted(file.name for file in (tmp_path / "a" / "b").iterdir()) == ["config.json", "model.safetensors"]


def fail_half_way(destination: Path, source: Path) -> None:
    with filling(destination, source=source, layout="huggingface", overwrite=True) as folder:
        (folder / "config.json").write_text("half")
        raise ZeroDivisionError


def test_a_failure_leaves_no_folder(source: Path, tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError):
        fail_half_way(tmp_path / "new", source)
    assert not (tmp_path / "new").exists()


def test_a_failure_leaves_the_old_files(source: Path, tmp_path: Path) -> None:
    fill(tmp_path / "new", source, "config.json")
    with pytest.raises(ZeroDivisionError):
        fail_half_way(tmp_path / "new", source)
    assert {file.name: file.read_text() for file in (tmp_path / "new").iterdir()} == {"config.json": "new config.json"}


def test_a_folder_with_content_needs_overwrite_which_keeps_other_files(source: Path, tmp_path: Path) -> None:
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "README.md").write_text("mine")
    with pytest.raises(CheckpointError, match=r"not empty \(README.md\)"):
        fill(tmp_path / "new", source, "config.json")
    fill(tmp_path / "new", source, "config.json", overwrite=True)
    assert (tmp_path / "new" / "README.md").read_text() == "mine"


@pytest.mark.parametrize("overwrite", [False, True])
def test_the_folder_of_the_source_is_never_written(source: Path, overwrite: bool) -> None:
    (source / "model.safetensors").write_bytes(b"")
    for place in (source, source / "model.safetensors"):
        with pytest.raises(CheckpointError, match="folder of the source"):
            fill(source, place, "config.json", overwrite=overwrite)


def test_weights_of_another_format_are_never_hidden(source: Path, tmp_path: Path) -> None:
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "pytorch_model.bin").write_bytes(b"")
    with pytest.raises(CheckpointError, match="another format"):
        fill(tmp_path / "new", source, "model.safetensors", overwrite=True)


def test_stale_shards_of_the_same_format_go(source: Path, tmp_path: Path) -> None:
    fill(tmp_path / "new", source, "model-00001-of-00002.safetensors", "model.safetensors.index.json")
    fill(tmp_path / "new", source, "model.safetensors", overwrite=True)
    assert [file.name for file in (tmp_path / "new").iterdir()] == ["model.safetensors"]


def test_a_file_is_no_destination(source: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CheckpointError, match="is a file"):
        fill(tmp_path / "file", source)


def test_a_config_that_would_be_read_instead_is_refused(source: Path, tmp_path: Path) -> None:
    fill(tmp_path / "new", source, "config.json", layout="huawei")
    with pytest.raises(CheckpointError, match=r"config\.json would be read instead of what is to be written"):
        fill(tmp_path / "new", source, "bert_config.json", layout="huawei", overwrite=True)
    assert not (tmp_path / "new" / "bert_config.json").exists()
