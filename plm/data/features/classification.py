"""Texts and pairs to token ids with one target each: classification, regression, several labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from tqdm import tqdm

from plm.data.labels import LabelSet, Target
from plm.data.readers import Example
from plm.errors import ConfigError, DataError


class TextEncoder(Protocol):
    """The part of a tokenizer that features need."""

    def encode_batch_ids(
        self, texts: Sequence[str], pairs: Sequence[str] | None = None, *, max_length: int | None = None
    ) -> tuple[list[list[int]], list[list[int]] | None]:
        """Token ids with special tokens, and token types (None for models without); unpadded, cut to max_length."""
        ...


@dataclass(frozen=True, slots=True)
class Feature:
    """An example as a model sees it, unpadded.

    token_type_ids: as long as input_ids; None for models without token types.
    label: class index, score, or a 0.0 or 1.0 for each class; None = unlabelled.
    index: position of its example in the list of examples, so that predictions find their way back.
    """

    input_ids: list[int]
    token_type_ids: list[int] | None
    label: Target | None
    index: int


def encode_examples(
    examples: Sequence[Example],
    tokenizer: TextEncoder,
    *,
    labels: LabelSet | None,
    max_length: int,
    source: str = "examples",
    chunk_size: int = 1000,
) -> list[Feature]:
    """One feature for each example, in the same order.

    labels: None = leave labels out, as for prediction.
    max_length: tokens at most, special ones included; longer texts are cut.
    source: the file of the examples, for messages. chunk_size: texts that the tokenizer gets at a time.
    Shows a progress bar on a terminal after two seconds.
    Raises DataError for labels that do not fit, or when only some have a pair; ConfigError for a max_length that leaves
    nothing of the texts.
    """
    if max_length < 1:
        raise ConfigError(f"max_length: expected a positive number of tokens, got {max_length}")
    require_room(tokenizer, max_length, pairs=any(example.pair is not None for example in examples))
    targets = [None] * len(examples) if labels is None else labels.encode(examples, source=source)
    features: list[Feature] = []
    with tqdm(total=len(examples), desc="encoding", unit="text", disable=None, delay=2, leave=False) as bar:
        for start in range(0, len(examples), chunk_size):
            chunk = examples[start : start + chunk_size]
            texts, pairs = [example.text for example in chunk], _pairs(chunk, source)
            ids, types = tokenizer.encode_batch_ids(texts, pairs, max_length=max_length)
            for offset, row in enumerate(ids):
                index = start + offset
                features.append(Feature(row, types[offset] if types else None, targets[index], index))
            bar.update(len(chunk))
    return features


def require_room(tokenizer: TextEncoder, max_length: int, *, pairs: bool) -> None:
    """Raise ConfigError when max_length is taken by special tokens alone. pairs: True = those around two texts."""
    (specials,), _ = tokenizer.encode_batch_ids([""], [""] if pairs else None)
    needed = len(specials) + (2 if pairs else 1)
    if max_length < needed:
        raise ConfigError(
            f"max_length: expected at least {needed} tokens, {len(specials)} of them special, got {max_length}"
        )


def _pairs(examples: Sequence[Example], source: str) -> list[str] | None:
    pairs = [example.pair for example in examples]
    given = [pair for pair in pairs if pair is not None]
    if given and len(given) != len(pairs):
        lonely = next(example.line for example in examples if example.pair is None)
        raise DataError(f"{source}, line {lonely}: has no second text, but others have; all or none must be pairs")
    return given or None
