"""What tells one model, file or folder from another, in records of stages: 16 hexadecimal digits of the content."""

from __future__ import annotations

import hashlib
from pathlib import Path

from plm.config import to_dict
from plm.data.fingerprint import digest
from plm.heads.model import Model
from plm.models.config import ModelConfig


def weights_digest(model: Model) -> str:
    """Of config and weights, heads included."""
    return digest([config_digest(model.config), dict(model.state_dict())])


def backbone_digest(model: Model) -> str:
    """Of the backbone's weights alone."""
    return digest(dict(model.backbone.state_dict()))


def config_digest(config: ModelConfig) -> str:
    """Of every field."""
    return digest([config.model_type, to_dict(config)])


def content_digest(path: Path) -> str:
    """Of a file, or of all files in a folder with their names."""
    files = sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else [path]
    told = hashlib.sha256()
    for file in files:
        with file.open("rb") as opened:
            content = hashlib.file_digest(opened, "sha256").hexdigest()
        told.update(f"{file.relative_to(path)} {content}\n".encode())
    return told.hexdigest()[:16]


def told_apart(name: str) -> str:
    """A file or folder by its name and size, and anything else by its name: for gigabytes that nobody wants to read."""
    path = Path(name)
    if not path.exists():
        return name
    files = [path] if path.is_file() else [file for file in path.glob("*") if file.is_file()]
    return f"{name} ({sum(file.stat().st_size for file in files)} bytes)"
