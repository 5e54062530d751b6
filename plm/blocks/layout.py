"""Where the tokens of a batch lie, and which of them may attend to which.

Hidden states come in one of two layouts. `Padded`: (batch, length, hidden), short sequences filled up. `Packed`:
(tokens, hidden), the live tokens of all sequences one after the other, nothing else. Linear layers and norms treat
both alike; only embeddings (positions), attention and pooling ask the layout.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from plm.blocks.rectangles import Rectangle, rectangles
from plm.errors import ConfigError, ShapeError, did_you_mean

Pattern = Literal["full", "causal", "prefix"]
PATTERNS: tuple[Pattern, ...] = ("full", "causal", "prefix")


@dataclass(frozen=True)
class Padded:
    """Tokens in a rectangle.

    positions: (batch or 1, query), int64, counted from the first live token of each row.
    allowed: bool, broadcastable to (batch, heads, query, key), True = may attend; None = everything may.
    is_causal: True = besides, no query sees keys to its right. Only set when `allowed` is None or about keys alone.
    past: keys that lie before the first query (in a cache); query i stands at key position past + i.
    first, last: (batch,), int64, indices of the first and the last live token among the queries.
    live: (batch, query), bool, which queries are no padding; None = all, or unknown from a mask of pairs.
    """

    positions: Tensor
    allowed: Tensor | None
    is_causal: bool
    past: int
    first: Tensor
    last: Tensor
    live: Tensor | None

    @classmethod
    def build(
        cls,
        *,
        batch: int,
        length: int,
        attention_mask: Tensor | None = None,
        pattern: Pattern = "full",
        prefix_lengths: Tensor | None = None,
        past: int = 0,
        device: torch.device | None = None,
    ) -> Padded:
        """Lay out `batch` rows of `length` new tokens behind `past` cached ones.

        attention_mask: bool or 0/1, one of (batch, past + length): which keys are live; (batch, length, past + length)
            or (batch, heads or 1, length, past + length): who may attend to whom.
        pattern: "full"; "causal": only keys up to the query; "prefix": keys of the prefix, and keys up to the query.
        prefix_lengths: (batch,), int64, live tokens that belong to the prefix; for "prefix" only.
        Raises ShapeError when the mask does not fit, ConfigError for an unknown pattern.
        """
        _check_pattern(pattern)
        keys = past + length
        live = _live_keys(attention_mask, batch=batch, length=length, keys=keys)
        first = torch.zeros(batch, dtype=torch.int64, device=device) if live is None else _first(live)
        allowed, is_causal = _allowed(attention_mask, live), pattern == "causal"
        if pattern == "prefix":
            if prefix_lengths is None:
                raise ShapeError('pattern "prefix" needs prefix_lengths of shape (batch,)')
            allowed = _both(allowed, _prefix_allowed(first + prefix_lengths.to(first), past, length, keys))
        elif is_causal and attention_mask is not None and attention_mask.dim() > 2:
            allowed, is_causal = _both(allowed, causal_allowed(length, keys, past=past, device=device)), False
        queries = torch.arange(past, keys, device=device)
        return cls(
            positions=queries[None] if live is None else (queries[None] - first[:, None]).clamp_(min=0),
            allowed=allowed,
            is_causal=is_causal and length > 1,  # a single new token is the rightmost: nothing to hide
            past=past,
            first=(first - past).clamp_(min=0),
            last=torch.full_like(first, length - 1) if live is None else (_last(live) - past).clamp_(min=0),
            live=None if live is None else live[:, past:],
        )

    @property
    def longest(self) -> int:
        """Positions that the widest row takes."""
        return self.past + self.positions.shape[1]

    def with_last(self, last: Tensor) -> Padded:
        """The same layout with other last tokens (a model that knows its padding token may know better)."""
        return replace(self, last=last)

    def first_tokens(self, hidden: Tensor) -> Tensor:
        """(batch, length, hidden) -> (batch, hidden), the first live token of every row."""
        return hidden[torch.arange(hidden.shape[0], device=hidden.device), self.first]

    def last_tokens(self, hidden: Tensor) -> Tensor:
        """(batch, length, hidden) -> (batch, hidden), the last live token of every row."""
        return hidden[torch.arange(hidden.shape[0], device=hidden.device), self.last]

    def rows(self, values: Tensor) -> Tensor:
        """Values as the caller holds them -> values as hidden states lie. The identity here."""
        return values

    def restore(self, rows: Tensor) -> Tensor:
        """Values as hidden states lie -> values as the caller expects them. The identity here."""
        return rows


class Run(NamedTuple):
    """Neighbouring packed sequences of equal length: a rectangle that needs no padding."""

    start: int
    sequences: int
    length: int


@dataclass(frozen=True)
class Packed:
    """Tokens in a row: all live tokens of all sequences, nothing between them.

    lengths: tokens of each sequence, in packed order.
    positions: (tokens,), int64, position of each token in its sequence.
    pattern: "full", "causal" or "prefix".
    prefix_lengths: for "prefix", tokens of each prefix in packed order.
    order: (sequences,), int64: sequence i of the caller is packed as number order[i]; None = same order.
    index: (tokens,), int64, place of each token in the caller's flattened (batch * length); None = the caller packs.
    shape: the caller's (batch, length); None = the caller packs.
    """

    lengths: tuple[int, ...]
    positions: Tensor
    pattern: Pattern = "full"
    prefix_lengths: tuple[int, ...] = ()
    order: Tensor | None = None
    index: Tensor | None = None
    shape: tuple[int, int] | None = None

    @classmethod
    def from_lengths(
        cls,
        lengths: Sequence[int],
        *,
        pattern: Pattern = "full",
        prefix_lengths: Sequence[int] = (),
        device: torch.device | None = None,
    ) -> Packed:
        """Lay out sequences that the caller has concatenated. Neighbours of equal length are computed together.

        Raises ShapeError when there is no sequence, an empty one, or prefixes that do not fit.
        """
        if not lengths or min(lengths) < 1:
            raise ShapeError(f"packed sequences need at least one token each, got lengths {list(lengths)[:8]}")
        _check_pattern(pattern)
        if len(prefix_lengths) != (len(lengths) if pattern == "prefix" else 0):
            raise ShapeError(
                f'pattern "prefix" needs prefix_lengths, one a sequence, others none: got {len(prefix_lengths)} for '
                f"{len(lengths)} sequences and {pattern!r}"
            )
        if any(not 0 <= prefix <= length for prefix, length in zip(prefix_lengths, lengths, strict=False)):
            raise ShapeError(f"prefix_lengths {list(prefix_lengths)[:8]} exceed the lengths {list(lengths)[:8]}")
        positions = torch.cat([torch.arange(length) for length in lengths]).to(device)
        return cls(tuple(lengths), positions, pattern=pattern, prefix_lengths=tuple(prefix_lengths))

    @classmethod
    def from_mask(
        cls, attention_mask: Tensor, *, pattern: Pattern = "full", prefix_lengths: Tensor | None = None
    ) -> Packed | None:
        """Lay out the live tokens of a padded batch, sequences sorted by length so that equal ones are neighbours.

        attention_mask: (batch, length), bool or 0/1. prefix_lengths: (batch,), for "prefix" only.
        Returns None when a row is empty or has a hole: such masks mean more than padding.
        """
        _check_pattern(pattern)
        _check_values(attention_mask)
        device, live = attention_mask.device, (attention_mask != 0).cpu()  # every look at a GPU's numbers waits for it
        batch, length = live.shape
        counts, first, last = live.sum(1), _first(live), _last(live)
        if not bool(((counts > 0) & (last - first + 1 == counts)).all()):
            return None
        by_length = torch.argsort(counts, stable=True)
        flat = torch.arange(batch * length, device=live.device).view(batch, length)[by_length][live[by_length]]
        prefixes = () if prefix_lengths is None else tuple(prefix_lengths.to(counts)[by_length].tolist())
        return cls(
            lengths=tuple(counts[by_length].tolist()),
            positions=(flat % length - first[flat // length]).to(device),
            pattern=pattern,
            prefix_lengths=prefixes,
            order=torch.argsort(by_length).to(device),
            index=flat.to(device),
            shape=(batch, length),
        )

    @property
    def live(self) -> Tensor | None:
        """(batch, length), bool, as Padded.live; None when the caller packs."""
        if self.index is None:
            return None
        return self.restore(torch.ones_like(self.index, dtype=torch.bool))

    @property
    def longest(self) -> int:
        """Positions that the longest sequence takes."""
        return max(self.lengths)

    @cached_property
    def runs(self) -> tuple[Run, ...]:
        """Neighbours of equal length, in packed order. Prefix patterns differ by row, so they run one by one."""
        runs: list[Run] = []
        start = 0
        for length in self.lengths:
            if runs and runs[-1].length == length and self.pattern != "prefix":
                runs[-1] = runs[-1]._replace(sequences=runs[-1].sequences + 1)
            else:
                runs.append(Run(start, 1, length))
            start += length
        return tuple(runs)

    @cached_property
    def rectangles(self) -> tuple[Rectangle, ...]:
        """All sequences, in packed order, in few rectangles with little padding."""
        return rectangles(self.lengths)

    @cached_property
    def ends(self) -> Tensor:
        """(sequences,), int64, one past the last token of every sequence, in packed order."""
        return torch.tensor(self.lengths).cumsum(0).to(self.positions.device)

    @cached_property
    def bounds(self) -> Tensor:
        """(sequences + 1,), int32, the first token of every sequence, in packed order, and the number of all tokens."""
        return torch.cat((self.ends.new_zeros(1), self.ends)).int()

    def first_tokens(self, hidden: Tensor) -> Tensor:
        """(tokens, hidden) -> (sequences, hidden) in the caller's order."""
        starts = self.ends - torch.tensor(self.lengths, device=self.ends.device)
        return hidden[starts if self.order is None else starts[self.order]]

    def last_tokens(self, hidden: Tensor) -> Tensor:
        """(tokens, hidden) -> (sequences, hidden) in the caller's order."""
        return hidden[(self.ends if self.order is None else self.ends[self.order]) - 1]

    def rows(self, values: Tensor) -> Tensor:
        """(batch, length, ...) as the caller holds them -> (tokens, ...) as packed; packed values pass through."""
        return values if self.index is None else values.flatten(0, 1)[self.index]

    def restore(self, rows: Tensor) -> Tensor:
        """(tokens, ...) -> (batch, length, ...), zeros where there is padding; packed callers get the rows back."""
        if self.index is None or self.shape is None:
            return rows
        padded = rows.new_zeros((self.shape[0] * self.shape[1], *rows.shape[1:]))
        return torch.unflatten(padded.index_copy(0, self.index, rows), 0, self.shape)


