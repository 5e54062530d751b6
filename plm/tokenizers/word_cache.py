"""The ids of many lines at once, with every word asked for only once: the ids of the tokenizer, many times faster.

    cache = WordCache(tokenizer)
    ids, lengths = cache.encode(lines)

A text is an array of code points. A table says for each where words end (`cuts`); punctuation and Chinese characters
are words by themselves and find their number in that table, other words in a dict; numbers become ids by array
operations. The tokenizer sees the words that no one has asked for yet, a thousand to a text.
"""

from __future__ import annotations

import bisect
import functools
import itertools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plm.errors import ConfigError, TokenizerError
from plm.tokenizers.cuts import ALONE, INSIDE, ODD, SPACE, read_cuts
from plm.tokenizers.numbered_ids import NumberedIds
from plm.tokenizers.tokenizer import Tokenizer

Ids = NDArray[np.int32]
Lengths = NDArray[np.int64]

_LONGEST_KEPT = 32  # characters; longer words hardly come again and would fill the memory
_NO_ID = -1
_WORDS_PER_TEXT = 1000  # asked for together; the Rust package spends 3 us on a word so, and 13 us on a text of its own


class WordCache:
    """A tokenizer that remembers words.

    tokenizer: of any kind; one whose words do not determine its ids is asked for every line.
    capacity: words to remember; 200,000 take 40 MB. A full cache learns no more, until it has asked for as many words
        again: then it forgets all and starts anew, since the text may be another.
    Not for several threads at once. Travels to other processes empty.
    """

    def __init__(self, tokenizer: Tokenizer, *, capacity: int = 200_000) -> None:
        """Raises ConfigError for a capacity below 1."""
        if capacity < 1:
            raise ConfigError(f"capacity: expected 1 word or more, got {capacity}")
        self.tokenizer = tokenizer
        self.capacity = capacity
        self._start()

    def __reduce__(self) -> tuple[Callable[..., WordCache], tuple[Tokenizer]]:
        return functools.partial(WordCache, capacity=self.capacity), (self.tokenizer,)

    def __len__(self) -> int:
        """How many words are remembered."""
        return len(self._numbers)

    def encode(self, lines: Sequence[str]) -> tuple[Ids, Lengths]:
        """The ids of all lines one after the other, without special tokens, and how many each line has, (lines,).

        Exactly those of `tokenizer.encode_batch_ids(lines, add_special_tokens=False)`. About a megabyte at a time is
        fastest. Raises its TokenizerError for what is not text.
        """
        if self._made_for != self._tokenizer_now():
            self._start()
        if self._cuts is None:
            return self._asked(lines)
        try:
            encoded = self._encoded(lines)
        except (TypeError, TokenizerError):
            self._asked(lines)  # raises about the right line
            raise
        self._forget()
        return encoded

    def _start(self) -> None:
        """Know nothing but where words end."""
        self._made_for = self._tokenizer_now()
        self._cuts = read_cuts(self.tokenizer)
        self._mark = _NO_ID
        if self._cuts:
            between, _ = self._asked([f"x {self._cuts.mark} x"])
            self._mark = int(between[1]) if len(between) == 3 else _NO_ID
        self._clear()

    def _clear(self) -> None:
        """Forget all words."""
        self._numbers: dict[str, int] = {}  # in the order of `_words`
        self._words = NumberedIds()
        self._turned_away = 0  # words that found no room since the cache was empty
        if self._cuts is None:
            return
        self._table = self._cuts.kinds.astype(np.int32)  # the numbers of characters come in the place of ALONE
        self._table[0] = SPACE  # stands between lines
        mark = np.array([ord(self._cuts.mark)])
        if self._table[mark] == ALONE:  # known first, it is never among the words that it is to set apart
            self._meet(mark)

    def _tokenizer_now(self) -> tuple[int, bool]:
        """What changes when tokens are added."""
        return len(self.tokenizer), self.tokenizer.parse_special_tokens

    def _asked(self, lines: Sequence[str]) -> tuple[Ids, Lengths]:
        """What the tokenizer says itself."""
        rows, _ = self.tokenizer.encode_batch_ids(lines, add_special_tokens=False)
        lengths = np.fromiter(map(len, rows), np.int64, len(rows))
        return np.fromiter(itertools.chain.from_iterable(rows), np.int32, int(lengths.sum())), lengths

    def _encoded(self, lines: Sequence[str]) -> tuple[Ids, Lengths]:
        text = "\0".join([*lines, ""])
        points = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)
        ends = np.flatnonzero(points == 0)
        kinds = self._table.take(points)
        odd = self._odd_lines(lines, text, kinds, ends)
        if len(odd):
            return self._encoded_without(lines, odd)
        if kinds.size and kinds.min() == ALONE:
            self._meet(points[kinds == ALONE])
            kinds = self._table.take(points)
        inside = kinds == INSIDE
        begins = kinds >= 0
        begins[:1] |= inside[:1]
        begins[1:] |= inside[1:] > inside[:-1]
        places = np.flatnonzero(begins)
        numbers = kinds[places]
        spaced = (points - 32) * inside + np.uint32(32)  # a space for all else; five times faster than np.where
        words = spaced.tobytes().decode("utf-32-le").split()
        numbers[numbers == INSIDE] = self._number(words)
        ids, ends = self._words.take(numbers, np.searchsorted(places, ends))
        return ids, np.diff(ends, prepend=0)

    def _odd_lines(
        self, lines: Sequence[str], text: str, kinds: NDArray[np.int32], ends: NDArray[np.intp]
    ) -> list[int]:
        """The places of lines whose words do not determine their ids."""
        assert self._cuts is not None
        odd: set[int] = set()
        if len(ends) != len(lines):  # the mark between lines stands within one
            return [place for place, line in enumerate(lines) if "\0" in line]
        if kinds.size and kinds.min() == ODD:
            odd.update(np.searchsorted(ends, np.flatnonzero(kinds == ODD)).tolist())
        literals = self._cuts.literals
        if literals and literals.search(text):
            odd.update(place for place, line in enumerate(lines) if literals.search(line))
        return sorted(odd)

    def _encoded_without(self, lines: Sequence[str], odd: list[int]) -> tuple[Ids, Lengths]:
        """Ask the tokenizer for the odd lines, encode the others here."""
        rest = list(lines)
        for place in odd:
            rest[place] = ""
        ids, lengths = self._encoded(rest)
        odd_ids, odd_lengths = self._asked([lines[place] for place in odd])
        before = np.cumsum(lengths)[odd]  # an empty line begins where it ends
        lengths[odd] = odd_lengths
        return np.insert(ids, np.repeat(before, odd_lengths), odd_ids), lengths

    def _meet(self, points: NDArray[np.integer[Any]]) -> None:
        """Give numbers to characters that are words by themselves; others turn out to be parts of words."""
        assert self._cuts is not None
        seen = np.zeros(len(self._table), np.bool_)
        seen[points] = True
        met = np.flatnonzero(seen)
        characters = [chr(point) for point in met.tolist()]
        alone = np.array(self._cuts.alone(characters))
        self._table[met[~alone]] = INSIDE
        self._table[met[alone]] = self._number(list(itertools.compress(characters, alone)))

    def _number(self, words: list[str]) -> NDArray[np.int32]:
        """The number of each word; new ones are learned."""
        numbers = np.fromiter(map(self._numbers.get, words, itertools.repeat(-1)), np.int32, len(words))
        missing = np.flatnonzero(numbers < 0)
        if len(missing):
            strange = [words[place] for place in missing.tolist()]
            new = sorted(dict.fromkeys(strange), key=len)
            found = dict(zip(new, itertools.count(len(self._words)), strict=False))
            self._words.append(*self._learned(new))
            numbers[missing] = np.fromiter(map(found.__getitem__, strange), np.int32, len(strange))
            kept = bisect.bisect_right(new, _LONGEST_KEPT, key=len)
            self._numbers.update(itertools.islice(found.items(), kept))
        return numbers

    def _learned(self, words: list[str]) -> tuple[Ids, Lengths]:
        """The ids of words from the tokenizer, many to a text with a mark between them."""
        assert self._cuts is not None
        texts = [f" {self._cuts.mark} ".join(group) for group in _groups(words, _WORDS_PER_TEXT)]
        rows, _ = self.tokenizer.encode_batch_ids(texts, add_special_tokens=False)
        ids = np.array([id_ for row in rows for id_ in (*row, self._mark)], dtype=np.int32)
        ends = np.flatnonzero(ids == self._mark)
        if len(ends) != len(words):  # a word has the id of the mark
            return self._asked(words)
        return ids[ids != self._mark], np.diff(ends, prepend=-1) - 1

    def _forget(self) -> None:
        """Keep within the bounds: words of this batch that are too long or too many go, at times all."""
        while len(self._numbers) > self.capacity:
            self._numbers.popitem()
            self._turned_away += 1
        if self._turned_away > self.capacity:  # to start anew costs no more than that did
            self._clear()
        if len(self._words) > len(self._numbers):
            self._words.truncate(len(self._numbers))
            self._table[self._table >= len(self._numbers)] = ALONE


def _groups(words: list[str], size: int) -> list[list[str]]:
    return [words[start : start + size] for start in range(0, len(words), size)]
