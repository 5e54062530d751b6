"""Values of one type as flat arrays of numbers: a million features take the bytes of their numbers, not Python objects.

    column = column_of(Feature)                       # any dataclass of numbers, texts, lists, tuples and None
    arrays = column.pack(features, "feature")         # {"feature.input_ids.item": uint16, ...}
    rows = column.unpack(arrays, "feature")
    rows(3, 5) == features[3:5]

Arrays of several packings can be put end to end, name by name: lists are stored by their lengths, alternatives by their
numbers, never by places.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from plm.errors import ConfigError, DataError

Array = NDArray[Any]
Arrays = Mapping[str, Array]

Rows = Callable[[int, int], list[Any]]
"""(start, stop) -> the values with these numbers."""

# Without uint64: numpy would join it and a signed type to floating numbers.
_NARROW = (np.uint8, np.int8, np.uint16, np.int16, np.uint32, np.int32)


class Column(Protocol):
    """How values of one type are stored."""

    @property
    def type(self) -> type:
        """What each value is an instance of, exactly."""
        ...

    def pack(self, values: Sequence[Any], name: str) -> dict[str, Array]:
        """The arrays that hold the values, each named `name` or `name.` and more; all have one dimension.

        Raises DataError for a value of another type.
        """
        ...

    def unpack(self, arrays: Arrays, name: str) -> Rows:
        """Access to what `pack` has stored under this name. Raises KeyError when an array is missing."""
        ...


def column_of(hint: Any) -> Column:
    """The column for an annotation, as typing.get_type_hints gives it.

    Raises ConfigError for what has no column: dictionaries, tuples of mixed types, alternatives of one type.
    """
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if hint in (int, float, bool):
        return Numbers(hint)
    if hint is str:
        return Texts()
    if hint in (None, types.NoneType):
        return Nothing()
    if origin is Literal:
        return _alternatives({type(value): None for value in arguments})
    if origin in (typing.Union, types.UnionType):
        return _alternatives(arguments)
    if origin is np.ndarray:
        return Grids(np.dtype(typing.get_args(arguments[1])[0]))
    if origin is list:
        return Lists(list, column_of(arguments[0]))
    if origin is tuple and len({*arguments} - {...}) == 1:
        return Lists(tuple, column_of(arguments[0]))
    if isinstance(hint, type) and dataclasses.is_dataclass(hint):
        hints = typing.get_type_hints(hint)
        return Records(hint, tuple((field.name, column_of(hints[field.name])) for field in dataclasses.fields(hint)))
    raise ConfigError(
        f"{hint} cannot be stored in columns: take int, float, bool, str, None, arrays, and lists, tuples of one "
        "type, dataclasses and alternatives of these"
    )


@dataclass(frozen=True)
class Numbers:
    """int (64 bits, stored in as few as all of them need), float (64 bits) or bool."""

    type: type

    def pack(self, values: Sequence[Any], name: str) -> dict[str, Array]:
        """See Column."""
        _require(self.type, values, name)
        if self.type is not int:
            return {name: np.array(values, dtype=self.type)}
        try:
            return {name: _narrow(np.array(values, dtype=np.int64))}
        except OverflowError as error:
            raise DataError(f"{name}: expected integers of 64 bits, got a larger one") from error

    def unpack(self, arrays: Arrays, name: str) -> Rows:
        """See Column."""
        data = arrays[name]
        return lambda start, stop: typing.cast("list[Any]", data[start:stop].tolist())


@dataclass(frozen=True)
class Texts:
    """str, as UTF-8; also those that are no valid Unicode."""

    type: type = str

    def pack(self, values: Sequence[Any], name: str) -> dict[str, Array]:
        """See Column."""
        _require(str, values, name)
        encoded = [value.encode("utf-8", "surrogatepass") for value in values]
        return {f"{name}.utf8": np.frombuffer(b"".join(encoded), dtype=np.uint8), f"{name}.length": _lengths(encoded)}

    def unpack(self, arrays: Arrays, name: str) -> Rows:
        """See Column."""
        data, bounds = arrays[f"{name}.utf8"], _bounds(arrays[f"{name}.length"])

        def rows(start: int, stop: int) -> list[Any]:
            places = itertools.pairwise(bounds[start : stop + 1].tolist())
            return [data[first:end].tobytes().decode("utf-8", "surrogatepass") for first, end in places]

        return rows


@dataclass(frozen=True)
class Grids:
    """numpy arrays of one dtype and any shapes; integers are stored in as few bits as all of them need."""

    dtype: np.dtype[Any]
    type: type = np.ndarray

    def pack(self, values: Sequence[Any], name: str) -> dict[str, Array]:
        """See Column."""
        _require(np.ndarray, values, name)
        for value in values:
            if value.dtype != self.dtype:
                raise _wrong_type(f"an array of {self.dtype}", value, name)
        flat = np.concatenate([np.empty(0, self.dtype), *(value.ravel() for value in values)])
        shapes = _SHAPES.pack([value.shape for value in values], f"{name}.shape")
        return {name: _narrow(flat.astype(np.int64)) if self.dtype.kind == "i" else flat, **shapes}

    def unpack(self, arrays: Arrays, name: str) -> Rows:
        """See Column."""
        data, shapes = arrays[name], _SHAPES.unpack(arrays, f"{name}.shape")
        count = len(arrays[f"{name}.shape.length"])
        bounds = _bounds(np.array([math.prod(shape) for shape in shapes(0, count)], dtype=np.int64))

        def rows(start: int, stop: int) -> list[Any]:
            places = itertools.pairwise(bounds[start : stop + 1].tolist())
            parts = zip(places, shapes(start, stop), strict=True)
            return [data[first:end].astype(self.dtype).reshape(shape) for (first, end), shape in parts]

        return rows


@dataclass(frozen=True)
class Nothing:
    """None, which takes no room."""

    type: type = types.NoneType

    def pack(self, values: Sequence[Any], name: str) -> dict[str, Array]:
        """See Column."""
        _require(self.type, values, name)
        return {}

    def unpack(self, arrays: Arrays, name: str) -> Rows:
        """See Column."""
        return lambda start, stop: [None] * (stop - start)


@dataclass(frozen=True)
class Lists:
    """type: list or tuple. item: what they hold."""

    type: type
    item: Column

    def pack(self, values: Sequence[Any], name: str) -> dict[str, Array]:
        """See Column."""
        _require(self.type, values, name)
        flat = list(itertools.chain.from_iterable(values))
        return {f"{name}.length": _lengths(values), **self.item.pack(flat, f"{name}.item")}

    def unpack(self, arrays: Arrays, name: str) -> Rows:
        """See Column."""
        bounds, items = _bounds(arrays[f"{name}.length"]), self.item.unpack(arrays, f"{name}.item")

        def rows(start: int, stop: int) -> list[Any]:
            places = bounds[start : stop + 1].tolist()
            origin = places[0]
            flat = items(origin, places[-1])
            parts = (flat[first - origin : end - origin] for first, end in itertools.pairwise(places))
            return list(parts) if self.type is list else list(map(self.type, parts))

        return rows


@dataclass(frozen=True)
class Alternatives:
    """Values of several types, told apart by their type."""

    columns: tuple[Column, ...]
    type: type = object

    def pack(self, values: Sequence[Any], name: str) -> dict[str, Array]:
        """See Column."""
        numbers = {column.type: number for number, column in enumerate(self.columns)}
        chosen = [numbers.get(type(value), -1) for value in values]
        if -1 in chosen:
            raise _wrong_type(" or ".join(kind.__name__ for kind in numbers), values[chosen.index(-1)], name)
        arrays = {f"{name}.choice": np.array(chosen, dtype=np.uint8)}
        for number, column in enumerate(self.columns):
            own = [value for value, choice in zip(values, chosen, strict=True) if choice == number]
            arrays |= column.pack(own, f"{name}.{number}")
        return arrays

    def unpack(self, arrays: Arrays, name: str) -> Rows:
        """See Column."""
        choice = arrays[f"{name}.choice"]
        columns = [column.unpack(arrays, f"{name}.{number}") for number, column in enumerate(self.columns)]
        places = np.zeros(len(choice), dtype=np.int64)  # of each value among those of its type
        for number in range(len(columns)):
            mine = choice == number
            places[mine] = np.arange(np.count_nonzero(mine))

        def rows(start: int, stop: int) -> list[Any]:
            chosen = choice[start:stop].tolist()
            values = {}
            for number in set(chosen):
                first = int(places[start + chosen.index(number)])
                values[number] = iter(columns[number](first, first + chosen.count(number)))
            return [next(values[number]) for number in chosen]

        return rows


@dataclass(frozen=True)
class Records:
    """Dataclasses. fields: name and column of each field."""

    type: type
    fields: tuple[tuple[str, Column], ...]

    def pack(self, values: Sequence[Any], name: str) -> dict[str, Array]:
        """See Column."""
        _require(self.type, values, name)
        arrays: dict[str, Array] = {}
        for field, column in self.fields:
            arrays |= column.pack([getattr(value, field) for value in values], f"{name}.{field}")
        return arrays

    def unpack(self, arrays: Arrays, name: str) -> Rows:
        """See Column."""
        names = [field for field, _ in self.fields]
        columns = [column.unpack(arrays, f"{name}.{field}") for field, column in self.fields]

        def rows(start: int, stop: int) -> list[Any]:
            cells = zip(*(column(start, stop) for column in columns), strict=True)
            return [self.type(**dict(zip(names, row, strict=True))) for row in cells]

        return rows


_SHAPES = Lists(tuple, Numbers(int))


def _alternatives(hints: typing.Iterable[Any]) -> Column:
    columns = tuple(map(column_of, hints))
    kinds = [column.type for column in columns]
    if len(set(kinds)) < len(kinds):
        raise ConfigError(f"alternatives are told apart by their types, got {', '.join(k.__name__ for k in kinds)}")
    return columns[0] if len(columns) == 1 else Alternatives(columns)


def _require(kind: type, values: Sequence[Any], name: str) -> None:
    """All values are of exactly this type, so that they come back as what they were."""
    if {*map(type, values)} - {kind}:
        raise _wrong_type(kind.__name__, next(value for value in values if type(value) is not kind), name)


def _wrong_type(expected: str, value: Any, name: str) -> DataError:
    return DataError(f"{name}: expected {expected}, got {type(value).__name__} ({value!r:.60})")


def _narrow(numbers: NDArray[np.int64]) -> Array:
    """The same in the fewest bits that hold them."""
    low, high = (int(numbers.min()), int(numbers.max())) if len(numbers) else (0, 0)
    for dtype in _NARROW:
        if np.iinfo(dtype).min <= low and high <= np.iinfo(dtype).max:
            return numbers.astype(dtype)
    return numbers


def _lengths(values: Sequence[Any]) -> Array:
    return _narrow(np.fromiter(map(len, values), dtype=np.int64, count=len(values)))


def _bounds(lengths: Array) -> NDArray[np.int64]:
    """(values + 1,): where each starts, and where the last one ends."""
    bounds = np.zeros(len(lengths) + 1, dtype=np.int64)
    np.cumsum(lengths, out=bounds[1:])
    return bounds
