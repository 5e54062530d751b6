"""Examples for training straight from TFRecord files in the layout of Google and NEZHA, masks and all.

examples = RecordExamples(["tf_examples_00.tfrecord", "tf_examples_01.tfrecord"], vocab_size=30522)
batches = CorpusBatches(examples, batching=Batching(batch_size=32), seed=42)
"""

from __future__ import annotations

import mmap
from array import array
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from plm.corpus.examples import ExampleEpoch
from plm.corpus.files import find_files
from plm.corpus.flat import FlatBatch
from plm.corpus.google_records import LAYOUT
from plm.corpus.record_index import RecordIndex, kept_index
from plm.corpus.tf_example import RawList, decode_floats, decode_integers, read_lists
from plm.corpus.tfrecord import FOOTER, HEADER, Record, read_records, require_plain
from plm.data.fingerprint import digest
from plm.errors import DataError, did_you_mean
from plm.tokenizers import Tokenizer

Ids: TypeAlias = NDArray[np.int64]

_PADDING = 0  # Google's, in every vocabulary
_LARGEST_ID = 2**31 - 1


class RecordExamples:
    """The examples of some TFRecord files, in the order of the files; every epoch has them as they were written.

    lengths: (examples,), int64, tokens of each, special ones included.
    The files stay mapped, so that any example is read alone; memory holds 24 bytes for each.
    """

    def __init__(
        self, paths: Iterable[Path | str], *, vocab_size: int | None = None, index_folder: Path | None = None
    ) -> None:
        """Read through all files and check every checksum: about 30,000 examples a second.

        vocab_size: all ids must be below it; None = any are taken.
        index_folder: keeps what was found, so that files that have not changed since are not read through again, nor
            their checksums checked; None = keep nothing.
        Raises DataError for files that are damaged or packed, hold no record, or records of another layout, naming
        file, record and byte.
        """
        self._files = [_File(Path(path), index_folder) for path in paths]
        self._ends = np.cumsum([len(file.lengths) for file in self._files], dtype=np.int64)
        if not self._files or not self._ends[-1]:
            raise DataError(f"expected files of one record or more, got none in {len(self._files)} files")
        self.lengths: Ids = np.concatenate([file.lengths for file in self._files])
        self._largest_id = _LARGEST_ID if vocab_size is None else vocab_size - 1

    def epoch(self, number: int) -> ExampleEpoch:
        """The same examples for every number. Its batches raise DataError for values that cannot be meant."""
        return ExampleEpoch(self.lengths, self._make, _PADDING)

    def fingerprint(self) -> dict[str, int | str]:
        """Facts that tell these records from others: of each file, the first and the last are looked at."""
        ends = [file.record(number).data for file in self._files if len(file.lengths) for number in (0, -1)]
        return {"records": len(self.lengths), "lengths of records": digest(self.lengths), "ends of files": digest(ends)}

    def _make(self, rows: Ids) -> FlatBatch:
        examples = [self._example(row) for row in rows.tolist()]
        lengths = self.lengths[rows]
        starts = (np.cumsum(lengths) - lengths).tolist()
        return FlatBatch(
            ids=np.concatenate([example.input_ids for example in examples]).astype(np.int32),
            lengths=lengths,
            types=np.concatenate([example.segment_ids for example in examples]).astype(np.uint8),
            places=np.concatenate([ex.positions + start for ex, start in zip(examples, starts, strict=True)]),
            labels=np.concatenate([example.labels for example in examples]),
            next_sentence=np.array([example.next_sentence for example in examples]),
            index=rows,
        )

    def _example(self, row: int) -> _Example:
        number = int(np.searchsorted(self._ends, row, side="right"))
        record = self._files[number].record(row - int(self._ends[number]))
        return record.read(lambda data: _Example(data, int(self.lengths[row]), self._largest_id))


