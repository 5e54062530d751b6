"""What a tokenizer returns: a dictionary of ids and masks that also knows tokens, words and positions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from tokenizers import Encoding

from plm.errors import TokenizerError

Span = tuple[int, int]


class Origin(Protocol):
    """Where the characters of a rewritten text came from, for one row."""

    def __call__(self, sequence: int, word: int, /) -> list[Span]:
        """For each character of text `sequence` (0 first, 1 second) its (start, end) in what the user passed.

        word: index of the word when the text came split into words.
        """
        ...


class BatchEncoding(dict[str, Any]):
    """A dictionary of the fields asked for, ready for `model(**batch)`; `batch.input_ids` reads a field too.

    encodings: one `tokenizers.Encoding` for each row; with overflowing windows several rows come from one text.
    samples: for each row the index of its text.
    """

    encodings: list[Encoding]
    samples: list[int]

    @classmethod
    def of(
        cls, encodings: Sequence[Encoding], *, with_windows: bool = False, origins: Sequence[Origin] = ()
    ) -> BatchEncoding:
        """A batch without fields yet, from one encoding for each text.

        with_windows: True makes a row of each overflowing window too.
        origins: for each text where its characters came from; empty when the Rust positions hold as they are.
        """
        rows = [
            (i, row)
            for i, first in enumerate(encodings)
            for row in (first, *(first.overflowing if with_windows else ()))
        ]
        batch = cls()
        batch.__dict__.update(
            encodings=[row for _, row in rows], samples=[sample for sample, _ in rows], _origins=list(origins)
        )
        return batch

    def filled(
        self,
        *,
        token_type_ids: bool,
        attention_mask: bool,
        special_tokens_mask: bool,
        offset_mapping: bool,
        overflow_to_sample_mapping: bool,
        tensors: str | None,
        flat: bool,
    ) -> BatchEncoding:
        """The batch with the fields that are True, in the order that users know.

        tensors: None, "pt" or "np". flat: True takes the only row out of its list.
        """
        fields: dict[str, Any] = {"input_ids": [row.ids for row in self.encodings]}
        if token_type_ids:
            fields["token_type_ids"] = [row.type_ids for row in self.encodings]
        if attention_mask:
            fields["attention_mask"] = [row.attention_mask for row in self.encodings]
        if special_tokens_mask:
            fields["special_tokens_mask"] = [row.special_tokens_mask for row in self.encodings]
        if offset_mapping:
            fields["offset_mapping"] = [self.offsets(row) for row in range(len(self.encodings))]
        if overflow_to_sample_mapping:
            fields["overflow_to_sample_mapping"] = self.samples
        if tensors is not None:
            fields = to_tensors(fields, tensors)
        elif flat:
            fields = {name: rows[0] for name, rows in fields.items()}
        self.update(fields)
        return self

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(f"no field {name!r}; this batch has {', '.join(self) or 'none'}") from None

    def tokens(self, row: int = 0) -> list[str]:
        """The tokens of a row, special and padding ones included."""
        return list(self._row(row).tokens)

    def word_ids(self, row: int = 0) -> list[int | None]:
        """For each token of a row the index of its word in its text; None for special tokens.

        Words are those passed in when the text came split, otherwise those that the tokenizer found.
        """
        return list(self._row(row).word_ids)

    def sequence_ids(self, row: int = 0) -> list[int | None]:
        """For each token of a row 0 (first text), 1 (second text) or None (special tokens)."""
        return list(self._row(row).sequence_ids)

    def offsets(self, row: int = 0) -> list[Span]:
        """For each token of a row its (start, end) in characters of its text, or word when split; (0, 0) if special."""
        encoding = self._row(row)
        if not self._origins:
            return list(encoding.offsets)
        origin = self._origins[self.samples[row]]
        spans = []
        for (start, end), sequence, word in zip(
            encoding.offsets, encoding.sequence_ids, encoding.word_ids, strict=True
        ):
            if sequence is None or start == end:
                spans.append((0, 0))
            else:
                characters = origin(sequence, word or 0)
                spans.append((characters[start][0], characters[end - 1][1]))
        return spans

    def char_to_token(self, row_or_char: int, char: int | None = None, sequence_index: int = 0) -> int | None:
        """The index of the token that holds a character, or None (a space, or cut off).

        Called as (char) for the first row or as (row, char), as in transformers.
        """
        row, char = (0, row_or_char) if char is None else (row_or_char, char)
        if not self._origins:
            found: int | None = self._row(row).char_to_token(char, sequence_index)
            return found
        of_sequence = zip(self.offsets(row), self.sequence_ids(row), strict=True)
        for index, ((start, end), sequence) in enumerate(of_sequence):
            if sequence == sequence_index and start <= char < end:
                return index
        return None

    def to(self, device: Any) -> BatchEncoding:
        """Move the tensors to a device, in place, and return the batch. Fields that are no tensors stay."""
        for name, value in self.items():
            if hasattr(value, "to"):
                self[name] = value.to(device)
        return self

    def _row(self, row: int) -> Encoding:
        try:
            return self.encodings[row]
        except IndexError:
            raise TokenizerError(f"row {row}: this batch has {len(self.encodings)} rows, counted from 0") from None


def to_tensors(fields: dict[str, Any], kind: str) -> dict[str, Any]:
    """Lists of equal length as int64 tensors, "pt" for torch or "np" for NumPy.

    Raises TokenizerError when rows differ in length or `kind` is another.
    """
    if kind not in ("pt", "np"):
        raise TokenizerError(f"return_tensors: expected 'pt' or 'np', got {kind!r}")
    lengths = {len(row) for row in fields["input_ids"]}
    if len(lengths) > 1:
        raise TokenizerError(
            f"return_tensors={kind!r}: rows have {min(lengths)} to {max(lengths)} ids, a tensor needs equal rows; pass "
            f"padding=True, and truncation=True with max_length to bound them"
        )
    import numpy as np

    arrays: dict[str, Any] = {name: np.asarray(value, dtype=np.int64) for name, value in fields.items()}
    if kind == "np":
        return arrays
    import torch

    return {name: torch.from_numpy(array) for name, array in arrays.items()}
