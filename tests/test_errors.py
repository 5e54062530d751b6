"""Errors can be caught as what they are, say what was meant, and tell how to get a missing package."""

from __future__ import annotations

import pickle
import re
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plm import errors
from plm.errors import BackendUnavailable, PlmError, UnknownNameError, did_you_mean, optional_import

KINDS = {
    "ConfigError": ValueError,
    "UnknownNameError": KeyError,
    "ShapeError": ValueError,
    "CheckpointError": PlmError,
    "TokenizerError": ValueError,
    "DataError": ValueError,
    "PoemError": ValueError,
    "HubError": OSError,
    "TrainingError": RuntimeError,
    "GenerationError": RuntimeError,
    "BackendUnavailable": ImportError,
}


@pytest.mark.parametrize(("name", "builtin"), KINDS.items())
def test_each_error_is_a_plm_error_and_the_builtin_that_callers_expect(name: str, builtin: type[Exception]) -> None:
    kind = getattr(errors, name)
    assert issubclass(kind, PlmError)
    assert issubclass(kind, builtin)


def test_the_tree_in_the_docstring_names_every_error() -> None:
    assert errors.__doc__ is not None
    drawn = re.findall(r"[├└]── (\w+)", errors.__doc__)
    defined = {name for name, value in vars(errors).items() if isinstance(value, type) and issubclass(value, PlmError)}
    assert {"PlmError", *drawn} == defined
    assert drawn == list(KINDS)


@pytest.mark.parametrize("name", KINDS)
def test_messages_print_as_written_and_survive_pickling(name: str) -> None:
    error = getattr(errors, name)("expected 'a', got 'b'")
    assert str(error) == "expected 'a', got 'b'"
    assert str(pickle.loads(pickle.dumps(error))) == str(error)  # as worker processes send them


def test_an_unknown_name_without_message_prints_nothing() -> None:
    assert str(UnknownNameError()) == ""


def test_did_you_mean_names_the_nearest_and_only_what_is_near() -> None:
    assert did_you_mean("vocab_sise", ["hidden_size", "vocab_size"]) == "; did you mean 'vocab_size'?"
    assert did_you_mean("xyz", ["hidden_size", "vocab_size"]) == ""
    assert did_you_mean("x", []) == ""


@given(name=st.text(max_size=20), known=st.lists(st.text(max_size=20), max_size=5))
@settings(deadline=None, max_examples=50)
def test_did_you_mean_takes_any_text(name: str, known: list[str]) -> None:
    hint = did_you_mean(name, iter(known))
    assert hint == "" or any(repr(candidate) in hint for candidate in known)


def test_optional_import_returns_the_module() -> None:
    assert optional_import("json.decoder", extra="x", purpose="a test") is sys.modules["json.decoder"]


def test_optional_import_tells_how_to_install_what_is_missing() -> None:
    expected = re.escape("drawing needs the package 'no_such_package': pip install \"plm[plot]\"")
    with pytest.raises(BackendUnavailable, match=expected) as caught:
        optional_import("no_such_package.inner", extra="plot", purpose="drawing")
    assert isinstance(caught.value.__cause__, ImportError)
