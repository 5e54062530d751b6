"""Frozen dataclasses to and from JSON and TOML, strict about names, types and choices."""

from __future__ import annotations

import dataclasses
import json
import re
import reprlib
import sys
import tomllib
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from plm.errors import ConfigError, did_you_mean
from plm.folders import written_aside

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Config = TypeVar("Config", bound="DataclassInstance")

_INTEGER = re.compile("0|-?[1-9][0-9]{0,17}")


def from_dict(cls: type[Config], values: Mapping[str, Any], *, source: str = "config") -> Config:
    """Build a dataclass from a mapping, checking every name and type.

    source: where the values come from (a file name), put in front of every message.
    Raises ConfigError for unknown fields (with the nearest known one), missing fields and wrong types; errors of the
    class's own `__post_init__` get the source in front.
    """
    fields = {f.name: f for f in dataclasses.fields(cls) if f.init}
    hints = typing.get_type_hints(cls)
    for name in values:
        if name not in fields:
            raise ConfigError(f"{source}: unknown field {name!r}{did_you_mean(name, fields)}")
    missing = [
        name
        for name, field in fields.items()
        if name not in values and field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
    ]
    if missing:
        raise ConfigError(f"{source}: missing field {', '.join(map(repr, missing))}")
    checked = {name: _checked(values[name], hints[name], f"{source}: {name}") for name in values}
    try:
        return cls(**checked)
    except ConfigError as error:
        raise ConfigError(f"{source}: {error}") from error


def to_dict(config: DataclassInstance) -> dict[str, Any]:
    """The fields of a dataclass as plain JSON values (tuples become lists, nested dataclasses dicts)."""
    values: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(config)))
    return values


