"""Whatever goes into columns comes out equal, type by type."""

from __future__ import annotations

import dataclasses
import typing
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plm.data.columns import Array, column_of
from plm.data.features.classification import Feature
from plm.data.features.multiple_choice import RowsFeature
from plm.data.features.question_answering import Window
from plm.data.features.tagging import TagFeature
from plm.errors import ConfigError, DataError

INTEGERS = st.integers(-(2**63), 2**63 - 1)


@dataclass(frozen=True)
class Inner:
    """A record in a record."""

    name: str
    kind: Literal["a", "b", None] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Everything:
    """One field of each sort."""

    number: int
    share: float
    flag: bool
    text: str | None
    ids: list[int] | None
    label: int | float | tuple[float, ...] | None
    rows: list[list[int]]
    words: list[str]
    spans: list[tuple[int, int]]
    inner: Inner
    inners: tuple[Inner, ...] = field(default=())


HINTS: dict[str, st.SearchStrategy[Any]] = {
    "number": INTEGERS,
    "share": st.floats(allow_nan=False),
    "flag": st.booleans(),
    "text": st.none() | st.text(st.characters()),
    "ids": st.none() | st.lists(INTEGERS, max_size=5),
    "label": st.none() | st.integers(-1, 300) | st.floats(0, 1) | st.lists(st.floats(0, 1), max_size=3).map(tuple),
    "rows": st.lists(st.lists(st.integers(0, 70000), max_size=3), max_size=3),
    "words": st.lists(st.text(max_size=3), max_size=3),
    "spans": st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), max_size=3),
    "inner": st.builds(Inner, st.text(max_size=3), st.sampled_from(["a", "b", None])),
    "inners": st.lists(st.builds(Inner, st.text(max_size=3)), max_size=2).map(tuple),
}


def exact(value: Any) -> Any:
    """The value with the types of all its parts, so that 1, 1.0 and True differ."""
    if dataclasses.is_dataclass(value):
        return type(value), [exact(getattr(value, f.name)) for f in dataclasses.fields(value)]
    if isinstance(value, list | tuple):
        return type(value), [exact(item) for item in value]
    return type(value), value


@settings(deadline=None, max_examples=60)
@given(st.lists(st.builds(Everything, **HINTS), max_size=6), st.data())
def test_values_come_back_as_they_were(values: list[Everything], data: st.DataObject) -> None:
    column = column_of(Everything)
    rows = column.unpack(column.pack(values, "x"), "x")
    start = data.draw(st.integers(0, len(values)))
    stop = data.draw(st.integers(start, len(values)))
    assert exact(rows(start, stop)) == exact(values[start:stop])


@settings(deadline=None, max_examples=30)
@given(st.lists(st.builds(Everything, **HINTS), max_size=6), st.integers(0, 6))
def test_packings_can_be_put_end_to_end(values: list[Everything], cut: int) -> None:
    column = column_of(Everything)
    parts = [column.pack(part, "x") for part in (values[:cut], values[cut:])]
    joined: dict[str, Array] = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    assert exact(column.unpack(joined, "x")(0, len(values))) == exact(values)


@pytest.mark.parametrize("kind", [Feature, TagFeature, RowsFeature, Window])
def test_the_features_of_the_library_have_columns(kind: type) -> None:
    assert column_of(kind).type is kind


@pytest.mark.parametrize(
    ("numbers", "dtype"),
    [
        ([], "uint8"),
        ([255], "uint8"),
        ([-100, 2], "int8"),
        ([30521], "uint16"),
        ([-1, 40000], "int32"),
        ([2**40, -1], "int64"),
    ],
)
def test_integers_take_the_fewest_bits(numbers: list[int], dtype: str) -> None:
    assert column_of(int).pack(numbers, "x")["x"].dtype == dtype


@pytest.mark.parametrize(
    ("hint", "value", "message"),
    [
        (int, True, r"x: expected int, got bool \(True\)"),
        (float, 1, r"x: expected float, got int \(1\)"),
        (list[int], [1, "2"], r"x.item: expected int, got str \('2'\)"),
        (int | None, 1.5, r"x: expected int or NoneType, got float \(1.5\)"),
        (int, 2**63, "x: expected integers of 64 bits"),
        (Inner, Inner(3), "x.name: expected str, got int"),  # type: ignore[arg-type]
    ],
)
def test_values_of_other_types_are_refused(hint: Any, value: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        column_of(hint).pack([value], "x")


@pytest.mark.parametrize("hint", [dict[str, int], np.ndarray, tuple[int, str], list, typing.Any])
def test_hints_without_a_column_are_refused(hint: Any) -> None:
    with pytest.raises(ConfigError, match="cannot be stored in columns"):
        column_of(hint)


@pytest.mark.parametrize("dtype", ["int32", "float32", "bool"])
def test_arrays_of_any_shape_come_back_as_they_were(dtype: str) -> None:
    values = [np.arange(6).reshape(2, 3), np.empty((0, 2)), np.array(1), np.array([-70000, 3])]
    values = [value.astype(dtype) for value in values]
    column = column_of(np.ndarray[Any, np.dtype[getattr(np, dtype.replace("bool", "bool_"))]])
    stored = column.unpack(column.pack(values, "x"), "x")
    for start, stop in ((0, 4), (1, 3), (4, 4)):
        for value, other in zip(values[start:stop], stored(start, stop), strict=True):
            assert (value.dtype, value.shape, value.tolist()) == (other.dtype, other.shape, other.tolist())
    with pytest.raises(DataError, match=f"x: expected an array of {dtype}, got ndarray"):
        column.pack([np.zeros(2, dtype=np.uint8)], "x")


def test_alternatives_of_one_type_are_refused() -> None:
    with pytest.raises(ConfigError, match="told apart by their types, got list, list"):
        column_of(list[int] | list[str])