@dataclass(frozen=True, eq=False)
class RecordCorpus:
    """TFRecord files as a corpus: examples that were made elsewhere, and the tokenizer whose ids they hold.

    tokenizer: whoever made the files had it; the files do not say.
    """

    examples: RecordExamples
    tokenizer: Tokenizer

    @classmethod
    def open(cls, paths: Path | str, tokenizer: Tokenizer, *, index_folder: Path | None = None) -> RecordCorpus:
        """paths: a file, a folder, or a pattern. index_folder: as for RecordExamples.

        Raises what find_files and RecordExamples raise.
        """
        return cls(RecordExamples(find_files(paths), vocab_size=len(tokenizer), index_folder=index_folder), tokenizer)

    def count_tokens(self, most: int) -> Ids:
        """(vocabulary,), how often each token was there before it was masked, in about `most` tokens."""
        lengths, counts = self.examples.lengths, np.zeros(len(self.tokenizer), dtype=np.int64)
        rows = np.arange(0, len(lengths), max(1, int(lengths.sum()) // most))
        for part in np.array_split(rows, -(-len(rows) // 1024)):
            flat = self.examples.epoch(0).flat(part)
            ids = flat.ids.copy()
            ids[flat.places] = flat.labels
            counts += np.bincount(ids, minlength=len(counts))
        counts[self.tokenizer.all_special_ids] = 0
        return counts


class _File:
    """One file, mapped. offsets: (records + 1,), int64, where each begins and the last ends. lengths: (records,)."""

    def __init__(self, path: Path, index_folder: Path | None) -> None:
        self.path = path
        self.offsets, self.lengths = kept_index(path, _indexed, folder=index_folder)

    def record(self, number: int) -> Record:
        """One record. number: negative ones count from the end."""
        number %= len(self.lengths)
        start, end = self.offsets[number : number + 2].tolist()
        return Record(self.path, number, start, self._bytes[start + HEADER : end - FOOTER])

    @cached_property
    def _bytes(self) -> mmap.mmap:
        with self.path.open("rb") as file:
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_bytes"}  # mapped again elsewhere


def _indexed(path: Path) -> RecordIndex:
    """The index of a file that nobody knows yet."""
    offsets, lengths = array("q", [0]), array("q")
    require_plain(path)
    size = path.stat().st_size
    with tqdm(desc=path.name, total=size, unit="B", unit_scale=True, disable=None, delay=2, leave=False) as bar:
        for record in read_records(path):
            lengths.append(record.read(_length))
            size = HEADER + len(record.data) + FOOTER
            offsets.append(record.offset + size)
            bar.update(size)
    return RecordIndex(np.array(offsets, dtype=np.int64), np.array(lengths, dtype=np.int64))


class _Example:
    """One record decoded, without its padding.

    input_ids, segment_ids: (length,). positions, labels: (predictions,), what is to be predicted where.
    """

    def __init__(self, data: bytes, length: int, largest_id: int) -> None:
        lists = _lists(data)
        self.input_ids = _integers(lists, "input_ids", length, largest=largest_id)
        self.segment_ids = _integers(lists, "segment_ids", length, largest=1)
        weights = decode_floats(lists["masked_lm_weights"].raw())
        is_wanted = weights == 1.0
        if not np.all(is_wanted | (weights == 0.0)):
            raise DataError(f"masked_lm_weights: expected only 0 and 1, got {weights.tolist()}")
        positions = _integers(lists, "masked_lm_positions", len(weights), largest=length - 1)
        self.positions = positions[is_wanted]
        self.labels = _integers(lists, "masked_lm_ids", len(weights), largest=largest_id)[is_wanted]
        self.next_sentence = int(_integers(lists, "next_sentence_labels", 1, largest=1)[0])


def _length(data: bytes) -> int:
    """Tokens of a record. Raises DataError when its layout is another one."""
    mask = _lists(data)["input_mask"].raw()
    length = mask.count(1)
    if mask != b"\1" * length + bytes(len(mask) - length) or not length:
        raise DataError("input_mask: expected ones and behind them zeros, at least a one; other masks mean no padding")
    return length


def _lists(data: bytes) -> dict[str, RawList]:
    """The features, all that there must be, each of its kind."""
    lists = read_lists(data)
    for name, kind in LAYOUT.items():
        if name not in lists:
            listed = ", ".join(map(repr, lists)) or "none"
            raise DataError(f"no feature {name!r}{did_you_mean(name, lists)}; the record has {listed}")
        try:
            lists[name].require(kind)
        except DataError as error:
            raise DataError(f"{name}: {error}") from error
    return lists


def _integers(lists: dict[str, RawList], name: str, count: int, *, largest: int) -> Ids:
    """The first values of a feature; there may be more, which are padding, but not fewer."""
    try:
        values = decode_integers(lists[name].raw())[:count]
    except DataError as error:
        raise DataError(f"{name}: {error}") from error
    if len(values) < count:
        raise DataError(f"{name}: expected {count} values or more, got {len(values)}")
    if count and not 0 <= values.min() <= values.max() <= largest:
        wrong = values[(values < 0) | (values > largest)][0]
        raise DataError(
            f"{name}: expected values from 0 to {largest}, got {wrong}; is it another vocabulary or layout?"
        )
    return values
