"""TFRecord files, read and written without TensorFlow: a row of byte strings, each behind its length and checksums.

    length (8 bytes) | masked CRC-32C of the length (4) | data | masked CRC-32C of the data (4)         little-endian

A file may be packed with gzip as a whole. Nearly all such files hold `tf.train.Example`s (plm/corpus/tf_example.py).
Source: tensorflow/core/lib/io/record_writer.h.
"""

from __future__ import annotations

import gzip
import os
import struct
import sys
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, TypeVar, cast

from numpy.typing import NDArray

from plm.corpus.tf_example import decode_example, encode_example
from plm.crc32c import masked_crc32c, masked_crc32c_each
from plm.errors import DataError
from plm.folders import written_aside

Item = TypeVar("Item")
Result = TypeVar("Result")

HEADER = 12
"""Bytes of a record in front of its data."""

FOOTER = 4
"""Bytes of a record behind its data."""

_LENGTH = struct.Struct("<Q")
_CRC = struct.Struct("<I")
_GZIP = b"\x1f\x8b\x08"
_LARGEST = 2**31  # no protobuf message is longer
_TOGETHER = 2**22  # bytes of records whose checksums are made together


@dataclass(frozen=True, slots=True)
class Record:
    """path: of the file. number: from 0. offset: of the first byte of its header, in the file unpacked."""

    path: Path
    number: int
    offset: int
    data: bytes

    def error(self, reason: object) -> DataError:
        """The error to raise about this record."""
        return DataError(f"{self.path}, record {self.number} (from byte {self.offset}): {reason}")

    def read(self, function: Callable[[bytes], Result]) -> Result:
        """What a function makes of the data; DataErrors get the place in front."""
        try:
            return function(self.data)
        except DataError as error:
            raise self.error(error) from error


def read_examples(path: Path | str, *, verify: bool = True) -> Iterator[dict[str, NDArray[Any]]]:
    """The features of every `tf.train.Example` of a file, as decode_example gives them. See read_records."""
    return (record.read(decode_example) for record in read_records(path, verify=verify))


def write_examples(
    path: Path | str, examples: Iterable[Mapping[str, NDArray[Any]]], *, compress: bool | None = None
) -> int:
    """Write `tf.train.Example`s, as encode_example makes them, and return how many. See write_records.

    The features of each stand in the order of its mapping. TensorFlow's own order is that of a hash table, and readers
    go by the names.
    """
    return write_records(path, map(encode_example, examples), compress=compress)


def read_records(path: Path | str, *, verify: bool = True) -> Iterator[Record]:
    """Every record of a file, plain or packed with gzip, in a few megabytes of memory (and the longest record).

    verify: False = the checksums of the data are not looked at; those of the lengths always are.
    Raises DataError for what is damaged, cut off, or no TFRecord file, naming file, record and byte, after all the
    records in front of it.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            start = file.read(HEADER)
            file.seek(0)
            if _is_packed(start):
                records = _records(cast("IO[bytes]", gzip.GzipFile(fileobj=file)), path, sys.maxsize)
            else:
                records = _records(file, path, os.fstat(file.fileno()).st_size)
            yield from _verified(records) if verify else (record for record, _ in records)
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from error


def write_records(path: Path | str, records: Iterable[bytes], *, compress: bool | None = None) -> int:
    """Write a file of records and return how many; it stands there whole or not at all.

    compress: True = with gzip; None = if the name ends in .gz.
    Raises DataError when the disk refuses.
    """
    path = Path(path)
    count = 0
    with _replaced(path) as raw, _packing(raw, path.suffix == ".gz" if compress is None else compress) as file:
        for chunk in _chunks(records, len):
            for data, crc in zip(chunk, masked_crc32c_each(chunk), strict=True):
                length = _LENGTH.pack(len(data))
                file.write(length + _CRC.pack(masked_crc32c(length)) + data + _CRC.pack(crc))
            count += len(chunk)
    return count


def require_plain(path: Path) -> None:
    """Raises DataError for a file that is packed: its records cannot be reached one by one."""
    try:
        with path.open("rb") as file:
            is_packed = _is_packed(file.read(HEADER))
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from error
    if is_packed:
        raise DataError(f"{path}: packed with gzip, so no record can be reached alone; unpack it first: gunzip {path}")


def _is_packed(start: bytes) -> bool:
    """start: the first 12 bytes. The length of a plain record could begin like gzip, but has its checksum behind it."""
    return start.startswith(_GZIP) and start[8:] != _CRC.pack(masked_crc32c(start[:8]))


def _records(stream: IO[bytes], path: Path, size: int) -> Iterator[tuple[Record, int]]:
    """Records, and the checksums that the file has for their data. size: of the file at most."""
    number = offset = 0

    def damage(reason: str) -> DataError:
        return Record(path, number, offset, b"").error(reason)

    def read(count: int) -> bytes:
        try:
            return stream.read(count)
        except (gzip.BadGzipFile, zlib.error, EOFError) as error:
            raise damage(f"the gzip file is damaged or ends in the middle ({error}); fetch it again") from error

    while header := read(HEADER):
        if len(header) < HEADER:
            raise damage(f"the file ends after {len(header)} of the {HEADER} bytes in front of the data")
        if _CRC.pack(masked_crc32c(header[:8])) != header[8:]:
            raise damage("the checksum of the length is wrong: the file is damaged here, or is no TFRecord file")
        wanted = _LENGTH.unpack_from(header)[0] + FOOTER
        if wanted > _LARGEST:
            raise damage(f"a length of {wanted - FOOTER} bytes, more than a message can have")
        rest = read(min(wanted, size - offset - HEADER))
        if len(rest) < wanted:
            raise damage(f"the file ends after {len(rest)} of {wanted} bytes; fetch it again, or write it again")
        yield Record(path, number, offset, rest[:-FOOTER]), _CRC.unpack_from(rest, wanted - FOOTER)[0]
        number, offset = number + 1, offset + HEADER + wanted


def _verified(records: Iterator[tuple[Record, int]]) -> Iterator[Record]:
    for chunk in _chunks(records, lambda pair: len(pair[0].data)):
        sums = masked_crc32c_each([record.data for record, _ in chunk])
        for (record, expected), found in zip(chunk, sums, strict=True):
            if found != expected:
                raise record.error("the checksum of the data is wrong: the file is damaged here; fetch it again")
            yield record


def _chunks(items: Iterable[Item], size: Callable[[Item], int]) -> Iterator[list[Item]]:
    """Some items at a time, by their size in bytes; what comes before an error comes out before it."""
    chunk: list[Item] = []
    total = 0
    failure = None
    try:
        for item in items:
            chunk.append(item)
            total += HEADER + size(item) + FOOTER
            if total >= _TOGETHER:
                yield chunk
                chunk, total = [], 0
    except Exception as error:
        failure = error
    if chunk:
        yield chunk
    if failure is not None:
        raise failure


@contextmanager
def _replaced(path: Path) -> Iterator[IO[bytes]]:
    """A new file that takes the place of `path` once it is whole and on the disk."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with written_aside(path) as aside, aside.open("wb") as file:
            yield file
    except OSError as error:
        raise DataError(
            f"{path}: cannot be written: {error.strerror or error}; no file there is half written"
        ) from error


@contextmanager
def _packing(raw: IO[bytes], compress: bool) -> Iterator[IO[bytes]]:
    """The file itself, or one that packs what is written: without name and time, so that equal records pack alike."""
    if not compress:
        yield raw
        return
    with gzip.GzipFile(filename="", mode="wb", fileobj=raw, mtime=0) as file:
        yield cast("IO[bytes]", file)
