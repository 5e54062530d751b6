"""TFRecord files: TensorFlow's own come back byte for byte, and damage is told with file, record and byte."""

from __future__ import annotations

import gzip
import random
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plm.corpus.tfrecord import read_examples, read_records, write_examples, write_records
from plm.crc32c import masked_crc32c
from plm.errors import DataError
from tests.shared_data import shared_data

HERE = Path(__file__).parent
TOY = ("nezha_tfrecord", "tf_examples_00.tfrecord")  # written by TensorFlow
VOCABULARY = HERE.parent / "tokenizers" / "data" / "bert-base-uncased-vocab.txt"


def framed(data: bytes) -> bytes:
    """A record as the format defines it."""
    length = struct.pack("<Q", len(data))
    return length + struct.pack("<I", masked_crc32c(length)) + data + struct.pack("<I", masked_crc32c(data))


def data_of(path: Path, *, verify: bool = True) -> list[bytes]:
    return [record.data for record in read_records(path, verify=verify)]


def test_tensorflows_own_file_is_read_and_written_back_byte_for_byte(tmp_path: Path) -> None:
    examples = list(read_examples(shared_data(*TOY)))
    assert len(examples) == 60
    assert write_examples(tmp_path / "again", examples) == 60
    assert (tmp_path / "again").read_bytes() == shared_data(*TOY).read_bytes()


def test_tensorflows_file_holds_english() -> None:
    words = VOCABULARY.read_text(encoding="utf-8").split("\n")
    first = next(read_examples(shared_data(*TOY)))
    shapes = {name: (str(values.dtype), values.shape) for name, values in first.items()}
    assert shapes == {
        "input_ids": ("int64", (128,)),
        "input_mask": ("int64", (128,)),
        "segment_ids": ("int64", (128,)),
        "masked_lm_positions": ("int64", (20,)),
        "masked_lm_ids": ("int64", (20,)),
        "masked_lm_weights": ("float32", (20,)),
        "next_sentence_labels": ("int64", (1,)),
    }
    tokens = [words[token] for token in first["input_ids"][: first["input_mask"].sum()]]
    assert tokens[0] == "[CLS]"
    assert tokens.count("[SEP]") == 2
    assert tokens.count("[MASK]") > 10
    for position, label, weight in zip(
        first["masked_lm_positions"], first["masked_lm_ids"], first["masked_lm_weights"], strict=True
    ):
        if weight:
            tokens[position] = words[label]
    assert {"the", "of", "to"} <= set(tokens)
    assert "[MASK]" not in tokens


def test_both_files_of_the_release_are_read() -> None:
    for name in ("tf_examples_00.tfrecord", "tf_examples_01.tfrecord"):
        assert len(list(read_examples(shared_data("nezha_tfrecord", name)))) == 60


@settings(deadline=None, max_examples=40)
@given(st.lists(st.binary(max_size=90), max_size=12), st.booleans())
def test_records_come_back_plain_and_packed(
    tmp_path_factory: pytest.TempPathFactory, records: list[bytes], compress: bool
) -> None:
    path = tmp_path_factory.mktemp("records") / "a"
    assert write_records(path, records, compress=compress) == len(records)
    assert data_of(path) == records
    packed = path.read_bytes()
    assert (gzip.decompress(packed) if compress else packed) == b"".join(map(framed, records))


def test_places_are_those_of_the_headers(tmp_path: Path) -> None:
    write_records(tmp_path / "a", [b"abc", b"", b"x" * 5000])
    assert [(record.number, record.offset) for record in read_records(tmp_path / "a")] == [(0, 0), (1, 19), (2, 35)]


def test_a_name_that_ends_in_gz_packs_and_equal_records_pack_alike(tmp_path: Path) -> None:
    write_records(tmp_path / "a.gz", [b"abc"] * 50)
    write_records(tmp_path / "b.gz", [b"abc"] * 50)
    assert (tmp_path / "a.gz").read_bytes()[:2] == b"\x1f\x8b"
    assert (tmp_path / "a.gz").read_bytes() == (tmp_path / "b.gz").read_bytes()
    assert data_of(tmp_path / "a.gz") == [b"abc"] * 50


def test_a_plain_record_whose_length_begins_like_gzip_is_no_gzip(tmp_path: Path) -> None:
    data = bytes(0x088B1F)
    write_records(tmp_path / "a", [data])
    assert (tmp_path / "a").read_bytes()[:3] == b"\x1f\x8b\x08"
    assert data_of(tmp_path / "a") == [data]


def test_many_records_are_checked_in_several_portions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    records = [bytes([number]) * number for number in range(200)]
    monkeypatch.setattr("plm.corpus.tfrecord._TOGETHER", 1000)
    write_records(tmp_path / "a", records)
    assert data_of(tmp_path / "a") == records


def test_an_empty_file_holds_no_records(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"")
    assert data_of(tmp_path / "a") == []


GOOD = [framed(data) for data in (b"first", b"second", b"third")]  # at bytes 0, 21 and 43; 64 in all


