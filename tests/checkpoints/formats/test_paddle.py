"""PaddlePaddle's pickles are read as data: exact names, no calls, every protocol that Paddle uses."""

from __future__ import annotations

import json
import pickle
import pickletools
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from plm.checkpoints.formats.paddle import accepts, find, read
from plm.errors import CheckpointError
from tests.checkpoints.formats.samples import FILES


def dumped(folder: Path, value: Any, *, protocol: int = 4) -> Path:
    (folder / "model_state.pdparams").write_bytes(pickle.dumps(value, protocol=protocol))
    return folder / "model_state.pdparams"


def test_names_and_shapes_are_those_that_paddle_lists(checkpoint: Callable[[str], Path]) -> None:
    folder = checkpoint("paddle_bert_sequence_classification")
    listed = json.loads((folder / "state_dict_names.json").read_text())
    read_back = read(folder / "model_state.pdparams")
    assert [[name, list(tensor.shape)] for name, tensor in read_back.items()] == [row[:2] for row in listed]


@pytest.mark.parametrize("name", ["protocol2", "protocol3", "protocol4", "nested"])
def test_every_protocol_and_nested_saves_equal_paddle(name: str) -> None:
    read_back = read(FILES / f"{name}.pdparams")
    with np.load(FILES / "linear.npz") as expected:
        assert list(read_back) == ["weight", "bias"]
        assert all(np.array_equal(read_back[key].numpy(), expected[key]) for key in expected)


def test_bfloat16_is_recognised() -> None:
    read_back = read(FILES / "bfloat16.pdparams")
    assert read_back["b"].dtype is torch.bfloat16
    assert read_back["b"].tolist() == [1.5, -2.0]
    assert read_back["h"].dtype is torch.float16


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_arrays_of_every_type_and_order_survive(protocol: int, tmp_path: Path) -> None:
    values: dict[str, Any] = {
        dtype: (np.arange(6) % 2).reshape(2, 3).astype(dtype)
        for dtype in ("bool", "u1", "i1", "i2", "i4", "i8", "f2", "f4", "f8", ">f4", ">i8")
    }
    values |= {"fortran": np.asfortranarray(np.arange(24.0).reshape(2, 3, 4)), "none": np.zeros((0, 3))}
    values |= {"scalar": np.array(2.5), "large": np.arange(1000.0), "same": values["i1"]}
    read_back = read(dumped(tmp_path, OrderedDict(values), protocol=protocol))
    assert list(read_back) == list(values)
    for name, value in values.items():
        assert np.array_equal(read_back[name].numpy(), value)
        assert read_back[name].numpy().dtype == value.dtype.newbyteorder("=")


def test_what_is_no_array_is_left_out(tmp_path: Path) -> None:
    extra = {"StructuredToParameterName@@": {"w": "linear_0.w_0"}, "LR_Scheduler": {"last_epoch": 3, "rate": 0.1}}
    assert list(read(dumped(tmp_path, {"w": np.ones(2), **extra, "n": None, "l": [1, (2, 3)]}))) == ["w"]


def test_arrays_in_pieces_are_joined(tmp_path: Path) -> None:
    whole = np.arange(12.0, dtype=np.float32)
    told = {"w": {"OriginShape": (3, 4), "slices": ["w@@.0", "w@@.1"]}}
    value = {"a": whole, "w@@.0": whole[:7], "w@@.1": whole[7:], "UnpackBigParamInfor@@": told}
    read_back = read(dumped(tmp_path, value, protocol=2))
    assert list(read_back) == ["a", "w"]
    assert np.array_equal(read_back["w"].numpy(), whole.reshape(3, 4))
    for change in ({"OriginShape": (5, 4)}, {"slices": ["w@@.0", "w@@.2"]}, {"slices": 3}):
        value["UnpackBigParamInfor@@"] = {"w": told["w"] | change}
        with pytest.raises(CheckpointError, match="piece"):
            read(dumped(tmp_path, value, protocol=2))