def read_json(path: Path | str) -> dict[str, Any]:
    """A JSON object from a file.

    Raises ConfigError naming the file when it is missing, unreadable, not UTF-8, too deeply nested or not an object.
    NaN and Infinity, which JSON does not know, are refused.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8-sig")
        values = json.loads(text, parse_constant=_refuse_constant)
    except (OSError, UnicodeDecodeError, ValueError, RecursionError) as error:
        raise ConfigError(f"{path}: cannot be read as JSON: {error}") from error
    if not isinstance(values, dict):
        raise ConfigError(f"{path}: expected a JSON object, got {type(values).__name__}")
    return values


def read_toml(path: Path | str) -> dict[str, Any]:
    """A TOML table from a file. Raises ConfigError naming the file."""
    path = Path(path)
    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, UnicodeDecodeError, ValueError, RecursionError) as error:
        raise ConfigError(f"{path}: cannot be read as TOML: {error}") from error


def write_json(path: Path | str, values: Mapping[str, Any]) -> None:
    """Write JSON as transformers does: sorted keys, two spaces, final newline; whole or not at all."""
    write_text(path, json.dumps(values, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n")


def write_text(path: Path | str, text: str) -> None:
    """Write a UTF-8 file so that a crash leaves the old file or the new one, never half; umask permissions."""
    with written_aside(Path(path)) as aside:
        aside.write_text(text, encoding="utf-8", newline="")


def require_types(config: DataclassInstance) -> None:
    """Check in a `__post_init__` that every field holds what its annotation says; int passes for float.

    Raises ConfigError naming the field, as `from_dict` does for files.
    """
    hints = typing.get_type_hints(type(config))
    for field in dataclasses.fields(config):
        _checked(getattr(config, field.name), hints[field.name], field.name)


def require_positive(config: Any, *names: str) -> None:
    """Check in a `__post_init__` that integer fields are at least 1. Raises ConfigError naming the field."""
    for name in names:
        value = getattr(config, name)
        if value < 1:
            raise ConfigError(f"{name}: expected a positive integer, got {value}")


def require_probability(config: Any, *names: str) -> None:
    """Check that fields lie in [0, 1); None is allowed. Raises ConfigError naming the field."""
    for name in names:
        value = getattr(config, name)
        if value is not None and not 0.0 <= value < 1.0:
            raise ConfigError(f"{name}: expected a probability in [0, 1), got {value}")


def require_choice(config: Any, name: str, choices: typing.Iterable[str]) -> None:
    """Check that a field is one of `choices`. Raises ConfigError listing them."""
    value, choices = getattr(config, name), list(choices)
    if value not in choices:
        listed = ", ".join(map(repr, choices))
        hint = did_you_mean(value, choices) if isinstance(value, str) else ""
        raise ConfigError(f"{name}: {value!r} is not one of {listed}{hint}")


def require_distinct(config: Any, name: str) -> None:
    """Check that no value of a field stands there twice; None is allowed. Raises ConfigError naming it."""
    seen = set()
    for value in getattr(config, name) or ():
        if value in seen:
            raise ConfigError(f"{name}: {value!r} stands there twice")
        seen.add(value)


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not a JSON number")


def _checked(value: Any, hint: Any, where: str) -> Any:
    """`value` converted to the annotated type, or ConfigError. Only without loss: int to float, list to tuple."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any:
        return value
    if origin in (typing.Union, types.UnionType):
        return _checked_union(value, arguments, hint, where)
    if origin is typing.Literal:
        if value in arguments:
            return value
        near = did_you_mean(value, map(str, arguments)) if isinstance(value, str) else ""
        raise ConfigError(f"{where}: {value!r} is not one of {', '.join(map(repr, arguments))}{near}")
    if origin is tuple and isinstance(value, (list, tuple)):
        inner = arguments[0] if arguments else Any
        return tuple(_checked(item, inner, f"{where}[{i}]") for i, item in enumerate(value))
    if origin is dict and isinstance(value, Mapping):
        return {
            _checked_key(key, arguments[0], where): _checked(item, arguments[1], f"{where}[{key!r}]")
            for key, item in value.items()
        }
    if isinstance(hint, type) and dataclasses.is_dataclass(hint) and isinstance(value, Mapping):
        return from_dict(hint, value, source=where)
    if hint is float and isinstance(value, (int, float)) and not isinstance(value, bool):
        if not -sys.float_info.max <= value <= sys.float_info.max:  # NaN compares false, large integers exactly
            raise ConfigError(f"{where}: expected a finite number, got {reprlib.repr(value)}")
        return float(value)
    if isinstance(hint, type) and isinstance(value, hint) and (hint is bool) == isinstance(value, bool):
        return value
    if isinstance(origin, type) and isinstance(value, origin):  # of other generic classes only the class is checked
        return value
    raise _wrong_type(value, hint, where)


def _checked_union(value: Any, arguments: tuple[Any, ...], hint: Any, where: str) -> Any:
    if value is None and type(None) in arguments:
        return None
    inner = [argument for argument in arguments if argument is not type(None)]
    if len(inner) == 1:
        return _checked(value, inner[0], where)
    for argument in inner:
        try:
            return _checked(value, argument, where)
        except ConfigError:
            continue
    raise _wrong_type(value, hint, where)


def _wrong_type(value: Any, hint: Any, where: str) -> ConfigError:
    # reprlib: a deeply nested value, which a hostile file may hold, has no repr.
    return ConfigError(f"{where}: expected {_name(hint)}, got {type(value).__name__} ({reprlib.repr(value)})")


def _checked_key(key: Any, hint: Any, where: str) -> Any:
    """JSON object keys are strings; integer keys come back as integers. Only the one spelling that we write counts."""
    if hint is int and isinstance(key, str):
        if not _INTEGER.fullmatch(key):
            raise ConfigError(f"{where}: expected integer keys, got {reprlib.repr(key)}")
        return int(key)
    return _checked(key, hint, where)


def _name(hint: Any) -> str:
    return hint.__name__ if isinstance(hint, type) and not typing.get_args(hint) else str(hint).replace("typing.", "")
