"""MindSpore checkpoints: the wire format, pieces, scalars, checksums, and what must be refused."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from plm.checkpoints.formats.mindspore import accepts, find, read
from plm.checkpoints.formats.protobuf import bytes_field
from plm.errors import CheckpointError
from tests.checkpoints.formats.samples import mindspore_value


def written(folder: Path, *values: bytes, name: str = "model.ckpt") -> Path:
    (folder / name).write_bytes(b"".join(values))
    return folder / name


def test_names_and_shapes_are_those_that_mindspore_lists(checkpoint: Callable[[str], Path]) -> None:
    folder = checkpoint("mindspore_bert_classifier")
    listed = json.loads((folder / "parameter_names.json").read_text())
    read_back = read(folder / "model.ckpt")
    assert [[name, list(t.shape), str(t.dtype)[6:].title()] for name, t in read_back.items()] == listed


def test_the_checksum_at_the_end_is_taken_off_and_compared(tmp_path: Path) -> None:
    content = mindspore_value("w", torch.arange(4.0))
    trailer = b"crc_num" + zlib.crc32(content).to_bytes(10, "big")
    assert read(written(tmp_path, content, trailer))["w"].tolist() == [0, 1, 2, 3]
    damaged = bytearray(content)
    damaged[-1] ^= 1
    with pytest.raises(CheckpointError, match="checksum"):
        read(written(tmp_path, bytes(damaged), trailer))


def test_pieces_of_one_name_are_joined(tmp_path: Path) -> None:
    whole = torch.arange(12.0).reshape(4, 3)
    pieces = [mindspore_value("w", piece, shape=[4, 3]) for piece in (whole[:1], whole[1:3], whole[3:])]
    read_back = read(written(tmp_path, mindspore_value("a", whole), *pieces, mindspore_value("b", whole)))
    assert list(read_back) == ["a", "w", "b"]
    assert torch.equal(read_back["w"], whole)


def test_scalars_and_every_type_are_read_and_texts_left_out(tmp_path: Path) -> None:
    values = torch.tensor([0, 1, 1])
    kinds = {"BFloat16": torch.bfloat16, "Bool": torch.bool, "Float16": torch.float16, "Float64": torch.float64}
    kinds |= {"Int8": torch.int8, "Int32": torch.int32, "Int64": torch.int64, "UInt8": torch.uint8}
    content = [mindspore_value(name, values.to(dtype), dtype=name) for name, dtype in kinds.items()]
    text = mindspore_value("note", torch.zeros(4, dtype=torch.uint8), dtype="str")
    step = mindspore_value("step_num", torch.tensor([7]), shape=[0], dtype="Int64")
    read_back = read(written(tmp_path, *content, text, step))
    assert {name: tensor.dtype for name, tensor in read_back.items() if name in kinds} == kinds
    assert all(torch.equal(read_back[name], values.to(dtype)) for name, dtype in kinds.items())
    assert read_back["step_num"].shape == ()
    assert read_back["step_num"].item() == 7
    assert "note" not in read_back


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (mindspore_value("w", torch.zeros(2), dtype="Float128"), "unknown type 'Float128'"),
        (mindspore_value("w", torch.zeros(2), shape=[3]), "takes 12 bytes"),
        (mindspore_value("w", torch.zeros(2), shape=[2**62, 2**62]), "impossible shape"),
        (bytes_field(1, bytes_field(1, b"w") + bytes_field(3, b"")), "hash table"),
        (bytes_field(1, bytes_field(1, b"w") + bytes_field(9, b"")), "unknown field 9"),
        (mindspore_value("w", torch.zeros(2)) + bytes_field(7, b""), "unknown field 7"),
        (mindspore_value("w", torch.zeros(2)) + mindspore_value("w", torch.zeros(2), shape=[4, 1]), "differ"),
        (
            mindspore_value("w", torch.zeros(2))
            + mindspore_value("v", torch.zeros(2))
            + mindspore_value("w", torch.zeros(2)),
            "comes twice",
        ),
        (mindspore_value("w", torch.zeros(2))[:-1], "are announced"),
        (b"\x0b\x00", "wire type 3"),
        (b"\x02\x00", "field 0"),
        (b"\x08\x01", "unknown field 1"),
    ],
)
def test_what_is_not_understood_is_refused_with_the_reason(content: bytes, reason: str, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=rf"model\.ckpt: .*{reason}"):
        read(written(tmp_path, content))


@pytest.mark.parametrize("magic", ["d85e3a7f", "7f3a5ed8", "d95e3a7f", "da5e3a7f"])
def test_encrypted_files_are_recognised(magic: str, tmp_path: Path) -> None:
    file = written(tmp_path, bytes.fromhex(magic), bytes(100))
    assert accepts(file)
    with pytest.raises(CheckpointError, match=r"encrypted.*dec_key"):
        read(file)


def test_other_kinds_of_ckpt_are_told_apart_by_content(tmp_path: Path) -> None:
    contents = (b"\x80\x02}", b"PK\x03\x04", b"\x0a", b"\x0a\x05hello", b"\x0a\x04\x0a\x02\xff\xff\x12", b"")
    for number, content in enumerate(contents):
        assert not accepts(written(tmp_path, content, name=f"{number}.ckpt"))
    assert find(tmp_path) == []


def test_a_file_without_a_step_comes_first_and_then_the_latest(tmp_path: Path) -> None:
    for name in ("net-1_90.ckpt", "net-2_10.ckpt", "bert.ckpt"):
        written(tmp_path, mindspore_value("w", torch.zeros(2)), name=name)
    assert [path.name for path in find(tmp_path)] == ["bert.ckpt", "net-2_10.ckpt", "net-1_90.ckpt"]
