"""From a path to a format: by content, in a known order, and with a message that helps when there is nothing."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from plm.checkpoints.formats import FORMATS, Format, find_weights, safetensors, tf_checkpoint, torch_bin
from plm.errors import CheckpointError
from tests.checkpoints.formats.samples import SAMPLES, tensors

ORDER = "safetensors torch_bin paddle tf_checkpoint flax_msgpack keras_h5 mindspore openai_npy paddle_fluid numpy_npz"


@pytest.fixture
def raw_format() -> Iterator[Format]:
    """A third party's format: a file of raw float32."""
    made = Format(
        name="raw",
        find=lambda folder: sorted(folder.glob("*.raw")),
        accepts=lambda path: path.suffix == ".raw",
        read=lambda path: {"x": torch.frombuffer(bytearray(path.read_bytes()), dtype=torch.float32)},
    )
    FORMATS.add(made.name, made)
    yield made
    FORMATS.remove(made.name)


def test_the_order_of_detection_is_fixed_and_names_agree() -> None:
    assert list(FORMATS) == ORDER.split()
    assert all(container.name == name for name, container in FORMATS.items())
    assert all(container.looks_for for _, container in FORMATS.items())


def test_a_folder_with_several_formats_gives_the_first(tmp_path: Path) -> None:
    tf_checkpoint.write(tmp_path, tensors())
    assert find_weights(tmp_path)[0].name == "tf_checkpoint"
    torch_bin.write(tmp_path, tensors())
    assert find_weights(tmp_path)[0].name == "torch_bin"
    safetensors.write(tmp_path, tensors())
    assert find_weights(str(tmp_path))[0].name == "safetensors"


@pytest.mark.parametrize("sample", [name for name in SAMPLES if name not in ("safetensors_shards", "tf_checkpoint")])
def test_a_file_is_known_by_its_content_whatever_its_name(sample: str, tmp_path: Path) -> None:
    (tmp_path / "made").mkdir()
    container, make = SAMPLES[sample]
    entry = make(tmp_path / "made")
    if entry.is_file():
        entry = Path(shutil.copy(entry, tmp_path / "weights"))
    found, place = find_weights(entry)
    assert found.read is container.read
    assert found.read(place)


def test_a_third_party_adds_a_format_with_one_call(raw_format: Format, tmp_path: Path) -> None:
    (tmp_path / "a.raw").write_bytes(bytes(8))
    found, entry = find_weights(tmp_path)
    assert found is raw_format
    assert found.read(entry)["x"].tolist() == [0, 0]
    assert find_weights(tmp_path / "a.raw")[0] is raw_format


def test_an_empty_folder_says_what_was_looked_for_and_what_is_there(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="The folder holds nothing"):
        find_weights(tmp_path)
    (tmp_path / "config.json").touch()
    (tmp_path / "onnx").mkdir()
    with pytest.raises(CheckpointError) as caught:
        find_weights(tmp_path)
    for part in ("model.safetensors", "pytorch_model.bin", "model.ckpt-N.index", "config.json", "onnx/", str(tmp_path)):
        assert part in str(caught.value)


def test_a_missing_path_is_said_to_be_missing(tmp_path: Path) -> None:
    with pytest.raises(
        CheckpointError, match=r"bert_model\.ckpt: no such file or folder, and no bert_model\.ckpt\.index"
    ):
        find_weights(tmp_path / "bert_model.ckpt")


def test_an_unknown_file_shows_its_first_bytes(tmp_path: Path) -> None:
    (tmp_path / "x.bin").write_bytes(b"GGUF\x03\0\0\0" * 9)
    with pytest.raises(CheckpointError, match=r"x\.bin: none of the known formats .*GGUF"):
        find_weights(tmp_path / "x.bin")
    (tmp_path / "empty.bin").touch()
    with pytest.raises(CheckpointError, match="empty"):
        find_weights(tmp_path / "empty.bin")


def test_a_git_lfs_pointer_is_told_in_a_folder_and_alone(tmp_path: Path) -> None:
    pointer = tmp_path / "model.safetensors"
    pointer.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")
    for path in (tmp_path, pointer):
        with pytest.raises(CheckpointError, match=r"model\.safetensors: .*git lfs pull"):
            find_weights(path)


def test_a_link_that_leads_nowhere_is_named(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").symlink_to("../blobs/gone")
    found, entry = find_weights(tmp_path)
    with pytest.raises(CheckpointError, match=r"model\.safetensors: no such file"):
        found.read(entry)
