"""safetensors: mapped when read, byte for byte the library's files when written, shards only inside their folder."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from plm.checkpoints.formats.safetensors import _DTYPES, accepts, find, read, write
from plm.checkpoints.formats.shards import index_text
from plm.errors import CheckpointError
from tests.checkpoints.formats.mappings import is_mapped
from tests.checkpoints.formats.samples import tensors

INDEX = "model.safetensors.index.json"


def sharded(folder: Path) -> Path:
    """Four tensors in three files; the index is the last of the files written."""
    return write(folder, tensors(), max_shard_size=60)[-1]


def test_tensors_share_the_mapped_file(tmp_path: Path) -> None:
    (file,) = write(tmp_path, tensors())
    assert all(is_mapped(tensor, file) for tensor in read(file).values())


def test_the_file_is_what_the_library_writes(tmp_path: Path) -> None:
    what = {f"{i % 3} {dtype} ü": torch.arange(3 + i).to(torch.float32).to(dtype) for i, dtype in enumerate(_DTYPES)}
    what |= {"scalar": torch.tensor(1.0), "none": torch.zeros(0, 3), 'quote"\n\\': torch.zeros(2, 3)}
    save_file(what, tmp_path / "library.safetensors", metadata={"format": "pt"})
    (written,) = write(tmp_path, what)
    assert written.read_bytes() == (tmp_path / "library.safetensors").read_bytes()


def test_tensors_come_in_the_order_of_the_file(tmp_path: Path) -> None:
    (file,) = write(tmp_path, {"c": torch.zeros(1, dtype=torch.int64), "a": torch.zeros(1), "b": torch.zeros(1)})
    assert list(read(file)) == ["c", "a", "b"]


def test_shards_and_their_index_are_those_of_transformers(tmp_path: Path) -> None:
    index = sharded(tmp_path)
    assert index.read_text() == (
        json.dumps(
            {
                "metadata": {"total_parameters": 24, "total_size": 48 + 40 + 12 + 4},
                "weight_map": {
                    "a/w": "model-00001-of-00002.safetensors",
                    "b": "model-00002-of-00002.safetensors",
                    "half": "model-00002-of-00002.safetensors",
                    "one": "model-00002-of-00002.safetensors",
                },
            },
            indent=2,
            sort_keys=True,
        )
        + "\n"
    )
    assert find(tmp_path) == [index]
    assert all(torch.equal(tensor, tensors()[name]) for name, tensor in read(index).items())


def test_the_index_of_transformers_is_reproduced(checkpoint: Callable[[str], Path]) -> None:
    folder = checkpoint("hf_bert_sharded")
    shards = {path.name: read(path) for path in sorted(folder.glob("model-*.safetensors"))}
    assert index_text(shards) == (folder / INDEX).read_text()


def test_a_later_save_deletes_the_parts_of_an_earlier_one(tmp_path: Path) -> None:
    (tmp_path / "model.fp16.safetensors").write_bytes(b"a variant, not ours")
    for limit in (60, 2**30, 40, 60, 2**30):
        write(tmp_path, tensors(), max_shard_size=limit)
        names = sorted(path.name for path in tmp_path.iterdir())
        shards = {60: 2, 40: 3, 2**30: 0}[limit]
        expected = [f"model-{i:05}-of-{shards:05}.safetensors" for i in range(1, shards + 1)]
        expected += [INDEX] if shards else ["model.safetensors"]
        assert names == sorted([*expected, "model.fp16.safetensors"])
        assert torch.equal(read(find(tmp_path)[0])["a/w"], tensors()["a/w"])


def test_a_variant_is_read_when_named(tmp_path: Path) -> None:
    (file,) = write(tmp_path, tensors())
    variant = file.rename(tmp_path / "model.fp16.safetensors")
    assert find(tmp_path) == []
    assert accepts(variant)
    assert list(read(variant)) == ["b", "a/w", "one", "half"]


def test_links_of_a_hub_cache_are_followed(tmp_path: Path) -> None:
    blobs, snapshot = tmp_path / "blobs", tmp_path / "snapshots/main"
    blobs.mkdir()
    snapshot.mkdir(parents=True)
    for number, file in enumerate(write(tmp_path / "made", tensors(), max_shard_size=60)):
        file.rename(blobs / f"hash{number}")
        (snapshot / file.name).symlink_to(os.path.relpath(blobs / f"hash{number}", snapshot))
    assert find(snapshot) == [snapshot / INDEX]
    assert read(snapshot / INDEX).keys() == tensors().keys()
    (blobs / "hash0").unlink()
    with pytest.raises(CheckpointError, match=r"model-00001-of-00002\.safetensors: no such file"):
        read(snapshot / INDEX)


@pytest.mark.parametrize(
    "place",
    [
        "../good.safetensors",
        "/etc/passwd",
        "sub/model.safetensors",
        "..",
        ".",
        "",
        "C:model.safetensors",
        "sub\\model.safetensors",
        "a\nb",
        "a\0b",
        5,
        None,
        ["model.safetensors"],
    ],
)
def test_an_index_that_leaves_its_folder_is_refused_before_anything_is_read(place: object, tmp_path: Path) -> None:
    index = tmp_path / INDEX
    index.write_text(json.dumps({"weight_map": {"x": place}}))
    with pytest.raises(CheckpointError, match=r"the tensor 'x' is said to be in .* only plain names"):
        read(index)


@pytest.mark.parametrize(
    "content", ["", "[]", "{}", '{"weight_map": {}}', '{"weight_map": 3}', "{" * 9999, "\udcff", "[" * 20000, "NaN"]
)
def test_an_index_that_is_no_index_is_refused(content: str, tmp_path: Path) -> None:
    (tmp_path / INDEX).write_bytes(content.encode(errors="surrogateescape"))
    with pytest.raises(CheckpointError, match=INDEX):
        read(tmp_path / INDEX)


def test_index_and_shards_that_disagree_are_refused(tmp_path: Path) -> None:
    index = sharded(tmp_path)
    good = json.loads(index.read_text())
    for change, reason in (
        ({"more": "model-00001-of-00002.safetensors"}, "'more' that .* promises is not there"),
        ({"one": "model-00001-of-00002.safetensors"}, "'one', but .* lists it in model-00001-of-00002"),
        ({"b": "model-00009-of-00009.safetensors"}, "no such file|lists it in model-00009"),
    ):
        index.write_text(json.dumps({"weight_map": good["weight_map"] | change}))
        with pytest.raises(CheckpointError, match=reason):
            read(index)
    del good["weight_map"]["half"]
    index.write_text(json.dumps(good))
    with pytest.raises(CheckpointError, match=r"'half', but .* does not list it"):
        read(index)


def test_a_header_that_claims_more_than_the_file_costs_no_memory(tmp_path: Path) -> None:
    file = tmp_path / "model.safetensors"
    for length in (2**63, 2**40, 2**31, 100):
        file.write_bytes(length.to_bytes(8, "little") + b'{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}')
        with pytest.raises(CheckpointError, match=r"model\.safetensors: not a valid safetensors file"):
            read(file)
