"""Files to write: a part is a whole small file of its format, and parts are joined into one."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import IO, Any, TypeVar

import numpy as np

from plm.bulk.parquet import join_parquet, pack_parquet
from plm.data.tsv import tsv_row
from plm.errors import ConfigError, DataError
from plm.registry import Registry

Rows = Sequence[dict[str, Any] | None]
"""What is told of each record, in order: JSON values and arrays; None = it was refused."""

Pack = Callable[[Rows], bytes]

Item = TypeVar("Item")


@dataclass(frozen=True)
class Output:
    """A row of OUTPUTS.

    suffixes: file names that mean it. pack: rows -> a part. join: (parts in order, file to write).
    """

    suffixes: tuple[str, ...]
    pack: Pack
    join: Callable[[Iterable[Path], Path], None]


OUTPUTS: Registry[Output] = Registry("format of files to write")


def output_of(path: Path, name: str | None = None) -> Output:
    """The format of a name, else of a suffix. Raises DataError when that tells none."""
    if name is not None:
        return OUTPUTS.get(name)
    for row in (row for _, row in OUTPUTS.items()):
        if path.suffix.lower() in row.suffixes:
            return row
    raise DataError(f"{path}: the suffix {path.suffix!r} tells no format; name one of {', '.join(OUTPUTS)}")


def pack_json_lines(rows: Rows) -> bytes:
    """One object a line."""
    lines = [json.dumps(row, ensure_ascii=False, default=_listed) + "\n" for row in rows if row is not None]
    return "".join(lines).encode("utf-8", "backslashreplace")


def pack_tsv(rows: Rows) -> bytes:
    """A header, and a line for each row; nothing where there are none."""
    kept = [row for row in rows if row is not None]
    cells = [list(kept[0]), *(list(row.values()) for row in kept)] if kept else []
    lines = [tsv_row(cell.tolist() if isinstance(cell, np.ndarray) else cell for cell in line) + "\n" for line in cells]
    return "".join(lines).encode("utf-8", "backslashreplace")


def pack_npy(rows: Rows) -> bytes:
    """(records, size), float32: the one vector of each row; NaN for refused ones, so that rows keep their numbers."""
    vectors = [None if row is None else _vector(row) for row in rows]
    size = next((len(vector) for vector in vectors if vector is not None), 0)
    blank = np.full(size, np.nan, dtype=np.float32)
    matrix = np.array([blank if vector is None else vector for vector in vectors], dtype="<f4").reshape(len(rows), size)
    file = BytesIO()
    np.save(file, matrix)
    return file.getvalue()


def _vector(row: dict[str, Any]) -> Any:
    found = [value for value in row.values() if isinstance(value, np.ndarray) and value.ndim == 1]
    if len(found) != 1:
        raise ConfigError(f"npy holds one vector for each text; these answers are {', '.join(row)}: write jsonl")
    return found[0]


def join_bytes(parts: Iterable[Path], target: Path) -> None:
    """One after the other."""
    with target.open("wb") as file:
        for path in parts:
            _append(path, file)


def join_tsv(parts: Iterable[Path], target: Path) -> None:
    """The header once. Raises DataError for parts of other columns."""
    header = b""
    with target.open("wb") as file:
        for path in parts:
            with path.open("rb") as part:
                line = part.readline()
                if line and not header:
                    header = line
                    file.write(header)
                if line not in (header, b""):
                    raise DataError(f"rows have other columns than those before: {line!r:.80}, {header!r:.80}")
                shutil.copyfileobj(part, file)


def join_npy(parts: Iterable[Path], target: Path) -> None:
    """One matrix, which `np.load(path, mmap_mode="r")` maps."""
    shapes = [(path, np.load(path, mmap_mode="r").shape) for path in parts]
    size = max(shape[1] for _, shape in shapes)
    whole = (sum(shape[0] for _, shape in shapes), size)
    with target.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "<f4", "fortran_order": False, "shape": whole})
        for path, (rows, width) in shapes:
            matrix = np.load(path) if width else np.full((rows, size), np.nan, dtype="<f4")
            file.write(matrix.data)


def _append(path: Path, file: IO[bytes]) -> None:
    with path.open("rb") as part:
        shutil.copyfileobj(part, file, 1 << 20)


def _listed(value: Any) -> Any:
    """Arrays as lists of numbers."""
    if isinstance(value, (np.ndarray, np.generic)):
        return value.tolist()
    raise TypeError(f"not JSON: {type(value).__name__}")


OUTPUTS.add("jsonl", Output((".jsonl", ".json"), pack_json_lines, join_bytes))
OUTPUTS.add("tsv", Output((".tsv",), pack_tsv, join_tsv))
OUTPUTS.add("parquet", Output((".parquet",), pack_parquet, join_parquet))
OUTPUTS.add("npy", Output((".npy",), pack_npy, join_npy))
