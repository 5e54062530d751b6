"""Architecture files: sizes of models without weights, of the package or the user's own."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

from plm.errors import ConfigError, did_you_mean


def architecture_file(name: str) -> Path:
    """The config file of an architecture: a path, or the name of one in plm.configs.

    Raises ConfigError listing those.
    """
    if Path(name).is_file():
        return Path(name)
    folder = Path(str(resources.files("plm.configs"))) / "models"
    known = sorted(path.name for path in folder.glob("*.json"))
    if name not in known:
        raise ConfigError(
            f"model: there is no file {name!r}{did_you_mean(name, known)} (architectures of the package: "
            f"{', '.join(known)})"
        )
    return folder / name
