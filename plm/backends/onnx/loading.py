"""Opens models for the onnx backend: checkpoints of any layout, and what `plm export --to onnx` wrote."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from plm.backends.eager import load_trained
from plm.backends.onnx.forms import DATA_FILE, Form, files
from plm.backends.onnx.growing import OnnxEngine
from plm.backends.onnx.runner import OnnxRunner
from plm.backends.onnx.sessions import FAILURES, Sessions, open_session
from plm.checkpoints.exported import Exported, require_backend
from plm.checkpoints.store import read_config_file
from plm.errors import CheckpointError, ConfigError
from plm.heads.engine import require_causal
from plm.heads.several import settle
from plm.models.config import ModelConfig

BACKEND = "onnx"

BLOCK = 1 << 20
"""Numbers that are looked at together."""


def load_onnx(folder: Path, head: str | None, dtype: str) -> OnnxRunner:
    """A runner for a checkpoint of any known layout, whose graphs are written in memory, or for an exported folder.

    dtype: "float32", or "int8" for weights of eight bits; an exported folder has been given its own.
    Raises CheckpointError when the head is not stored, ConfigError for another dtype, BackendUnavailable without
    onnxruntime.
    """
    config, sessions = _open(folder, head, dtype)
    return OnnxRunner(config, sessions)


def load_onnx_engine(folder: Path, dtype: str) -> OnnxEngine:
    """What goes on with texts; errors as of load_onnx, and ConfigError for a model that sees what comes after."""
    config, sessions = _open(folder, "causal_lm", dtype)
    require_causal(config)
    return OnnxEngine(config, sessions)


class StoredSessions:
    """Sessions over the files of an exported folder, each opened when it is first asked for; see Sessions."""

    def __init__(self, folder: Path, entry: Exported, config: ModelConfig) -> None:
        kind = entry.kinds[0] if entry.kinds else None
        self._folder = folder
        self._files = files(kind, is_causal=config.attention_pattern == "causal", has_types=config.type_vocab_size > 0)
        self._open: dict[Form, Any] = {}

    def get(self, form: Form) -> Any:
        """See Sessions. Raises CheckpointError for a form that was not exported, and for damaged or foreign files."""
        if form not in self._open:
            name = self._files.get(form)
            if name is None or not (self._folder / name).is_file():
                missing = name or f"a graph for {form.kind} texts"
                raise CheckpointError(
                    f"{self._folder}: was exported without {missing}: load the checkpoint that it was made of"
                )
            self._open[form] = self._opened(self._folder / name, form)
        return self._open[form]

    def _opened(self, file: Path, form: Form) -> Any:
        """onnxruntime itself reads no weights from outside of the folder, and knows no operators but its own."""
        try:
            session = open_session(str(file))
        except FAILURES as error:
            raise CheckpointError(f"{file}: cannot be opened ({error}); export it anew") from error
        taken = [value.name for value in session.get_inputs()]
        if "input_ids" not in taken or ("token_type_ids" in taken) != form.types:
            raise CheckpointError(f"{file}: is another program than plm writes, for it takes {', '.join(taken)}")
        return session


def _open(folder: Path, head: str | None, dtype: str) -> tuple[ModelConfig, Sessions]:
    entry = require_backend(folder, BACKEND)
    if entry is None:
        from plm.backends.onnx.exporting import BuiltSessions  # needs the package onnx, which exported folders do not

        model = load_trained(folder, head, "float32")
        return model.config, BuiltSessions(model, dtype="float32" if dtype == "auto" else dtype)
    if dtype not in ("auto", "float32", entry.dtype):
        raise ConfigError(f"dtype: {folder} was exported with {entry.dtype}, got {dtype!r}")
    plans = entry.plans
    if head is None and plans:
        raise CheckpointError(f"{folder}: was exported with the head {next(iter(plans))!r}, not as hidden states")
    if entry.dtype == "float32":
        _refuse_non_finite(folder / DATA_FILE)
    name = None if head is None else entry.name_of(head, folder=folder)
    config, _ = settle(read_config_file(folder), {} if name is None else {name: plans[name]})
    return config, StoredSessions(folder, entry, config)


def _refuse_non_finite(file: Path) -> None:
    """Raise CheckpointError for NaN and infinity in a file of float32; what is missing of it, onnxruntime says."""
    count = file.stat().st_size // 4 if file.is_file() else 0
    held = np.memmap(file, np.float32, mode="r", shape=(count,)) if count else np.zeros(0, np.float32)
    if not all(np.isfinite(held[start : start + BLOCK]).all() for start in range(0, count, BLOCK)):
        raise CheckpointError(f"{file}: NaN or infinity among the weights: the file is damaged; export it anew")
