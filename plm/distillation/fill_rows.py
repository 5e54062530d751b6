"""Texts with words to fill in, as rows for a masked language model.

A row is `[CLS] text with a mask [SEP] text as it is [SEP]`, as TinyBERT's augmentation asks it (Jiao et al. 2020,
algorithm 1, and the upstream code). There are two ways to ask for several words of a text:

    Apart      A row for every word, as upstream: exact, and the longer the text, the dearer.
    Together   A row for all words. Behind the text, given twice with nothing hidden, stands a mask for each word, at
               its position. It sees the row without the word in the first copy, and nothing else sees it. The
               difference: what stands around it has seen the word in both copies, not in the second one alone.
"""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from plm.blocks.labels import IGNORED_LABEL
from plm.blocks.layout import Padded
from plm.data.collate import pad_sequences
from plm.errors import TokenizerError
from plm.tokenizers import Tokenizer

Ids = list[int]

# [CLS] and two [SEP].
_FRAME = 3


@dataclass(frozen=True, slots=True)
class Blank:
    """A word to fill in. text, word: its place in what was asked; first, last: its tokens, the last one excluded."""

    text: int
    word: int
    first: int
    last: int

    @property
    def size(self) -> int:
        """Tokens, and so masks."""
        return self.last - self.first


@dataclass(frozen=True, slots=True)
class Row:
    """One row: `window`, the tokens of a text from number `start` on, and the words in it that are to be filled in."""

    window: Ids
    start: int
    blanks: tuple[Blank, ...]

    @property
    def masks(self) -> int:
        """Masked positions."""
        return sum(blank.size for blank in self.blanks)

    @property
    def framed(self) -> int:
        """Tokens of the window, given twice and framed."""
        return 2 * len(self.window) + _FRAME

    def places(self, blank: Blank) -> slice:
        """Where a word stands in the first copy."""
        return slice(1 + blank.first - self.start, 1 + blank.last - self.start)


@dataclass(frozen=True, kw_only=True)
class Frame:
    """The ids of special tokens. has_types: True = the model tells the two copies apart."""

    cls: int
    sep: int
    mask: int
    pad: int
    has_types: bool

    @classmethod
    def of(cls, tokenizer: Tokenizer, *, has_types: bool) -> Frame:
        """Raises TokenizerError for a vocabulary that lacks one of them; padding may be missing."""
        roles = {"cls": tokenizer.cls_token_id, "sep": tokenizer.sep_token_id, "mask": tokenizer.mask_token_id}
        ids = {role: id_ for role, id_ in roles.items() if id_ is not None}
        if missing := [role for role in roles if role not in ids]:
            raise TokenizerError(
                f"the vocabulary has no {' or '.join(missing)} token; only models such as BERT can fill in words"
            )
        return cls(**ids, pad=tokenizer.pad_token_id or 0, has_types=has_types)

    def around(self, window: Ids) -> Ids:
        """[CLS] window [SEP] window [SEP]."""
        return [self.cls, *window, self.sep, *window, self.sep]

    def batch(self, rows: Sequence[Ids], labels: Sequence[Ids], seconds: Sequence[slice]) -> dict[str, Tensor]:
        """The tensors of a batch, each (rows, longest); seconds: where the second copy stands in each row."""
        batch = {
            "input_ids": pad_sequences(rows, value=self.pad),
            "labels": pad_sequences(labels, value=IGNORED_LABEL),
        }
        if self.has_types:
            batch["token_type_ids"] = torch.zeros_like(batch["input_ids"])
            for types, second in zip(batch["token_type_ids"], seconds, strict=True):
                types[second] = 1
        return batch


class Passes(Protocol):
    """How the words of a text are shared out among rows, and what a batch of these is to the model.

    max_length: tokens of a row.
    """

    @property
    def max_length(self) -> int: ...

    def rows(self, blanks: Iterable[Blank], texts: Sequence[Ids]) -> Iterator[Row]:
        """The rows that ask for all blanks, but for those too long for any window."""
        ...

    def length(self, row: Row) -> int:
        """Tokens that the model sees."""
        ...

    def inputs(self, rows: Sequence[Row], device: torch.device) -> dict[str, Any]:
        """What Model.forward takes; labels mark the masks, row by row in the order of the blanks."""
        ...


