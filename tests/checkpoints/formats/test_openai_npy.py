"""OpenAI's GPT-1 files: names by position, shards of any number, a writer that gives the same bytes back."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from plm.checkpoints.formats import find_weights
from plm.checkpoints.formats.openai_npy import accepts, find, read, write
from plm.errors import CheckpointError
from tests.checkpoints.formats.mappings import is_mapped
from tests.checkpoints.formats.samples import gpt


def test_rewriting_the_release_layout_gives_the_same_bytes(checkpoint: Callable[[str], Path], tmp_path: Path) -> None:
    original = checkpoint("gpt1_openai_npy")
    for path in write(tmp_path, read(original)):
        assert path.read_bytes() == (original / path.name).read_bytes()


def test_names_follow_the_order_of_the_variables(checkpoint: Callable[[str], Path]) -> None:
    original = checkpoint("gpt1_openai_npy")
    listed = json.loads((original / "params_names_in_order.json").read_text())
    read_back = read(original)
    assert [list(tensor.shape) for tensor in read_back.values()] == [shape for _, shape in listed]
    assert list(read_back)[:2] == ["positions", "words"]
    assert [f"model/{name}" for name in list(read_back)[2:]] == [name for name, _ in listed[2:]]


def test_parameters_inside_one_file_are_mapped(checkpoint: Callable[[str], Path]) -> None:
    original = checkpoint("gpt1_openai_npy")
    assert is_mapped(read(original)["positions"], original / "params_0.npy")


@pytest.mark.parametrize("shards", [1, 3, 25])
def test_any_number_of_files_is_joined(shards: int, tmp_path: Path) -> None:
    write(tmp_path, gpt())
    whole = np.concatenate([np.load(tmp_path / f"params_{i}.npy") for i in range(10)])
    for path in tmp_path.glob("*.npy"):
        path.unlink()
    for number, piece in enumerate(np.array_split(whole, shards)):
        np.save(tmp_path / f"params_{number}.npy", piece)
    read_back = read(tmp_path)
    assert all(torch.equal(read_back[name], tensor) for name, tensor in gpt().items())
    write(tmp_path, gpt())  # and the surplus of an earlier save is deleted
    assert len(list(tmp_path.iterdir())) == 11


def test_folder_and_json_file_both_name_it(tmp_path: Path) -> None:
    write(tmp_path, gpt())
    assert find(tmp_path) == [tmp_path]
    assert find_weights(tmp_path / "params_shapes.json")[0].name == "openai_npy"
    assert accepts(tmp_path / "params_shapes.json")


@pytest.mark.parametrize(
    "shapes", ["", "{}", "[]", "[1]", "[[2, 4]]", '[["a"]]', "[[-1]]", "[[true]]", "[[1e9]]", "[" * 20000, "[[0]]"]
)
def test_shapes_that_are_no_gpt_are_refused(shapes: str, tmp_path: Path) -> None:
    write(tmp_path, gpt())
    (tmp_path / "params_shapes.json").write_text(shapes)
    with pytest.raises(CheckpointError, match=r"params_shapes\.json: "):
        read(tmp_path)


def test_files_that_do_not_fit_the_shapes_are_refused(tmp_path: Path) -> None:
    write(tmp_path, gpt())
    (tmp_path / "params_9.npy").unlink()
    with pytest.raises(CheckpointError, match=r"9 params_\*\.npy hold 101 numbers, params_shapes\.json needs 112"):
        read(tmp_path)
    np.save(tmp_path / "params_9.npy", np.zeros(11))
    with pytest.raises(CheckpointError, match=r"params_9\.npy: expected float32, found torch\.float64"):
        read(tmp_path)
    for path in tmp_path.glob("*.npy"):
        path.unlink()
    with pytest.raises(CheckpointError, match=r"params_0\.npy: no such file"):
        read(tmp_path)


def test_the_writer_names_what_is_missing_and_what_does_not_fit(tmp_path: Path) -> None:
    what = gpt()
    what["h0/wrong"] = what.pop("h0/ln_1/g")
    with pytest.raises(CheckpointError, match=r"missing \['h0/ln_1/g'\], not expected \['h0/wrong'\]"):
        write(tmp_path, what)
    with pytest.raises(CheckpointError, match="13 parameters are not a GPT-1"):
        write(tmp_path, dict(list(gpt().items())[:-1]))
    with pytest.raises(CheckpointError, match=r"'words': torch\.float64 does not fit"):
        write(tmp_path, gpt() | {"words": torch.zeros(2, 4, dtype=torch.float64)})
    assert not list(tmp_path.iterdir())


def test_16_bit_weights_are_widened_exactly(tmp_path: Path) -> None:
    write(tmp_path, {name: tensor.bfloat16() for name, tensor in gpt().items()})
    assert all(torch.equal(tensor, gpt()[name].bfloat16().float()) for name, tensor in read(tmp_path).items())
