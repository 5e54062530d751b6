"""Configs are strict about names, types and choices; files are written whole or not at all."""

from __future__ import annotations

import json
import os
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plm.config import (
    from_dict,
    read_json,
    read_toml,
    require_choice,
    require_positive,
    require_probability,
    require_types,
    to_dict,
    write_json,
    write_text,
)
from plm.errors import ConfigError


@dataclass(frozen=True)
class Inner:
    """A part of Outer."""

    rate: float = 0.5


@dataclass(frozen=True)
class Outer:
    """One field of every kind that configs have."""

    size: int
    rate: float = 0.1
    flag: bool = False
    name: str = "x"
    mode: Literal["a", "bee"] = "a"
    maybe: int | None = None
    either: int | str = 0
    several: tuple[float, ...] = ()
    table: dict[int, str] | None = None
    inner: Inner = field(default_factory=Inner)
    anything: Any = None

    def __post_init__(self) -> None:
        require_positive(self, "size")


def test_fields_come_back_as_written() -> None:
    values = {
        "size": 3, "rate": 0.25, "flag": True, "name": "y", "mode": "bee", "maybe": 4, "either": "z",
        "several": [1.0, 2.0], "table": {"0": "no", "10": "yes"}, "inner": {"rate": 1.5}, "anything": {"k": [1]},
    }  # fmt: skip
    made = from_dict(Outer, values)
    assert made.table == {0: "no", 10: "yes"}
    assert made.several == (1.0, 2.0)
    assert made.inner == Inner(1.5)
    assert to_dict(made) == values


@given(
    size=st.integers(1, 10**6),
    rate=st.floats(allow_nan=False, allow_infinity=False),
    name=st.text(),
    several=st.lists(st.floats(allow_nan=False, allow_infinity=False), max_size=3),
    table=st.none() | st.dictionaries(st.integers(-(10**9), 10**9), st.text(), max_size=3),
)
@settings(deadline=None, max_examples=50)
def test_reading_what_was_written_gives_the_same_config(
    size: int, rate: float, name: str, several: list[float], table: dict[int, str] | None
) -> None:
    made = Outer(size=size, rate=rate, name=name, several=tuple(several), table=table)
    assert from_dict(Outer, json.loads(json.dumps(to_dict(made)))) == made


def test_integers_pass_for_floats_and_become_floats() -> None:
    made = from_dict(Outer, {"size": 1, "rate": 2, "several": [3]})
    assert (repr(made.rate), repr(made.several)) == ("2.0", "(3.0,)")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"size": 1, "sise": 2}, "x.json: unknown field 'sise'; did you mean 'size'?"),
        ({"rate": 0.5}, "x.json: missing field 'size'"),
        ({"size": "3"}, "x.json: size: expected int, got str ('3')"),
        ({"size": 1.0}, "x.json: size: expected int, got float (1.0)"),
        ({"size": True}, "x.json: size: expected int, got bool (True)"),
        ({"size": None}, "x.json: size: expected int, got NoneType (None)"),
        ({"size": 1, "flag": 1}, "x.json: flag: expected bool, got int (1)"),
        ({"size": 1, "rate": True}, "x.json: rate: expected float, got bool (True)"),
        ({"size": 1, "rate": "0.1"}, "x.json: rate: expected float, got str ('0.1')"),
        ({"size": 1, "rate": float("nan")}, "x.json: rate: expected a finite number, got nan"),
        ({"size": 1, "rate": float("-inf")}, "x.json: rate: expected a finite number, got -inf"),
        ({"size": 1, "rate": 10**400}, "x.json: rate: expected a finite number, got 1000000"),
        ({"size": 1, "mode": "be"}, "x.json: mode: 'be' is not one of 'a', 'bee'; did you mean 'bee'?"),
        ({"size": 1, "mode": 3}, "x.json: mode: 3 is not one of 'a', 'bee'"),
        ({"size": 1, "mode": []}, "x.json: mode: [] is not one of 'a', 'bee'"),
        ({"size": 1, "maybe": "4"}, "x.json: maybe: expected int, got str ('4')"),
        ({"size": 1, "either": 1.5}, "x.json: either: expected int | str, got float (1.5)"),
        ({"size": 1, "several": 1.0}, "x.json: several: expected tuple[float, ...], got float (1.0)"),
        ({"size": 1, "several": [1.0, "2"]}, "x.json: several[1]: expected float, got str ('2')"),
        ({"size": 1, "table": {"one": "a"}}, "x.json: table: expected integer keys, got 'one'"),
        ({"size": 1, "table": {"01": "a"}}, "x.json: table: expected integer keys, got '01'"),
        ({"size": 1, "table": {"1": 2}}, "x.json: table['1']: expected str, got int (2)"),
        ({"size": 1, "inner": {"rat": 1.0}}, "x.json: inner: unknown field 'rat'; did you mean 'rate'?"),
        ({"size": 1, "inner": 1.0}, "x.json: inner: expected Inner, got float (1.0)"),
        ({"size": 0}, "x.json: size: expected a positive integer, got 0"),
    ],
)
def test_a_wrong_value_is_refused_by_file_field_and_value(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        from_dict(Outer, values, source="x.json")
    assert str(caught.value).startswith(message)


def test_a_value_too_deep_to_be_printed_is_refused_like_any_other() -> None:
    deep: Any = 1
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(ConfigError, match=r"size: expected int, got list \(\[\[\[.*\.\.\."):
        from_dict(Outer, {"size": deep})
    while isinstance(deep, list):  # unwound by hand: freeing it at once would recurse as deep
        deep = deep.pop()


def test_types_are_checked_where_a_config_is_made_by_hand() -> None:
    require_types(Outer(size=1, rate=2))
    with pytest.raises(ConfigError, match=r"^mode: 'c' is not one of 'a', 'bee'$"):
        require_types(Outer(size=1, mode="c"))  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r"^flag: expected bool, got int \(1\)$"):
        require_types(Outer(size=1, flag=1))  # type: ignore[arg-type]