Layout = Padded | Packed


def causal_allowed(length: int, keys: int, *, past: int = 0, device: torch.device | None = None) -> Tensor:
    """(length, keys), bool, True where the key is not right of the query, which stands at past + i."""
    return torch.ones(length, keys, dtype=torch.bool, device=device).tril_(past)


def prefix_allowed(length: int, prefix: int, *, device: torch.device | None = None) -> Tensor:
    """(length, length), bool, True for keys of the prefix and keys not right of the query."""
    allowed = causal_allowed(length, length, device=device)
    allowed[:, :prefix] = True
    return allowed


def _prefix_allowed(ends: Tensor, past: int, length: int, keys: int) -> Tensor:
    """ends: (batch,), first key after the prefix. -> (batch, 1, length, keys), bool."""
    in_prefix = torch.arange(keys, device=ends.device)[None] < ends[:, None]
    return in_prefix[:, None, None, :] | causal_allowed(length, keys, past=past, device=ends.device)


def _live_keys(mask: Tensor | None, *, batch: int, length: int, keys: int) -> Tensor | None:
    """The 2-D mask as bool, after checking the shape and values of any mask."""
    if mask is None:
        return None
    fits = {
        2: mask.shape == (batch, keys),
        3: mask.shape == (batch, length, keys),
        4: mask.dim() == 4 and mask.shape[0] == batch and mask.shape[2:] == (length, keys),
    }
    if not fits.get(mask.dim(), False):
        raise ShapeError(
            f"attention_mask {tuple(mask.shape)} does not fit {batch} rows of {length} tokens and {keys} keys: "
            f"expected ({batch}, {keys}), ({batch}, {length}, {keys}) or ({batch}, heads or 1, {length}, {keys})"
        )
    _check_values(mask)
    return mask != 0 if mask.dim() == 2 else None


