"""Checkpoints that are known to exist: inside the package, and on the Hugging Face hub. Imports no torch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

from plm.config import from_dict, read_json

# Names of models inside the package begin so.
EMBEDDED = "plm/"

# What the config of GPT-1 calls fields.
GPT1_NAMES = {"n_layer": "num_hidden_layers", "n_embd": "hidden_size"}


@dataclass(frozen=True, kw_only=True)
class KnownModel:
    """A checkpoint by the name that `from_pretrained` takes.

    model_type: the family in FAMILIES. language: ISO 639-1, or "multilingual"; None = not told.
    licence: SPDX name, as its owner states it; None = look there before use.
    """

    name: str
    model_type: str
    num_hidden_layers: int
    hidden_size: int
    language: str | None = None
    licence: str | None = None

    @property
    def is_embedded(self) -> bool:
        """True = it lies inside the package, nothing is downloaded."""
        return self.name.startswith(EMBEDDED)


def known_models() -> tuple[KnownModel, ...]:
    """All of them, those inside the package first.

    Embedded models take sizes from their config and the rest from the list, where they are in it.
    """
    source = _path(resources.files("plm.configs") / "known_models.json")
    listed = [from_dict(KnownModel, row, source=str(source)) for row in read_json(source)["models"]]
    by_name = {model.name: model for model in listed}
    return (*_embedded(by_name), *(model for model in listed if not model.is_embedded))


def _embedded(listed: dict[str, KnownModel]) -> Iterator[KnownModel]:
    shelf = resources.files("plm") / "assets"
    for folder in sorted(shelf.iterdir(), key=lambda entry: entry.name) if shelf.is_dir() else ():
        if (folder / "config.json").is_file():
            yield _from_config(EMBEDDED + folder.name, read_json(_path(folder / "config.json")), listed)


def _from_config(name: str, config: dict[str, Any], listed: dict[str, KnownModel]) -> KnownModel:
    values = {GPT1_NAMES.get(key, key): value for key, value in config.items()}
    sizes = {key: values[key] for key in ("model_type", "num_hidden_layers", "hidden_size")}
    told = listed.get(name)
    facts = {} if told is None else {"language": told.language, "licence": told.licence}
    return from_dict(KnownModel, {"name": name, **sizes, **facts}, source=f"{name}/config.json")


def _path(entry: Traversable) -> Path:
    """Packages with data are installed as folders, never as archives."""
    return Path(str(entry))
