"""Every error that plm raises for its users.

    PlmError
    ├── ConfigError            a config or run file is wrong: names file, field, expected and found
    ├── UnknownNameError       a name that no registry holds: lists the known ones and the nearest
    ├── ShapeError             tensors that do not fit together: names both shapes
    ├── CheckpointError        weights that are damaged, hostile, incomplete or of another model
    ├── TokenizerError         a vocabulary or text that cannot be used
    ├── DataError              a data file, with file, line and column
    ├── PoemError              a poem that was asked for cannot be: names the wish, and what could be asked instead
    ├── HubError               a download that failed, with the way out when offline
    ├── TrainingError          a run that cannot go on: non-finite loss, nothing to train on
    ├── GenerationError        a text that cannot go on: no token is allowed
    └── BackendUnavailable     an optional package is missing: says which `pip install` brings it

A message says what was expected, what came, where, and what to do. Mistakes of plm itself are assertions.
"""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Iterable
from types import ModuleType


class PlmError(Exception):
    """Base of all errors raised on purpose."""


class ConfigError(PlmError, ValueError):
    """A config value, name or type is wrong."""


class UnknownNameError(PlmError, KeyError):
    """A name is not registered. The message lists what is."""

    def __str__(self) -> str:  # KeyError would print the repr of the message
        return str(self.args[0]) if self.args else ""


class ShapeError(PlmError, ValueError):
    """Tensors do not fit together."""


class CheckpointError(PlmError):
    """A checkpoint is damaged, hostile, incomplete, or not of the model asked for."""


class TokenizerError(PlmError, ValueError):
    """A vocabulary file or an input of a tokenizer cannot be used."""


class DataError(PlmError, ValueError):
    """A data file is not what was declared."""


class PoemError(PlmError, ValueError):
    """A wish for a poem cannot be met: form, order, rhyme, given characters."""


class HubError(PlmError, OSError):
    """A model could not be fetched."""


class TrainingError(PlmError, RuntimeError):
    """Training cannot start or go on."""


class GenerationError(PlmError, RuntimeError):
    """A text cannot be continued as it was asked for."""


class BackendUnavailable(PlmError, ImportError):
    """An optional package is not installed."""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """`"; did you mean 'x'?"` for the nearest of `known`, or an empty string."""
    near = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f"; did you mean {near[0]!r}?" if near else ""


def optional_import(module: str, *, extra: str, purpose: str) -> ModuleType:
    """Import a package that plm does not require.

    extra: the extra of plm that brings it, as in `pip install "plm[extra]"`.
    purpose: what it is needed for, put into the message.
    Raises BackendUnavailable with the pip line when it is missing.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise BackendUnavailable(
            f'{purpose} needs the package {module.split(".")[0]!r}: pip install "plm[{extra}]"'
        ) from error
