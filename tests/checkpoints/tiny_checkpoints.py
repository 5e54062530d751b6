"""Small checkpoints whose tensors and config a test changes before they are read."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from plm.checkpoints.formats import safetensors
from plm.checkpoints.saving import TARGETS, config_content, model_tensors
from plm.config import write_json
from plm.heads.model import Model
from tests.tiny_models import tiny_model

TARGET = TARGETS.get("huggingface")


def stored_tensors(family: str = "bert", *heads: str, **changes: Any) -> dict[str, Tensor]:
    """The tensors of a random model under the names of transformers."""
    return model_tensors(tiny_model(family, *heads, **changes), TARGET, "huggingface")


def stored_config(family: str = "bert", *heads: str, **changes: Any) -> dict[str, Any]:
    """The config.json of the same model."""
    return config_content(tiny_model(family, *heads, **changes), TARGET, "huggingface")


def put(folder: Path, tensors: Mapping[str, Tensor], config: Mapping[str, Any] | None) -> Path:
    """Write tensors and a config as they are, and return the folder. config: None = no file."""
    folder.mkdir(parents=True, exist_ok=True)
    safetensors.write(folder, tensors)
    if config is not None:
        write_json(folder / "config.json", config)
    return folder


def assert_same_parameters(first: Model, second: Model) -> None:
    """Both models have the same parameters, bit by bit."""
    ours, theirs = dict(first.named_parameters()), dict(second.named_parameters())
    assert list(ours) == list(theirs)
    for name, parameter in ours.items():
        assert parameter.dtype == theirs[name].dtype, name
        assert parameter.detach().equal(theirs[name].detach()), name