class Calls:
    """Pickled as a call of `function`."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> Any:
        return self.call


@pytest.mark.parametrize("protocol", [2, 4])
@pytest.mark.parametrize(
    "function", [open, exec, __import__, np.save, np.testing.assert_equal, np.fromfile, bytearray, Path, getattr]
)
def test_calls_are_refused_and_not_made(function: Any, protocol: int, tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    file = dumped(tmp_path, {"w": np.ones(2), "x": Calls(function, str(marker), "w")}, protocol=protocol)
    with pytest.raises(CheckpointError, match=r"plm runs no code from checkpoints|not a valid pickle"):
        read(file)
    assert not marker.exists()


def test_static_graph_saves_are_refused_with_what_to_do(tmp_path: Path) -> None:
    value = {"w": Calls(eval, "data", {"data": np.ones(2)})}
    with pytest.raises(CheckpointError, match=r"static graph.*eval\(\).*paddle\.save"):
        read(dumped(tmp_path, value))


@pytest.mark.parametrize(
    "value",
    [
        np.array([None, "x"]),
        np.array(["text"]),
        np.array([1 + 2j]),
        np.zeros(2, dtype=[("a", "f4"), ("b", "i4")]),
        np.array(["2020-01-01"], dtype="M8[D]"),
        np.float32(3),
    ],
)
def test_arrays_of_anything_but_numbers_are_refused(value: Any, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"model_state\.pdparams: "):
        read(dumped(tmp_path, {"w": value, "v": np.ones(2)}))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"\x80\x04}.", "no weights found"),
        (b"\x80\x04K\x01.", "expected names and tensors"),
        (b"\x80\x04.", "not a valid pickle"),
        (b"\x80\x04", "are announced"),
        (b"\x80\x04]]a]a", "are announced"),
        (b"\x80\x04\x8e" + b"\xff" * 8 + b"x.", "are announced"),
        (b"\x80\x04B\xff\xff\xff\x7fx.", "are announced"),
        (b"\x80\x04}r\xff\xff\xff\xff.", "no weights found"),  # a memo index that must not become an array
        (b"\x80\x04}j\xff\xff\xff\xff.", "not a valid pickle"),
        (b"\x80\x04t.", "not a valid pickle"),
        (b"\x80\x04}}K\x01s.", "not a valid pickle"),  # a dict as a key
        (b"\x80\x04}()\x85\x85\x85K\x01u.", "not a valid pickle"),  # a tuple as a key
        (b"\x80\x04cos\nsystem\n(S'id'\ntR.", "is not data"),
        (b"\x80\x04cos\nsystem\nX\x02\0\0\0id\x85R.", "calls 'os.system'"),
        (b"\x80\x04cnumpy\ndtype\n}b.", "not a valid pickle"),  # a state for a name
        (b"\x80\x04cnumpy\ndtype.type\n)R.", r"calls 'numpy.dtype.type'"),
        (b"\x80\x04\x82\x01.", "opcode 0x82"),  # extension registry
        (b"\x80\x04Pid\n.", "opcode 0x50"),  # persistent id
        (b"\x80\x04cnumpy\nndarray\n)\x81.", "opcode 0x81"),  # NEWOBJ
        (b"\x80\x04(i" + b"os\nsystem\n.", "opcode 0x69"),  # INST
        (b"\x80\x04c" + b"x" * 1000, "not a valid pickle|are announced"),
        (b"\x80\x04" + b"N" * 2**18 + b".", "more than 262144 steps"),
    ],
)
def test_pickles_that_are_no_data_are_refused(content: bytes, reason: str, tmp_path: Path) -> None:
    (tmp_path / "x.pdparams").write_bytes(content)
    with pytest.raises(CheckpointError, match=reason):
        read(tmp_path / "x.pdparams")


def test_deep_tuples_do_not_overflow_the_stack(tmp_path: Path) -> None:
    (tmp_path / "x.pdparams").write_bytes(b"\x80\x04}" + b")" + b"\x85" * 200_000 + b"K\x01s.")
    with pytest.raises(CheckpointError, match="not a valid pickle"):
        read(tmp_path / "x.pdparams")


def test_the_opcodes_that_are_understood_are_those_of_plain_data() -> None:
    from plm.checkpoints.formats.pickle_data import _STEPS

    names = {ord(opcode.code): opcode.name for opcode in pickletools.opcodes}
    acting = {"INST", "OBJ", "NEWOBJ", "NEWOBJ_EX", "PERSID", "BINPERSID", "EXT1", "EXT2", "EXT4", "NEXT_BUFFER"}
    assert not {names[code] for code in _STEPS} & acting


def test_text_of_python_2_is_read(tmp_path: Path) -> None:
    values = np.array([1.5, 2.5], dtype="<f4")
    array = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"
    dtype = b"cnumpy\ndtype\nU\x02f4K\x00K\x01\x87R(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
    state = b"(K\x01K\x02\x85" + dtype + b"\x89U\x08" + values.tobytes() + b"tb"
    (tmp_path / "old.pdparams").write_bytes(b"\x80\x02}U\x01w" + array + state + b"s.")
    assert read(tmp_path / "old.pdparams")["w"].tolist() == [1.5, 2.5]


def test_optimizer_states_are_readable_but_never_picked_as_weights(tmp_path: Path) -> None:
    file = dumped(tmp_path, {"w_moment1_0": np.ones(2)})
    optimizer = file.rename(tmp_path / "model_state.pdopt")
    assert find(tmp_path) == []
    assert accepts(optimizer)
    assert list(read(optimizer)) == ["w_moment1_0"]
