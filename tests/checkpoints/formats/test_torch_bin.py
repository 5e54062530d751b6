"""PyTorch files: mapped where possible, wrappers seen through, and no code run."""

from __future__ import annotations

import io
import pickle
import time
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from plm.checkpoints.formats.torch_bin import accepts, find, read, write
from plm.errors import CheckpointError
from tests.checkpoints.formats.mappings import is_mapped
from tests.checkpoints.formats.samples import tensors


def saved(folder: Path, value: Any, *, name: str = "pytorch_model.bin", zipped: bool = True) -> Path:
    torch.save(value, folder / name, _use_new_zipfile_serialization=zipped)
    return folder / name


def test_zip_files_are_mapped(tmp_path: Path) -> None:
    (file,) = write(tmp_path, tensors())
    assert is_mapped(read(file)["a/w"], file)


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize(
    "wrap",
    [
        lambda state: state,
        lambda state: OrderedDict(state),
        lambda state: {"model": state, "optimizer": {"state": {0: {"exp_avg": torch.ones(2)}}}, "epoch": 3},
        lambda state: {"state_dict": state, "lr": torch.tensor(0.1)},
        lambda state: {"model_state_dict": state},
        lambda state: {"module": state, "global_step": 5},
        lambda state: {"model": {"module": state}},
        lambda state: {"epoch": 3, "note": "text"} | state,
    ],
)
def test_wrappers_are_seen_through(wrap: Callable[[dict[str, Any]], Any], zipped: bool, tmp_path: Path) -> None:
    read_back = read(saved(tmp_path, wrap(tensors()), zipped=zipped))
    assert list(read_back) == list(tensors())
    assert all(torch.equal(tensor, tensors()[name]) for name, tensor in read_back.items())


@pytest.mark.parametrize("value", [{}, {"epoch": 1}, [torch.ones(1)], torch.ones(1), {"model": {}}, "text"])
def test_files_without_weights_are_refused_with_what_they_hold(value: Any, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"no weights found|expected names and tensors"):
        read(saved(tmp_path, value))


def test_wrappers_without_end_are_refused(tmp_path: Path) -> None:
    circle: dict[str, Any] = {}
    circle["model"] = circle
    with pytest.raises(CheckpointError, match="no weights found"):
        read(saved(tmp_path, circle))


class Calls:
    """Pickled as a call of `function`."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> Any:
        return self.call


@pytest.mark.parametrize("zipped", [True, False])
def test_code_in_the_pickle_is_refused_and_not_run(zipped: bool, tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    file = saved(tmp_path, {"x": torch.ones(1), "y": Calls(open, str(marker), "w")}, zipped=zipped)
    with pytest.raises(CheckpointError, match="plm runs no code from checkpoints") as caught:
        read(file)
    assert "open" in str(caught.value)
    assert "weights_only" not in str(caught.value)
    assert not marker.exists()


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("call", [Calls(bytearray, 2**40), Calls(torch.Tensor, 2**26), Calls(torch.Tensor, 2**45)])
def test_calls_that_ask_for_memory_get_none(call: Calls, zipped: bool, tmp_path: Path) -> None:
    file = saved(tmp_path, {"x": torch.ones(1), "y": call}, zipped=zipped)
    start = time.process_time()
    with pytest.raises(CheckpointError, match=r"bytearray|claims \d+ bytes|not a valid PyTorch file"):
        read(file)
    assert time.process_time() - start < 1


def test_plain_containers_beside_the_weights_do_no_harm(tmp_path: Path) -> None:
    extra = {"size": torch.Size([1]), "dtype": torch.float16, "done": {1, 2}, "list": [1, (2.5, None)], "device": "cpu"}
    assert list(read(saved(tmp_path, {"model": tensors(), **extra}))) == list(tensors())


def test_views_that_claim_more_than_there_is_are_refused(tmp_path: Path) -> None:
    huge = torch.ones(1).expand(2**40)
    with pytest.raises(CheckpointError, match=r"'x' .* claims 4398046511104 bytes"):
        read(saved(tmp_path, {"x": huge}))


def test_honest_views_are_read(tmp_path: Path) -> None:
    table = torch.arange(12.0).reshape(3, 4)
    read_back = read(saved(tmp_path, {"table": table, "tied": table, "turned": table.t()}))
    assert torch.equal(read_back["turned"], table.t())
    assert read_back["tied"].data_ptr() == read_back["table"].data_ptr()


@pytest.mark.parametrize("special", [torch.ones(2).to_sparse(), torch.empty(2**40, device="meta")])
def test_tensors_without_plain_data_are_refused(special: torch.Tensor, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError):
        read(saved(tmp_path, {"x": special}))


def test_compressed_members_are_refused(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    torch.save(tensors(), buffer)
    with zipfile.ZipFile(buffer) as source, zipfile.ZipFile(tmp_path / "x.pt", "w", zipfile.ZIP_DEFLATED) as packed:
        for name in source.namelist():
            packed.writestr(name, source.read(name))
    with pytest.raises(CheckpointError, match="compressed"):
        read(tmp_path / "x.pt")


def test_only_storage_that_is_used_is_written(tmp_path: Path) -> None:
    (file,) = write(tmp_path, {"x": torch.zeros(1_000_000)[:3]})
    assert file.stat().st_size < 3000


def test_weights_are_found_and_files_of_trainers_are_not(tmp_path: Path) -> None:
    for name in ("optimizer.pt", "scheduler.pt", "rng_state.pth", "training_args.bin", "mp_rank_00_optim_states.pt"):
        saved(tmp_path, tensors(), name=name)
    (tmp_path / "notes.pt").write_text("not a checkpoint")
    assert find(tmp_path) == []
    names = ["last.ckpt", "ckpt_9.pt", "ckpt_100.pt", "step_5_pytorch_model.bin", "pytorch_model.bin"]
    for name in names:
        saved(tmp_path, tensors(), name=name)
        assert find(tmp_path)[0].name == name
    expected = ["pytorch_model.bin", "step_5_pytorch_model.bin", "ckpt_100.pt", "ckpt_9.pt", "last.ckpt"]
    assert [path.name for path in find(tmp_path)] == expected


def test_a_plain_pickle_is_not_taken_for_a_torch_file(tmp_path: Path) -> None:
    (tmp_path / "x.pt").write_bytes(pickle.dumps({"x": 1}))
    assert not accepts(tmp_path / "x.pt")
    with pytest.raises(CheckpointError, match=r"x\.pt: "):
        read(tmp_path / "x.pt")


def test_shards_are_read_through_their_index(checkpoint: Callable[[str], Path]) -> None:
    folder = checkpoint("hf4_bert_sharded_bin")
    (entry,) = find(folder)
    assert entry.name == "pytorch_model.bin.index.json"
    assert len(read(entry)) == 41
