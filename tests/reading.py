"""Questions of our own, in the formats of SQuAD and CMRC, and outputs of a model that is not there."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch

from plm.data.features.question_answering import Window
from plm.data.squad import Question
from plm.tasks.question_answering import QuestionAnswering
from plm.tasks.spans import SpanLogits
from plm.tokenizers import Tokenizer, load_tokenizer

GOLDEN = Path(__file__).parent / "tasks" / "data"
VOCABULARIES = Path(__file__).parent / "tokenizers" / "data"

CONTEXT = "The old mill stands by the river. The mill was built in 1790, and it burned in 1812."


def uncased() -> Tokenizer:
    """The uncased WordPiece of Google's BERT."""
    return load_tokenizer(VOCABULARIES / "bert-base-uncased-vocab.txt")


def chinese() -> Tokenizer:
    """The Chinese WordPiece of Google's BERT."""
    return load_tokenizer(VOCABULARIES / "bert-base-chinese-vocab.txt")


def question(context: str = CONTEXT, *answers: tuple[str, int], **changes: Any) -> dict[str, Any]:
    """One article with one question, in the format of SQuAD."""
    gold = [{"text": text, "answer_start": start} for text, start in answers]
    entry = {"id": "q1", "question": "When was it built?", "answers": gold} | changes
    return {"title": "Mill", "paragraphs": [{"context": context, "qas": [entry]}]}


def write(path: Path, *articles: dict[str, Any]) -> Path:
    """A file in the format of SQuAD."""
    path.write_text(json.dumps({"version": "1.1", "data": list(articles)}), encoding="utf-8")
    return path


def results(
    task: QuestionAnswering, windows: Sequence[Window], score: Callable[[int, int], tuple[float, float]]
) -> dict[int, SpanLogits]:
    """What a task keeps of a model. score: (window, position) -> its logits as start and as end."""
    kept: dict[int, SpanLogits] = {}
    for window in windows:
        pairs = [score(window.index, place) for place in range(len(window.input_ids))]
        starts, ends = torch.tensor(pairs, dtype=torch.float64).T.unsqueeze(1)
        batch = {"index": torch.tensor([window.index])}
        kept |= task.results(batch, SimpleNamespace(start_logits=starts, end_logits=ends))
    return kept


def by_formula(window: int, place: int) -> tuple[float, float]:
    """The logits of the golden files."""
    return round(5 * math.sin(1 + 0.37 * window + 1.3 * place), 4), round(
        5 * math.cos(2 + 0.53 * window + 1.1 * place), 4
    )


def answered(asked: Sequence[Question]) -> list[Question]:
    """Those that have an answer."""
    return [one for one in asked if one.answers]


def plain(value: Any) -> Any:
    """Dataclasses and arrays as what can be compared."""
    if dataclasses.is_dataclass(value):
        return [plain(getattr(value, field.name)) for field in dataclasses.fields(value)]
    return value.tolist() if isinstance(value, np.ndarray) else value
