"""Checks what a tokenizer is asked to do, before any Rust code sees it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from plm.errors import TokenizerError

Text = str | list[str]  # a text, or its words
Row = tuple[Text, ...]  # one text or a pair

STRATEGIES = ("longest_first", "only_first", "only_second")
UNKNOWN_LENGTH = int(1e30)  # what transformers writes for "no limit known"


@dataclass(frozen=True)
class Truncation:
    """Cut rows to `max_length` ids, special tokens included, on the `side`; windows overlap by `stride` ids."""

    max_length: int
    strategy: str
    stride: int
    side: str


@dataclass(frozen=True)
class Padding:
    """Fill rows on the `side` up to `length` (None: to the longest), rounded up to `multiple_of`."""

    length: int | None
    multiple_of: int | None
    side: str
    pad_id: int
    pad_token: str


def read_rows(text: Any, text_pair: Any, *, is_split: bool) -> tuple[list[Row], bool]:
    """The rows of a call, and whether it was a single one.

    Raises TokenizerError naming the place of anything that is not text.
    """
    single = _is_single(text, is_split=is_split)
    columns = [_column(text, "text", single=single, is_split=is_split)]
    if text_pair is not None:
        if _is_single(text_pair, is_split=is_split) != single:
            raise TokenizerError("text and text_pair: expected both to be single texts or both to be lists of texts")
        columns.append(_column(text_pair, "text_pair", single=single, is_split=is_split))
        if len(columns[0]) != len(columns[1]):
            raise TokenizerError(
                f"text has {len(columns[0])} rows and text_pair has {len(columns[1])}; expected one second text for "
                f"each first (repeat the first text to pair it with several)"
            )
    return list(zip(*columns, strict=True)), single


def read_truncation(
    truncation: bool | str | None, *, max_length: int, is_given: bool, stride: int, specials: int, side: str
) -> Truncation | None:
    """What to cut.

    truncation: as users pass it; None cuts when `max_length` is given, False never.
    max_length: what they passed or, when `is_given` is False, the limit of the model.
    specials: how many special tokens a row gets.
    Raises TokenizerError when no length is known, or it leaves no room, or the stride fills a window.
    """
    if truncation is None:
        truncation = is_given
    if truncation in (False, "do_not_truncate"):
        return None
    strategy = STRATEGIES[0] if truncation is True else str(truncation)
    if strategy not in STRATEGIES:
        raise TokenizerError(f"truncation: expected True, False or one of {', '.join(STRATEGIES)}, got {truncation!r}")
    room = _usable(max_length, f"truncation={truncation!r}") - specials
    if room < 0:
        raise TokenizerError(f"max_length: {max_length} has no room for the {specials} special tokens of a row")
    if stride < 0 or stride >= max(room, 1):
        raise TokenizerError(
            f"stride: expected 0 to {max(room - 1, 0)}, less than the {room} tokens of text in a window (max_length "
            f"{max_length} less {specials} special tokens), got {stride}"
        )
    return Truncation(max_length, strategy, stride, _side(side, "truncation_side"))


def read_padding(
    padding: bool | str, *, max_length: int, multiple_of: int | None, side: str, pad: tuple[int | None, str | None]
) -> Padding | None:
    """How to fill rows up.

    padding, max_length: as in `read_truncation`. pad: id and token.
    Raises TokenizerError for an unknown word, when no length is known and when there is no pad token.
    """
    if padding in (False, "do_not_pad"):
        return None
    if padding not in (True, "longest", "max_length"):
        raise TokenizerError(f"padding: expected True, False, 'longest' or 'max_length', got {padding!r}")
    pad_id, pad_token = pad
    if pad_id is None or pad_token is None:
        raise TokenizerError(
            "padding needs a pad token and this tokenizer has none (GPT-1 was trained without). Add one with "
            "add_special_tokens({'pad_token': '<pad>'}) and let the model grow to len(tokenizer) embeddings"
        )
    length = _usable(max_length, "padding='max_length'") if padding == "max_length" else None
    return Padding(length, multiple_of, _side(side, "padding_side"), pad_id, pad_token)


def bad_character(row: Row) -> str | None:
    """The first half of a surrogate pair in a row, such as 'U+D800', or None. Such text is not Unicode."""
    for text in row:
        for word in [text] if isinstance(text, str) else text:
            for character in word:
                if "\ud800" <= character <= "\udfff":
                    return f"U+{ord(character):04X}"
    return None


def _usable(length: int, wish: str) -> int:
    if length >= UNKNOWN_LENGTH:
        raise TokenizerError(f"{wish} needs a length and this tokenizer knows no limit of its model: pass max_length")
    if length < 1:
        raise TokenizerError(f"max_length: expected a positive integer, got {length}")
    return length


def _side(side: str, name: str) -> str:
    if side not in ("left", "right"):
        raise TokenizerError(f"{name}: expected 'left' or 'right', got {side!r}")
    return side


def _is_single(text: Any, *, is_split: bool) -> bool:
    if isinstance(text, str):
        return True
    return is_split and isinstance(text, (list, tuple)) and (not text or isinstance(text[0], str))


def _column(text: Any, name: str, *, single: bool, is_split: bool) -> list[Text]:
    if single and isinstance(text, str) and is_split:
        raise TokenizerError(f"{name}: expected a list of words because is_split_into_words=True, got a str")
    if single:
        return [_text(text, name, is_split=is_split)]
    if not isinstance(text, Sequence) or isinstance(text, bytes):
        expected = "a list of words or a list of such lists" if is_split else "a str or a list of str"
        raise TokenizerError(f"{name}: expected {expected}, got {type(text).__name__} ({text!r:.80})")
    return [_text(item, f"{name}[{index}]", is_split=is_split) for index, item in enumerate(text)]


def _text(text: Any, where: str, *, is_split: bool) -> Text:
    if not is_split:
        if isinstance(text, str):
            return text
        hint = "; pass is_split_into_words=True if these are words" if isinstance(text, (list, tuple)) else ""
        raise TokenizerError(f"{where}: expected str, got {type(text).__name__} ({text!r:.80}){hint}")
    if isinstance(text, str) or not isinstance(text, Sequence):
        raise TokenizerError(f"{where}: expected a list of words, got {type(text).__name__} ({text!r:.80})")
    for index, word in enumerate(text):
        if not isinstance(word, str):
            raise TokenizerError(f"{where}[{index}]: expected a word (str), got {type(word).__name__} ({word!r:.80})")
    return list(text)