def edited(place: int) -> bytes:
    raw = bytearray(b"".join(GOOD))
    raw[place] ^= 0x40
    return bytes(raw)


@pytest.mark.parametrize(
    ("raw", "whole", "reason"),
    [
        (b"".join(GOOD)[:50], 2, r"record 2 \(from byte 43\): the file ends after 7 of the 12 bytes"),
        (b"".join(GOOD)[:57], 2, r"record 2 \(from byte 43\): the file ends after 2 of 9 bytes"),
        (b"".join(GOOD)[:63], 2, r"record 2 \(from byte 43\): the file ends after 8 of 9 bytes"),
        (edited(21), 1, r"record 1 \(from byte 21\): the checksum of the length is wrong"),
        (edited(29), 1, r"record 1 \(from byte 21\): the checksum of the length is wrong"),
        (edited(35), 1, r"record 1 \(from byte 21\): the checksum of the data is wrong"),
        (edited(42), 1, r"record 1 \(from byte 21\): the checksum of the data is wrong"),
        (b"one sentence a line, no records", 0, r"record 0 \(from byte 0\): .* or is no TFRecord file"),
        (
            (2**40).to_bytes(8, "little") + struct.pack("<I", masked_crc32c((2**40).to_bytes(8, "little"))),
            0,
            r"record 0 \(from byte 0\): a length of 1099511627776 bytes, more than",
        ),
    ],
    ids=["header", "data", "footer", "length", "crc of length", "data bit", "crc of data", "text", "huge"],
)
@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
def test_damage_is_told_with_file_record_and_byte(
    tmp_path: Path, raw: bytes, whole: int, reason: str, pack: Callable[[bytes], bytes]
) -> None:
    path = tmp_path / "damaged.tfrecord"
    path.write_bytes(pack(raw))
    records = read_records(path)
    assert [next(records).data for _ in range(whole)] == [b"first", b"second"][:whole]
    with pytest.raises(DataError, match=rf"damaged\.tfrecord, {reason}"):
        next(records)


def test_without_verifying_damaged_data_are_given_as_they_are(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(edited(35))
    assert data_of(tmp_path / "a", verify=False) == [
        b"first",
        b"se\x23ond",
        b"third",
    ]


@pytest.mark.parametrize("damage", [lambda raw: raw[:-12], lambda raw: raw[:400], lambda raw: raw + b"junk"])
def test_damaged_gzip_files_are_told_as_such(tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    path = tmp_path / "a.gz"
    write_records(path, [random.Random(number).randbytes(90) for number in range(20)])
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(DataError, match=r"a\.gz, record \d+ \(from byte \d+\): the gzip file is damaged"):
        data_of(path)


@settings(deadline=None, max_examples=120)
@given(st.integers(0, 64 * 8 - 1))
def test_no_single_bit_can_change_unnoticed(tmp_path_factory: pytest.TempPathFactory, bit: int) -> None:
    raw = bytearray(b"".join(GOOD))
    raw[bit // 8] ^= 1 << bit % 8
    path = tmp_path_factory.mktemp("bits") / "a"
    path.write_bytes(raw)
    with pytest.raises(DataError, match="record"):
        data_of(path)


def test_a_record_that_is_no_example_is_named(tmp_path: Path) -> None:
    write_records(tmp_path / "a", [b"", b"\x0a\x05abc"])
    with pytest.raises(DataError, match=r"a, record 1 \(from byte 16\): byte 0 of the message: a field of 5 bytes"):
        list(read_examples(tmp_path / "a"))


def test_missing_files_and_folders_are_named(tmp_path: Path) -> None:
    for path in (tmp_path / "nowhere", tmp_path):
        with pytest.raises(DataError, match=f"{path.name}: cannot be read"):
            data_of(path)


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    def failing() -> Iterator[bytes]:
        yield b"new"
        raise KeyError("no more")

    path = tmp_path / "a"
    write_records(path, [b"old"])
    with pytest.raises(KeyError):
        write_records(path, failing())
    assert data_of(path) == [b"old"]
    assert list(tmp_path.iterdir()) == [path]
    with pytest.raises(DataError, match="cannot be written"):
        write_records(path / "below", [b"new"])


def test_written_files_have_the_permissions_of_other_files(tmp_path: Path) -> None:
    write_records(tmp_path / "a", [b"new"])
    (tmp_path / "b").write_bytes(b"")
    assert (tmp_path / "a").stat().st_mode == (tmp_path / "b").stat().st_mode


def test_examples_can_be_streamed_through(tmp_path: Path) -> None:
    """Nothing holds all examples: a generator is written as it comes, and reading gives the first before the last."""
    seen = []

    def examples() -> Iterator[dict[str, np.ndarray]]:
        for number in range(9):
            seen.append(number)
            yield {"a": np.array([number])}

    assert write_examples(tmp_path / "a", examples()) == 9
    assert seen == list(range(9))
    assert [int(example["a"][0]) for example in read_examples(tmp_path / "a")] == seen