def _check_values(mask: Tensor) -> None:
    if mask.is_floating_point() and not bool(((mask == 0) | (mask == 1)).all()):
        raise ShapeError(
            "attention_mask holds values other than 0 and 1: additive masks are not taken, pass `mask == 0` instead"
        )


def _check_pattern(pattern: str) -> None:
    if pattern not in PATTERNS:
        listed = ", ".join(map(repr, PATTERNS))
        raise ConfigError(f"attention pattern {pattern!r} is not one of {listed}{did_you_mean(pattern, PATTERNS)}")


def _allowed(mask: Tensor | None, live: Tensor | None) -> Tensor | None:
    if mask is None:
        return None
    if live is not None:
        return live[:, None, None, :]
    return (mask if mask.dim() == 4 else mask[:, None]) != 0


def _both(left: Tensor | None, right: Tensor) -> Tensor:
    return right if left is None else left & right


def _first(live: Tensor) -> Tensor:
    """(batch, keys) -> (batch,), index of the first True, 0 where there is none."""
    return live.to(torch.uint8).argmax(1)


def _last(live: Tensor) -> Tensor:
    """(batch, keys) -> (batch,), index of the last True, the last index where there is none."""
    return live.shape[1] - 1 - live.flip(1).to(torch.uint8).argmax(1)
