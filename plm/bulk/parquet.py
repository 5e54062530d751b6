"""Answers as Parquet tables: `pip install "plm[parquet]"`."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from io import BytesIO
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from plm.errors import optional_import

_PURPOSE = "writing Parquet files"

# Bytes of memory, about, that become one row group of the whole file.
_GROUP_BYTES = 1 << 26

# Columns whose values do not always tell their type: answers may lack them, lists may be empty.
_KNOWN: Mapping[str, Callable[[ModuleType], Any]] = {
    "start": lambda arrow: arrow.int64(),
    "end": lambda arrow: arrow.int64(),
    "labels": lambda arrow: arrow.map_(arrow.string(), arrow.float64()),
    "entities": lambda arrow: arrow.list_(
        arrow.struct(
            [
                ("type", arrow.string()),
                ("text", arrow.string()),
                ("start", arrow.int64()),
                ("end", arrow.int64()),
                ("score", arrow.float64()),
            ]
        )
    ),
}


def pack_parquet(rows: Sequence[dict[str, Any] | None]) -> bytes:
    """A table of the rows that are told; of none, no bytes.

    Texts and numbers become columns of their own type, vectors lists of float32 of fixed size, anything that is not
    known JSON.
    """
    arrow, parquet = _packages()
    kept = [row for row in rows if row is not None]
    if not kept:
        return b""
    columns = {name: _column(arrow, name, [row.get(name) for row in kept]) for name in kept[0]}
    file = BytesIO()
    parquet.write_table(arrow.table(columns), file)
    return file.getvalue()


def join_parquet(parts: Iterable[Path], target: Path) -> None:
    """One file of larger row groups."""
    arrow, parquet = _packages()
    filled = [path for path in parts if path.stat().st_size]
    schema = arrow.unify_schemas([parquet.read_schema(path) for path in filled], promote_options="permissive")
    with parquet.ParquetWriter(target, schema) as writer:
        held: list[Any] = []
        for place, path in enumerate(filled, start=1):
            held.append(parquet.read_table(path).cast(schema))
            if place == len(filled) or sum(table.nbytes for table in held) > _GROUP_BYTES:
                writer.write_table(arrow.concat_tables(held))
                held.clear()


def _column(arrow: ModuleType, name: str, values: list[Any]) -> Any:
    first = next((value for value in values if value is not None), None)
    if isinstance(first, np.ndarray):
        return _arrays(arrow, values)
    if name in _KNOWN:
        pairs = [list(value.items()) if isinstance(value, dict) else value for value in values]
        return arrow.array(pairs, _KNOWN[name](arrow))
    if first is None or isinstance(first, (str, bool, int, float)):
        return arrow.array(values)
    return arrow.array([json.dumps(value, ensure_ascii=False) for value in values], arrow.string())


def _arrays(arrow: ModuleType, values: list[Any]) -> Any:
    """(size,) each: lists of fixed size. (tokens, size) each: lists of such."""
    size = values[0].shape[-1]
    numbers = np.concatenate([np.ravel(value) for value in values]).astype(np.float32)
    vectors = arrow.FixedSizeListArray.from_arrays(arrow.array(numbers), size)
    if values[0].ndim == 1:
        return vectors
    ends = np.cumsum([0, *(len(value) for value in values)])
    return arrow.ListArray.from_arrays(arrow.array(ends, arrow.int32()), vectors)


def _packages() -> tuple[ModuleType, ModuleType]:
    return (
        optional_import("pyarrow", extra="parquet", purpose=_PURPOSE),
        optional_import("pyarrow.parquet", extra="parquet", purpose=_PURPOSE),
    )
