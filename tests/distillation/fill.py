"""Tiny masked language models for tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from plm.auto.model import PretrainedModel
from plm.auto.models import AutoModelForMaskedLM
from plm.tokenizers import Tokenizer, load_tokenizer
from tests.tiny_folders import tiny_folder


def tiny_masked_lm(folder: Path, family: str = "bert", **changes: Any) -> tuple[PretrainedModel, Tokenizer]:
    """A random model that fills in words, in evaluation mode, and its tokenizer."""
    path = tiny_folder(folder / family, family, "masked_lm", **{"max_position_embeddings": 64, **changes})
    return AutoModelForMaskedLM.from_pretrained(path), load_tokenizer(path)
