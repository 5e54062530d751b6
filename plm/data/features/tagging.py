"""Tagged sentences to token ids, piece by piece, with a class for every word; long ones in windows, none is cut off."""

from __future__ import annotations

import logging
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, chain, pairwise
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from plm.blocks.labels import IGNORED_LABEL
from plm.data.collate import pad_sequences
from plm.data.conll import TaggedText
from plm.errors import ConfigError, DataError
from plm.tokenizers import Tokenizer

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class TagFeature:
    """A sentence, or a window of a long one, as a model sees it, unpadded.

    token_type_ids, labels: as long as input_ids. labels: the class of each token, -100 = not counted; None = unknown.
    bounds: word number i of those that this window decides has the tokens bounds[i] to bounds[i + 1] - 1. The windows
        of a sentence decide every word once, in order; other words are there as context.
    example: which example the words are of. index: which feature this is.
    """

    input_ids: list[int]
    token_type_ids: list[int] | None
    labels: list[int] | None
    bounds: list[int]
    example: int
    index: int


class Window(NamedTuple):
    """Words first to stop - 1, of which those from `decides` to `until` - 1 get their tags here."""

    first: int
    stop: int
    decides: int
    until: int


def encode_words(
    examples: Sequence[TaggedText],
    tokenizer: Tokenizer,
    *,
    classes: Sequence[Sequence[int]] | None,
    max_length: int,
    label_all_pieces: bool = False,
    overlap: int = 64,
    source: str = "examples",
) -> list[TagFeature]:
    """Features of sentences, those of one side by side, in order.

    classes: of each word of each sentence, -100 = not counted; None = for prediction.
    max_length: tokens of a feature, special ones included; longer sentences become several windows.
    label_all_pieces: True = every piece of a word carries its class, False = the first alone.
    overlap: tokens that a window shares with the one before, at most half of it; each decides half of those words.
    A word of which the tokenizer leaves nothing (control characters) becomes the unknown token. Of a word that no
    window holds, such as a long address, the first pieces are kept, and a warning says so.
    Raises DataError naming the line of a sentence without words, ConfigError for a max_length without room.
    """
    pieces = _pieces(examples, tokenizer, source)
    before, after = _frame(tokenizer)
    room = max_length - len(before) - len(after)
    if room < 1 or overlap < 0:
        raise ConfigError(
            f"expected max_length with room for more than {len(before) + len(after)} special tokens and overlap from "
            f"0, got {max_length} and {overlap}"
        )
    _warn_of_long_words(pieces, room, source)
    features: list[TagFeature] = []
    with tqdm(total=len(examples), desc="encoding", unit="text", disable=None, delay=2, leave=False) as bar:
        for number, example in enumerate(examples):
            if not example.words:
                raise DataError(f"{source}, line {example.line}: the sentence has no words")
            parts = [pieces[word][:room] for word in example.words]
            sizes = [len(part) for part in parts]
            for window in windows(sizes, room=room, overlap=min(overlap, room // 2)):
                ids = [*before, *chain.from_iterable(parts[window.first : window.stop]), *after]
                starts = list(accumulate(sizes[window.first : window.stop], initial=len(before)))
                bounds = starts[window.decides - window.first : window.until - window.first + 1]
                labels = None
                if classes is not None:
                    decided = classes[number][window.decides : window.until]
                    labels = _labels(len(ids), bounds, decided, label_all_pieces)
                types = [0] * len(ids) if tokenizer.is_wordpiece else None
                features.append(TagFeature(ids, types, labels, bounds, number, len(features)))
            bar.update()
    return features


def pad_words(features: Sequence[TagFeature], *, pad_token_id: int) -> dict[str, Tensor]:
    """The tensors of one batch, padded on the right to its longest feature.

    Returns, each (batch, length), int64: input_ids, attention_mask (1 = token), token_type_ids for models that have
    them, labels (-100 = not counted) if all features have them; and index, (batch,).
    Raises DataError for an empty batch, or when only some features have labels.
    """
    if not features:
        raise DataError("a batch needs at least one feature")
    lengths = np.array([len(feature.input_ids) for feature in features])
    input_ids = pad_sequences([feature.input_ids for feature in features], value=pad_token_id)
    live = np.arange(input_ids.shape[1]) < lengths[:, None]
    batch = {"input_ids": input_ids, "attention_mask": torch.from_numpy(live.astype(np.int64))}
    types = [feature.token_type_ids for feature in features if feature.token_type_ids is not None]
    labels = [feature.labels for feature in features if feature.labels is not None]
    if types:
        batch["token_type_ids"] = pad_sequences(types, value=0)
    if labels:
        if len(labels) != len(features):
            raise DataError(f"{len(labels)} of {len(features)} features in a batch have labels; all or none must")
        batch["labels"] = pad_sequences(labels, value=IGNORED_LABEL)
    batch["index"] = torch.tensor([feature.index for feature in features])
    return batch


def windows(sizes: Sequence[int], *, room: int, overlap: int) -> list[Window]:
    """Windows of whole words that together decide every word once; one where everything fits.

    sizes: tokens of each word, none more than room. room: tokens of a window. overlap: tokens that neighbours share, as
    far as whole words allow; the words shared are decided half by the one, half by the other, where each has context.
    """
    ends = list(accumulate(sizes, initial=0))
    bounds = [(0, _last_fitting(ends, 0, room))]
    while bounds[-1][1] < len(sizes):
        first, stop = bounds[-1]
        back = next(word for word in range(first + 1, stop + 1) if ends[stop] - ends[word] <= overlap)
        while ends[stop + 1] - ends[back] > room:  # the next word must fit, or the window would decide nothing
            back += 1
        bounds.append((back, _last_fitting(ends, back, room)))
    middles = [(later[0] + earlier[1] + 1) // 2 for earlier, later in pairwise(bounds)]
    decided = pairwise([0, *middles, len(sizes)])
    return [Window(*span, *between) for span, between in zip(bounds, decided, strict=True)]


def _last_fitting(ends: Sequence[int], first: int, room: int) -> int:
    """One past the last word of a window that begins with word `first`. ends: tokens before each word, and in all."""
    return bisect_right(ends, ends[first] + room) - 1


def _labels(length: int, bounds: Sequence[int], classes: Sequence[int], all_pieces: bool) -> list[int]:
    labels = [IGNORED_LABEL] * length
    for (start, end), number in zip(pairwise(bounds), classes, strict=True):
        labels[start : end if all_pieces else start + 1] = [number] * (end - start if all_pieces else 1)
    return labels


def _pieces(examples: Sequence[TaggedText], tokenizer: Tokenizer, source: str) -> dict[str, list[int]]:
    """Ids of every distinct word. Words are tokenized each for itself anyway, and most occur many times."""
    words = list(dict.fromkeys(word for example in examples for word in example.words))
    rows, _ = tokenizer.encode_batch_ids(words, add_special_tokens=False)
    pieces = dict(zip(words, rows, strict=True))
    unknown = tokenizer.unk_token_id
    for word in words:
        if not pieces[word]:
            if unknown is None:
                raise DataError(
                    f"{source}: the tokenizer makes nothing of {word!r} and has no unknown token; remove it"
                )
            pieces[word] = [unknown]
    return pieces


def _frame(tokenizer: Tokenizer) -> tuple[list[int], list[int]]:
    """Ids of the special tokens before and after a text."""
    probe = tokenizer(["a"], is_split_into_words=True)
    ids, words = probe["input_ids"], probe.word_ids()
    first, count = words.index(0), words.count(0)
    return ids[:first], ids[first + count :]


def _warn_of_long_words(pieces: Mapping[str, Sequence[int]], room: int, source: str) -> None:
    long = [word for word, ids in pieces.items() if len(ids) > room]
    if long:
        _log.warning(
            "%s: %d words have more than the %d pieces that fit into a window and are cut; the first is %.60r",
            source,
            len(long),
            room,
            long[0],
        )