@pytest.mark.parametrize("value", [0.0, 0.999, None])
def test_probabilities_start_at_zero_and_end_before_one(value: float | None) -> None:
    require_probability(_Holder(value), "value")


@pytest.mark.parametrize("value", [1.0, -0.1, float("nan")])
def test_what_is_no_probability_is_refused(value: float) -> None:
    with pytest.raises(ConfigError, match=r"value: expected a probability in \[0, 1\)"):
        require_probability(_Holder(value), "value")


def test_a_choice_is_refused_with_all_choices() -> None:
    require_choice(_Holder("gelu"), "value", ["gelu", "relu"])
    with pytest.raises(ConfigError, match=r"value: 'gelo' is not one of 'gelu', 'relu'; did you mean 'gelu'\?"):
        require_choice(_Holder("gelo"), "value", iter(["gelu", "relu"]))


@dataclass
class _Holder:
    value: Any


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"a": NaN}', "NaN is not a JSON number"),
        (b'{"a": -Infinity}', "-Infinity is not a JSON number"),
        (b"[1]", "expected a JSON object, got list"),
        (b'{"a": 1', "cannot be read as JSON"),
        (b"", "cannot be read as JSON"),
        (b'{"a": "\xff"}', "cannot be read as JSON"),
        (b'{"a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "cannot be read as JSON"),
        (b'{"a": ' + b'{"a": ' * 100_000, "cannot be read as JSON"),
        (b'{"a": 1' + b"0" * 10_000 + b"}", "cannot be read as JSON"),
    ],
    ids=["nan", "infinity", "list", "cut", "empty", "latin", "nested-lists", "nested-objects", "digits"],
)
def test_a_file_that_is_no_json_object_is_refused_by_name(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "config.json"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=message) as caught:
        read_json(path)
    assert str(caught.value).startswith(str(path))


@pytest.mark.parametrize("read", [read_json, read_toml])
def test_a_missing_file_or_a_folder_is_a_config_error(tmp_path: Path, read: Any) -> None:
    for path in (tmp_path / "missing", tmp_path):
        with pytest.raises(ConfigError, match="cannot be read as"):
            read(path)


def test_toml_is_read_and_a_wrong_one_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "run.toml"
    path.write_text("[optimizer]\nlr = 1e-3\n", encoding="utf-8")
    assert read_toml(path) == {"optimizer": {"lr": 1e-3}}
    path.write_text("lr = ", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"run\.toml: cannot be read as TOML"):
        read_toml(path)


def test_a_byte_order_mark_is_no_content(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_bytes(b'\xef\xbb\xbf{"a": 1}')
    assert read_json(path) == {"a": 1}


def test_json_is_written_as_transformers_writes_it(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    write_json(path, {"b": [1], "a": "ü"})
    assert path.read_bytes() == '{\n  "a": "ü",\n  "b": [\n    1\n  ]\n}\n'.encode()
    assert read_json(path) == {"a": "ü", "b": [1]}


def test_line_ends_are_written_as_given(tmp_path: Path) -> None:
    write_text(tmp_path / "x", "a\nb\r\n")
    assert (tmp_path / "x").read_bytes() == b"a\nb\r\n"


def test_a_write_that_fails_leaves_the_old_file_and_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> None:
        raise KeyboardInterrupt

    path = tmp_path / "config.json"
    write_text(path, "old")
    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(KeyboardInterrupt):
        write_text(path, "new")
    assert [entry.name for entry in tmp_path.iterdir()] == ["config.json"]
    assert path.read_text(encoding="utf-8") == "old"


@pytest.mark.parametrize("umask", [0o022, 0o077, 0o002])
def test_files_get_the_permissions_of_the_umask(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        write_text(tmp_path / "written", "x")
        assert os.umask(umask) == umask  # asking for it must not change it
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "written").stat().st_mode) == 0o666 & ~umask
