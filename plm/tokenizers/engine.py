"""One Rust tokenizer, asked in a way that is safe from several threads and explains what goes wrong."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

import tokenizers
from tokenizers import Encoding

from plm.errors import TokenizerError
from plm.tokenizers.encoding import Span
from plm.tokenizers.gpt1_bpe import OpenAIWords
from plm.tokenizers.requests import Padding, Row, Text, Truncation, bad_character


class Engine:
    """Turns checked rows into encodings.

    backend: the `tokenizers.Tokenizer`.
    openai_words: rewrites every text first (GPT-1); the backend then expects words between single spaces.
    parse_special_tokens: True recognises special tokens written in a text.
    """

    def __init__(
        self, backend: tokenizers.Tokenizer, *, openai_words: OpenAIWords | None, parse_special_tokens: bool
    ) -> None:
        self.backend = backend
        self.openai_words = openai_words
        self.parse_special_tokens = parse_special_tokens
        self._lock = threading.Lock()  # truncation and padding are settings of the one Rust object
        self.refresh()

    def refresh(self) -> None:
        """Take note of added tokens and of a changed `parse_special_tokens`."""
        self.backend.encode_special_tokens = not self.parse_special_tokens
        if self.openai_words:
            added = self.backend.get_added_tokens_decoder().values()
            self.openai_words.recognise([t.content for t in added if self.parse_special_tokens or not t.special])

    def encode(
        self,
        rows: Sequence[Row],
        *,
        cut: Truncation | None = None,
        fill: Padding | None = None,
        is_split: bool = False,
        add_special_tokens: bool = True,
        with_positions: bool = True,
    ) -> list[Encoding]:
        """An encoding for each row; what was cut off is in its `overflowing`.

        with_positions: False leaves offsets and word ids out, which is faster.
        Raises TokenizerError naming the row that cannot be encoded.
        """
        if self.openai_words:
            rows = [tuple(map(self._rewritten, row)) for row in rows]
        inputs: list[Any] = [row[0] if len(row) == 1 else row for row in rows]
        with self._lock:
            self._set(cut, fill)
            encode = self.backend.encode_batch if with_positions else self.backend.encode_batch_fast
            try:
                encodings: list[Encoding] = encode(
                    inputs, is_pretokenized=is_split, add_special_tokens=add_special_tokens
                )
            except Exception as error:  # the Rust package raises plain Exception
                raise self._explained(rows, cut, is_split, error) from error
        return encodings

    def check_windows(self, rows: Sequence[Row], cut: Truncation, *, is_split: bool, specials: int) -> None:
        """Refuse a stride that does not fit the window of a pair; the Rust package would panic.

        Raises TokenizerError naming the row.
        """
        room = cut.max_length - specials
        if cut.strategy == "longest_first":
            if cut.stride >= room // 2:
                raise TokenizerError(f"stride: expected less than {room // 2} as both texts are cut, got {cut.stride}")
            return
        windowed = 0 if cut.strategy == "only_first" else 1

        def length(row: Row, side: int) -> int:
            return len(self.encode([(row[side],)], is_split=is_split, add_special_tokens=False)[0])

        for index, row in enumerate(rows):
            window = room - length(row, 1 - windowed)
            if 0 < window <= cut.stride and length(row, windowed) > window:
                raise TokenizerError(
                    f"text[{index}]: the other text leaves a window of {window} tokens, which cannot overlap by "
                    f"stride={cut.stride}; cut the other text before, or take a larger max_length or a smaller stride"
                )

    def origin(self, row: Row) -> RowOrigin:
        """Where the characters of a rewritten row came from. Only for an engine with `openai_words`."""
        assert self.openai_words is not None
        return RowOrigin(self.openai_words, row)

    def _rewritten(self, text: Text) -> Text:
        assert self.openai_words is not None
        rewrite = self.openai_words.rewrite
        return rewrite(text) if isinstance(text, str) else list(map(rewrite, text))

    def _set(self, cut: Truncation | None, fill: Padding | None) -> None:
        if cut is None:
            self.backend.no_truncation()
        else:
            self.backend.enable_truncation(cut.max_length, stride=cut.stride, strategy=cut.strategy, direction=cut.side)
        if fill is None:
            self.backend.no_padding()
        else:
            self.backend.enable_padding(
                direction=fill.side,
                pad_id=fill.pad_id,
                pad_token=fill.pad_token,
                length=fill.length,
                pad_to_multiple_of=fill.multiple_of,
            )

    def _explained(self, rows: Sequence[Row], cut: Truncation | None, is_split: bool, error: Exception) -> Exception:
        """The error of a batch as a TokenizerError about its first bad row."""
        for index, row in enumerate(rows):
            if character := bad_character(row):
                return TokenizerError(
                    f"text[{index}]: holds {character}, half of a surrogate pair, which is not Unicode text; repair it "
                    f"with text.encode('utf-16', 'surrogatepass').decode('utf-16', 'replace')"
                )
            try:
                self.backend.encode_batch([row[0] if len(row) == 1 else row], is_pretokenized=is_split)
            except Exception:
                if cut and cut.strategy != "longest_first":
                    return TokenizerError(
                        f"text[{index}]: does not fit max_length={cut.max_length} even without the text that "
                        f"truncation={cut.strategy!r} may cut; use 'longest_first' or a larger max_length"
                    )
                return TokenizerError(f"text[{index}]: {error}")
        return TokenizerError(str(error))

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_lock"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _lock=threading.Lock())
        self.refresh()


class RowOrigin:
    """For one row, where the characters of its rewritten texts came from; worked out when first asked for."""

    def __init__(self, words: OpenAIWords, row: Row) -> None:
        self._words = words
        self._row = row
        self._known: dict[tuple[int, int], list[Span]] = {}

    def __call__(self, sequence: int, word: int) -> list[Span]:
        text = self._row[sequence]
        key = (sequence, 0 if isinstance(text, str) else word)
        if key not in self._known:
            self._known[key] = self._words.origin(text if isinstance(text, str) else text[word])
        return self._known[key]
