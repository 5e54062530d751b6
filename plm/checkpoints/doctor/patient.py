"""A folder under examination: everything that checks look at, read once and when first asked for."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from plm.checkpoints.exported import Exported, exported_entry
from plm.checkpoints.formats import find_weights
from plm.checkpoints.hub import TOKENIZER_FILES
from plm.checkpoints.loading import fill_model
from plm.checkpoints.report import LoadReport
from plm.checkpoints.store import Checkpoint, find_config, open_checkpoint
from plm.errors import PlmError, TokenizerError
from plm.tokenizers import Tokenizer, load_tokenizer

Severity = Literal["error", "warning", "ok"]
Remark = tuple[Severity, str]


class Patient:
    """What can be known of a folder. Attributes are None where it cannot; `problems` says why, by attribute."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.problems: dict[str, str] = {}

    @cached_property
    def config(self) -> tuple[Mapping[str, Any], str] | None:
        """The config as in its file, and the name of the file."""
        try:
            try:
                container, entry = find_weights(self.folder)
            except PlmError:
                return find_config(self.folder, self.folder / "weights")
            return find_config(self.folder, entry, format_name=container.name)
        except PlmError as error:
            self.problems["config"] = str(error)
            return None

    @cached_property
    def exported(self) -> Exported | None:
        """What the config says of a folder that is no checkpoint, but was exported for a backend."""
        try:
            return exported_entry(self.folder)
        except PlmError as error:
            self.problems["exported"] = str(error)
            return None

    @cached_property
    def checkpoint(self) -> Checkpoint | None:
        """The weights with the table of their names."""
        try:
            return open_checkpoint(self.folder)
        except PlmError as error:
            self.problems["checkpoint"] = str(error)
            return None

    @cached_property
    def loaded(self) -> LoadReport | None:
        """The account of loading a model with every stored head."""
        if self.checkpoint is None:
            return None
        try:
            return fill_model(self.checkpoint, heads=None, dtype=None, device="cpu")[1]
        except PlmError as error:
            self.problems["loaded"] = str(error)
            return None

    @cached_property
    def tokenizer(self) -> Tokenizer | None:
        """The tokenizer; None without a problem when the folder has no files of one."""
        if not any((self.folder / name).is_file() for name in TOKENIZER_FILES):
            return None
        try:
            return load_tokenizer(self.folder)
        except TokenizerError as error:
            self.problems["tokenizer"] = str(error)
            return None

    @property
    def rows(self) -> int | None:
        """Rows of the word embeddings."""
        return None if self.checkpoint is None else self.checkpoint.config.vocab_size