@dataclass(frozen=True)
class Apart:
    """A row for every word. max_length: tokens of a row; of a longer text, a window around the word is given."""

    frame: Frame
    max_length: int

    def rows(self, blanks: Iterable[Blank], texts: Sequence[Ids]) -> Iterator[Row]:
        """See Passes."""
        for window, start, inside in _windows(blanks, texts, (self.max_length - _FRAME) // 2):
            yield from (Row(window, start, (blank,)) for blank in inside)

    def length(self, row: Row) -> int:
        """See Passes."""
        return row.framed

    def inputs(self, rows: Sequence[Row], device: torch.device) -> dict[str, Any]:
        """See Passes."""
        sequences = [self.frame.around(row.window) for row in rows]
        labels = [[IGNORED_LABEL] * len(ids) for ids in sequences]
        for row, ids, label in zip(rows, sequences, labels, strict=True):
            place = row.places(row.blanks[0])
            label[place] = ids[place]
            ids[place] = [self.frame.mask] * row.masks
        batch = self.frame.batch(sequences, labels, [_second(row) for row in rows])
        lengths = torch.tensor([len(ids) for ids in sequences])
        if int(lengths.min()) < int(lengths.max()):
            batch["attention_mask"] = (torch.arange(int(lengths.max())) < lengths[:, None]).long()
        return {name: tensor.to(device) for name, tensor in batch.items()}


@dataclass(frozen=True)
class Together:
    """A row for all words of a text or window. max_length: tokens of a row, masks included."""

    frame: Frame
    max_length: int

    def rows(self, blanks: Iterable[Blank], texts: Sequence[Ids]) -> Iterator[Row]:
        """See Passes."""
        # A fifth of a row is kept for masks; a short text leaves more.
        for window, start, inside in _windows(blanks, texts, (self.max_length - _FRAME) * 2 // 5):
            room = self.max_length - _FRAME - 2 * len(window)
            yield from (Row(window, start, group) for group in _groups(inside, room))

    def length(self, row: Row) -> int:
        """See Passes."""
        return row.framed + row.masks

    def inputs(self, rows: Sequence[Row], device: torch.device) -> dict[str, Any]:
        """See Passes."""
        longest = max(map(self.length, rows))
        sequences = [self.frame.around(row.window) + [self.frame.mask] * row.masks for row in rows]
        labels = [[IGNORED_LABEL] * len(ids) for ids in sequences]
        positions = np.tile(np.arange(longest), (len(rows), 1))
        allowed = np.zeros((len(rows), longest, longest), dtype=bool)
        for number, (row, ids, label) in enumerate(zip(rows, sequences, labels, strict=True)):
            allowed[number, :, : row.framed] = True
            masks = row.framed
            for blank in row.blanks:
                own, asked = row.places(blank), slice(masks, masks + blank.size)
                label[asked] = ids[own]
                positions[number, asked] = positions[number, own]
                allowed[number, asked, own] = False
                allowed[number, asked, asked] = True
                masks = asked.stop
            positions[number, masks:] = 0
        batch = self.frame.batch(sequences, labels, [_second(row) for row in rows])
        seen = torch.from_numpy(allowed).to(device)
        layout = Padded.build(batch=len(rows), length=longest, attention_mask=seen, device=device)
        layout = dataclasses.replace(layout, positions=torch.from_numpy(positions).to(device))
        return {name: tensor.to(device) for name, tensor in batch.items()} | {"layout": layout}


def find_blanks(
    text: int, offsets: Sequence[tuple[int, int]], is_whole: NDArray[np.bool_], spans: Iterable[tuple[int, int]]
) -> Iterator[Blank]:
    """The words of a text that are one or more whole tokens.

    offsets: of the tokens, in characters. is_whole: (tokens,), False = a piece of a word, or unknown. spans: the words.
    """
    first_at = {start: token for token, (start, _) in reversed(list(enumerate(offsets)))}
    last_at = {end: token + 1 for token, (_, end) in enumerate(offsets)}
    for word, (start, end) in enumerate(spans):
        first, last = first_at.get(start), last_at.get(end)
        if first is not None and last is not None and is_whole[first:last].all():
            yield Blank(text, word, first, last)


def _windows(blanks: Iterable[Blank], texts: Sequence[Ids], width: int) -> Iterator[tuple[Ids, int, tuple[Blank, ...]]]:
    """At most `width` tokens of a text, the first one's number, and the words asked for there."""
    asked: dict[tuple[int, int], list[Blank]] = defaultdict(list)
    for blank in blanks:
        start = _start(blank, len(texts[blank.text]), width)
        if start <= blank.first and blank.last <= start + width:
            asked[blank.text, start].append(blank)
    for (text, start), inside in asked.items():
        yield texts[text][start : start + width], start, tuple(inside)


def _start(blank: Blank, length: int, width: int) -> int:
    """Where the window around a word starts: by half widths, so that words share windows, and far from its edges."""
    step = max(1, width // 2)
    centred = (blank.first + blank.last - width) // 2
    return max(0, min((centred + step // 2) // step * step, length - width))


def _groups(blanks: Sequence[Blank], room: int) -> Iterator[tuple[Blank, ...]]:
    """As many words together as there is room for their masks."""
    group: list[Blank] = []
    for blank in blanks:
        if group and sum(one.size for one in group) + blank.size > room:
            yield tuple(group)
            group = []
        group.append(blank)
    yield tuple(group)


def _second(row: Row) -> slice:
    """Where the second copy stands, its [SEP] included."""
    return slice(len(row.window) + 2, row.framed)
