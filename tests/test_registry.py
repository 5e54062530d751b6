"""A registry keeps what it is given, refuses duplicates and explains misses."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plm.errors import ConfigError, UnknownNameError
from plm.registry import Registry


@pytest.fixture
def colours() -> Registry[int]:
    registry: Registry[int] = Registry("colour")
    for number, name in enumerate(("red", "green", "blue")):
        registry.add(name, number)
    return registry


def test_values_come_back_in_the_order_of_registration(colours: Registry[int]) -> None:
    assert colours.names() == list(colours) == ["red", "green", "blue"]
    assert colours.items() == [("red", 0), ("green", 1), ("blue", 2)]
    assert (colours.get("blue"), len(colours)) == (2, 3)
    assert "red" in colours
    assert "pink" not in colours


def test_add_returns_the_value() -> None:
    assert Registry[int]("colour").add("red", 7) == 7


def test_a_taken_name_is_refused_and_keeps_its_value(colours: Registry[int]) -> None:
    with pytest.raises(ConfigError, match="colour 'red' is registered already"):
        colours.add("red", 9)
    assert colours.get("red") == 0


def test_a_removed_name_is_free_again(colours: Registry[int]) -> None:
    assert colours.remove("green") == 1
    assert "green" not in colours
    assert colours.add("green", 5) == 5


@pytest.mark.parametrize("method", ["get", "remove"])
def test_an_unknown_name_is_answered_with_the_nearest_and_all_known(colours: Registry[int], method: str) -> None:
    expected = r"^unknown colour 'gren'; did you mean 'green'\? \(known: 'red', 'green', 'blue'\)$"
    with pytest.raises(UnknownNameError, match=expected):
        getattr(colours, method)("gren")


@pytest.mark.parametrize("name", [None, 3, ["red"]])
def test_what_is_no_name_at_all_is_unknown_too(colours: Registry[int], name: object) -> None:
    with pytest.raises(UnknownNameError, match="unknown colour"):
        colours.get(name)  # type: ignore[arg-type]


def test_an_empty_registry_says_so() -> None:
    with pytest.raises(UnknownNameError, match="known: none yet"):
        Registry[int]("colour").get("red")


@given(values=st.dictionaries(st.text(max_size=8), st.integers(), max_size=8))
@settings(deadline=None, max_examples=50)
def test_a_registry_holds_what_a_dictionary_would(values: dict[str, int]) -> None:
    registry: Registry[int] = Registry("thing")
    for name, value in values.items():
        registry.add(name, value)
    assert registry.items() == list(values.items())
    assert all(registry.get(name) == value for name, value in values.items())
