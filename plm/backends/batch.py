"""The arrays that a runner is given: looked at once, in the same words for all backends. Imports no torch.

Compiled programs would read beside their tables where torch raises an error, and graphs count negative numbers from the
end of a table: both would answer, and wrongly.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from plm.errors import DataError, ShapeError, UnknownNameError, did_you_mean

if TYPE_CHECKING:
    from plm.models.config import ModelConfig

Array = np.ndarray[Any, Any]

INPUTS = ("input_ids", "attention_mask", "token_type_ids", "lengths")
"""What every runner takes."""


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """What one model takes.

    words, types: rows of its tables; types are looked up among the words where it has no table of them.
    positions: tokens of a text; None = any number. takes_packed: see Runner.
    takes_more: True = also inputs of other names and masks of pairs, which the model itself looks at.
    """

    words: int
    types: int
    positions: int | None
    takes_packed: bool = True
    takes_more: bool = False

    @classmethod
    def of(cls, config: ModelConfig, *, takes_packed: bool = True, takes_more: bool = False) -> Inputs:
        """Those of a model with this config."""
        return cls(
            words=config.vocab_size,
            types=config.type_vocab_size,
            positions=config.longest_text,
            takes_packed=takes_packed,
            takes_more=takes_more,
        )

    def checked(self, batch: Mapping[str, Array]) -> dict[str, Array]:
        """The batch, as int64 and without gaps; see Runner.run.

        Numbers of padding are of no account: those that no table has become 0.
        Raises UnknownNameError for an input that nobody takes, ShapeError for arrays that do not fit together, hold no
        text, or hold one that is longer than the model takes, and DataError for numbers that its tables do not have.
        """
        given = {name: np.asarray(array) for name, array in batch.items()}
        self._check_names(given)
        unseen = [name for name in given if name not in INPUTS or self._is_pairs(given, name)]
        arrays = {name: _whole(name, array) for name, array in given.items() if name not in unseen}
        live = _live(arrays)
        self._check_length(arrays, live)
        for name, rows in (("input_ids", self.words), ("token_type_ids", self.types or self.words)):
            if name in arrays:
                arrays[name] = _in_table(name, arrays[name], live, rows)
        return arrays | {name: given[name] for name in unseen}

    def _check_names(self, names: Collection[str]) -> None:
        if "input_ids" not in names:
            raise DataError(f"a batch needs input_ids, got {', '.join(names) or 'nothing'}")
        for name in names:
            if name not in INPUTS and not self.takes_more:
                hint = did_you_mean(name, INPUTS)
                raise UnknownNameError(f"backends take no input {name!r}{hint} (they take: {', '.join(INPUTS)})")
        if "lengths" in names and not self.takes_packed:
            raise ShapeError("lengths: this backend takes padded texts alone, with an attention_mask")

    def _is_pairs(self, arrays: Mapping[str, Array], name: str) -> bool:
        """True for a mask that says who may attend to whom."""
        return self.takes_more and name == "attention_mask" and arrays[name].ndim > arrays["input_ids"].ndim

    def _check_length(self, arrays: Mapping[str, Array], live: Array | None) -> None:
        if "lengths" in arrays:
            longest = int(arrays["lengths"].max())
        else:
            longest = arrays["input_ids"].shape[-1] if live is None else _longest(live)
        if self.positions is not None and longest > self.positions:
            raise ShapeError(
                f"the text has {longest} tokens, the model has {self.positions} positions: truncate it "
                f"(tokenizer(..., truncation=True, max_length={self.positions})) or use a model with relative positions"
            )


def _whole(name: str, array: Array) -> Array:
    """Copied only where it is not int64 yet."""
    if name == "attention_mask":
        if not ((array == 0) | (array == 1)).all():
            raise DataError("attention_mask holds values other than 0 and 1: pass which tokens are live")
    elif array.dtype.kind not in "iu":
        raise DataError(f"{name}: expected integers, got {array.dtype}")
    return np.ascontiguousarray(array, np.int64)


def _live(arrays: Mapping[str, Array]) -> Array | None:
    """Which tokens are live; None = all. Raises ShapeError for arrays that are not of one batch."""
    ids, mask, types = arrays["input_ids"], arrays.get("attention_mask"), arrays.get("token_type_ids")
    if "lengths" in arrays:
        _check_packed(ids, arrays["lengths"], mask)
    elif ids.ndim < 2 or 0 in ids.shape:
        raise ShapeError(f"input_ids must be (batch, length) or have more leading dimensions, none 0, got {ids.shape}")
    if types is not None and types.shape != ids.shape:
        raise ShapeError(f"token_type_ids are {types.shape}, expected {ids.shape} like input_ids")
    if mask is None:
        return None
    if mask.shape != ids.shape:
        raise ShapeError(
            f"attention_mask is {mask.shape}, expected {ids.shape} like input_ids; masks of who may attend to whom are "
            'for backend="torch"'
        )
    live: Array = mask == 1
    return live


def _check_packed(ids: Array, lengths: Array, mask: Array | None) -> None:
    if mask is not None:
        raise ShapeError("packed texts have lengths and no attention_mask")
    if lengths.ndim != 1 or not lengths.size or lengths.min() < 1:
        raise ShapeError(f"packed texts need at least one token each, got lengths {lengths.tolist()[:8]}")
    if ids.shape != (lengths.sum(),):
        raise ShapeError(f"the lengths add up to {lengths.sum()} tokens, input_ids are {ids.shape}")


def _longest(live: Array) -> int:
    """Places from the first live token to the last, of the longest text; all where there is none."""
    behind = live[..., ::-1].argmax(-1)
    return int((live.shape[-1] - behind - live.argmax(-1)).max())


def _in_table(name: str, numbers: Array, live: Array | None, rows: int) -> Array:
    """Numbers that a table has rows for."""
    if int(numbers.min()) >= 0 and int(numbers.max()) < rows:
        return numbers
    outside = (numbers < 0) | (numbers >= rows)
    wrong = np.argwhere(outside if live is None else outside & live)
    if len(wrong):
        place = tuple(wrong[0].tolist())
        raise DataError(
            f"{name}: expected numbers from 0 to {rows - 1}, which the model has embeddings for, got {numbers[place]} "
            f"at {place}: is the tokenizer that of this model?"
        )
    return np.where(outside, 0, numbers)
