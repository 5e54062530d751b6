"""A model that a backend computes, asked like a PretrainedModel. Imports no torch."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from plm.auto.choosing import open_runner
from plm.backends.runner import Arrays, Runner
from plm.errors import ConfigError, DataError, ShapeError

if TYPE_CHECKING:
    from plm.models.config import ModelConfig

Array = np.ndarray[Any, Any]


class BackendOutput:
    """Named outputs, readable as attributes, by key and by position, as those of a Model."""

    def __init__(self, fields: Mapping[str, Any]) -> None:
        self._fields = dict(fields)

    def keys(self) -> list[str]:
        """Names of the fields."""
        return list(self._fields)

    def to_tuple(self) -> tuple[Any, ...]:
        """Values of the fields, in order."""
        return tuple(self._fields.values())

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or name not in self._fields:
            raise AttributeError(f"{name!r} is not among the outputs {self.keys()}")
        return self._fields[name]

    def __getitem__(self, key: str | int | slice) -> Any:
        if not isinstance(key, str):
            return self.to_tuple()[key]
        if key not in self._fields:
            raise KeyError(f"{key!r} is not among the outputs {self.keys()}")
        return self._fields[key]

    def __contains__(self, key: object) -> bool:
        return key in self._fields

    def __iter__(self) -> Iterator[str]:
        return iter(self._fields)

    def __repr__(self) -> str:
        shapes = ", ".join(f"{name}={tuple(value.shape)}" for name, value in self._fields.items())
        return f"{type(self).__name__}({shapes})"


class BackendModel:
    """What `from_pretrained(..., backend=...)` returns for any backend but "torch": it predicts, and does nothing else.

    runner: computes; it also takes packed texts, if it says so. backend: its name in BACKENDS.
    """

    def __init__(self, runner: Runner, *, backend: str) -> None:
        self.runner = runner
        self.backend = backend

    @classmethod
    def open(cls, folder: Path, head: str | None, *, backend: str, dtype: str) -> BackendModel:
        """The model of a folder; see open_runner."""
        return cls(open_runner(folder, head, backend=backend, dtype=dtype), backend=backend)

    @property
    def config(self) -> ModelConfig:
        """That of the model."""
        return self.runner.config

    def __call__(
        self, input_ids: Any, attention_mask: Any = None, token_type_ids: Any = None, **others: Any
    ) -> BackendOutput:
        """Predict one batch.

        input_ids: (batch, length) whole numbers, (batch, choices, length) for models that choose; attention_mask and
            token_type_ids alike, None = no padding, and types of 0.
        Tensors of torch give tensors, on the device of input_ids; arrays and lists give arrays. All float32, with the
        names and shapes of a Model's outputs.
        Raises ConfigError for labels and whatever else only a Model takes, and what the runner says of shapes and ids.
        """
        if unknown := [name for name, value in others.items() if value is not None]:
            raise ConfigError(
                f"{unknown[0]}: a model of the backend {self.backend!r} predicts, from input_ids, attention_mask and "
                'token_type_ids alone; losses, taps and caches are had with backend="torch"'
            )
        given = {"input_ids": input_ids, "attention_mask": attention_mask, "token_type_ids": token_type_ids}
        batch = {name: _as_array(name, value) for name, value in given.items() if value is not None}
        output = self.runner.run(batch)
        if not _is_tensor(input_ids):
            return BackendOutput(output)
        return BackendOutput(_as_tensors(output, input_ids.device))

    def __repr__(self) -> str:
        return f"{type(self).__name__}(backend={self.backend!r})"


def _is_tensor(value: Any) -> bool:
    torch = sys.modules.get("torch")  # whoever has a tensor has imported it
    return torch is not None and isinstance(value, torch.Tensor)


def _as_array(name: str, value: Any) -> Array:
    try:
        array = value.detach().cpu().numpy() if _is_tensor(value) else np.asarray(value)
    except ValueError as error:
        raise ShapeError(f"{name}: its rows differ in length: fill them up, and say where in attention_mask") from error
    if array.dtype.kind not in "biu":
        raise DataError(f"{name}: expected whole numbers, got {array.dtype}")
    return array.astype(np.int64, copy=False)


def _as_tensors(output: Arrays, device: Any) -> dict[str, Any]:
    import torch

    return {
        name: torch.from_numpy(array if array.flags.writeable else array.copy()).to(device)
        for name, array in output.items()
    }
