"""Google's pretraining examples, draw for draw: what `create_pretraining_data.py` of google-research/bert makes.

For records that must equal Google's, and for comparing with them. Everything is in memory, for ten passes about 60
times the text: tens of megabytes of it at most. What Google's choices cost: the wanted length is drawn once for a
document and not for each example; with few documents a "random" second text may be of the same document, even the one
that follows; a random word may be [PAD], [CLS] or one of the unused. Examples made while training have none of these.
Source: https://github.com/google-research/bert, commit eedf571, `create_pretraining_data.py`, Apache-2.0.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Generic, TypeVar, cast

from tqdm import tqdm

from plm.errors import ConfigError, DataError, TokenizerError

Token = TypeVar("Token", bound=int | str)

_CLS, _SEP, _MASK = "[CLS]", "[SEP]", "[MASK]"
_CONTINUES = "##"
_FRAME = 3  # [CLS] and twice [SEP]
_TRIES = 10  # at finding another document


@dataclass(frozen=True, slots=True)
class GoogleInstance(Generic[Token]):
    """One example: [CLS] A [SEP] B [SEP], some of it masked. Tokens are of the kind that the documents have.

    segment_ids: one for each token, 0 to the first [SEP], then 1. is_random_next: True = B does not follow A.
    masked_lm_positions: ascending. masked_lm_labels: the tokens that stood there.
    """

    tokens: list[Token]
    segment_ids: list[int]
    is_random_next: bool
    masked_lm_positions: list[int]
    masked_lm_labels: list[Token]


def google_instances(  # one parameter for each flag of the script, under its name
    documents: Sequence[Sequence[Sequence[Token]]],
    *,
    words: Sequence[str],
    max_seq_length: int = 128,
    max_predictions_per_seq: int = 20,
    short_seq_prob: float = 0.1,
    masked_lm_prob: float = 0.15,
    dupe_factor: int = 10,
    random_seed: int = 12345,
    whole_word_mask: bool = False,
) -> list[GoogleInstance[Token]]:
    """The examples of `create_training_instances`, in its order, drawn from random.Random(random_seed) as it draws.

    documents: sentences of tokens, or of their ids. words: the vocabulary by rising id, each word once.
    max_seq_length: tokens of an example, the three special ones included. masked_lm_prob: share of them to predict, at
    least one (of whole words, none if none fits), at most max_predictions_per_seq. short_seq_prob: share of the passes
    over a document that aim at a random length. dupe_factor: passes over all documents. whole_word_mask: True = pieces
    of a word are masked together.
    Raises DataError for documents or sentences without content and ids that are not in the vocabulary, TokenizerError
    for a vocabulary without [CLS], [SEP] and [MASK] or with a word twice, ConfigError for numbers out of range.
    """
    if min(max_predictions_per_seq, dupe_factor) < 1 or max_seq_length < 2 + _FRAME:
        raise ConfigError(
            "expected max_seq_length of 5 or more, max_predictions_per_seq and dupe_factor of 1 or more, got "
            f"{max_seq_length}, {max_predictions_per_seq} and {dupe_factor}"
        )
    if not (0.0 <= short_seq_prob <= 1.0 and 0.0 <= masked_lm_prob <= 1.0):
        raise ConfigError(
            f"short_seq_prob and masked_lm_prob: expected shares from 0 to 1, got {short_seq_prob}, {masked_lm_prob}"
        )
    _require_content(documents, words)
    rng = random.Random(random_seed)
    shuffled = list(documents)
    rng.shuffle(shuffled)
    masker = _Masker(
        rng,
        _vocabulary(words, like=shuffled[0][0][0]),
        share=masked_lm_prob,
        most=max_predictions_per_seq,
        whole_words=whole_word_mask,
    )
    pairs = _Pairs(rng, shuffled, room=max_seq_length - _FRAME, short_share=short_seq_prob)
    passes = range(dupe_factor * len(shuffled))
    bar = tqdm(passes, desc="making examples", unit="document", disable=None, delay=2, leave=False)
    instances = [masker.instance(*pair) for number in bar for pair in pairs.of(number % len(shuffled))]
    rng.shuffle(instances)
    return instances


class _Pairs(Generic[Token]):
    """Two texts for each example, before masking.

    room: most tokens of the two together. short_share: how often a document aims at less.
    """

    def __init__(
        self, rng: random.Random, documents: list[Sequence[Sequence[Token]]], *, room: int, short_share: float
    ) -> None:
        self._rng = rng
        self._documents = documents
        self._room = room
        self._short_share = short_share

    def of(self, number: int) -> Iterator[tuple[list[Token], list[Token], bool]]:
        """(A, B, True = B does not follow A) for one pass over a document."""
        document, rng = self._documents[number], self._rng
        target = self._room
        if rng.random() < self._short_share:
            target = rng.randint(2, self._room)
        first = 0
        while first < len(document):
            end = _chunk_end(document, first, target)
            split = first + (rng.randint(1, end - first - 1) if end - first > 1 else 1)
            text_a = list(chain.from_iterable(document[first:split]))
            is_random = end - first == 1 or rng.random() < 0.5  # nothing is drawn for a chunk of one sentence
            if is_random:
                text_b = self._elsewhere(number, target - len(text_a))
            else:
                text_b = list(chain.from_iterable(document[split:end]))
            yield (*self._cut(text_a, text_b), is_random)
            first = split if is_random else end  # sentences that were not used come again

    def _elsewhere(self, number: int, length: int) -> list[Token]:
        """Sentences from a random place of another document, until there are `length` tokens."""
        rng = self._rng
        for _ in range(_TRIES):
            other = rng.randint(0, len(self._documents) - 1)
            if other != number:
                break
        document = self._documents[other]
        start = rng.randint(0, len(document) - 1)
        return list(chain.from_iterable(document[start : _chunk_end(document, start, length)]))

    def _cut(self, text_a: list[Token], text_b: list[Token]) -> tuple[list[Token], list[Token]]:
        """Take a token from either end of the longer text, of B when they are equal, until both fit."""
        start_a = start_b = 0
        end_a, end_b = len(text_a), len(text_b)
        for _ in range(end_a + end_b - self._room):
            at_start = self._rng.random() < 0.5
            if end_a - start_a > end_b - start_b:
                start_a, end_a = (start_a + 1, end_a) if at_start else (start_a, end_a - 1)
            else:
                start_b, end_b = (start_b + 1, end_b) if at_start else (start_b, end_b - 1)
        return text_a[start_a:end_a], text_b[start_b:end_b]


@dataclass(frozen=True)
class _Vocabulary(Generic[Token]):
    """words: all that a random one is drawn from. continues: those that go on with the word before."""

    words: Sequence[Token]
    cls: Token
    sep: Token
    mask: Token
    continues: frozenset[Token]


class _Masker(Generic[Token]):
    """Puts two texts together and masks them. share, most: of the tokens, to be predicted."""

    def __init__(
        self, rng: random.Random, vocabulary: _Vocabulary[Token], *, share: float, most: int, whole_words: bool
    ) -> None:
        self._rng = rng
        self._vocabulary = vocabulary
        self._share = share
        self._most = most
        self._whole_words = whole_words

    def instance(self, text_a: list[Token], text_b: list[Token], is_random: bool) -> GoogleInstance[Token]:
        """The example of two texts."""
        cls, sep = self._vocabulary.cls, self._vocabulary.sep
        tokens = [cls, *text_a, sep, *text_b, sep]
        labels = {position: tokens[position] for position in self._chosen(tokens)}
        for position in labels:  # in the order in which they were chosen
            tokens[position] = self._instead_of(tokens[position])
        positions = sorted(labels)
        return GoogleInstance(
            tokens=tokens,
            segment_ids=[0] * (len(text_a) + 2) + [1] * (len(text_b) + 1),
            is_random_next=is_random,
            masked_lm_positions=positions,
            masked_lm_labels=[labels[position] for position in positions],
        )

    def _chosen(self, tokens: list[Token]) -> list[int]:
        """The positions to be predicted. The special tokens count for how many, but are never among them."""
        wanted = min(self._most, max(1, round(len(tokens) * self._share)))
        vocabulary = self._vocabulary
        candidates = [i for i, token in enumerate(tokens) if token != vocabulary.cls and token != vocabulary.sep]
        if not self._whole_words:
            self._rng.shuffle(candidates)
            return candidates[:wanted]
        groups: list[list[int]] = []
        for position in candidates:
            if groups and tokens[position] in vocabulary.continues:
                groups[-1].append(position)  # also over a [SEP]
            else:
                groups.append([position])
        self._rng.shuffle(groups)
        chosen: list[int] = []
        for group in groups:
            if len(chosen) + len(group) <= wanted:
                chosen += group
        return chosen

    def _instead_of(self, token: Token) -> Token:
        rng, vocabulary = self._rng, self._vocabulary
        if rng.random() < 0.8:
            return vocabulary.mask
        if rng.random() < 0.5:
            return token
        return vocabulary.words[rng.randint(0, len(vocabulary.words) - 1)]


def _chunk_end(document: Sequence[Sequence[Token]], start: int, length: int) -> int:
    """Where the sentences from `start` on first have `length` tokens; at least one sentence, at most all."""
    end = start
    while end < len(document):
        length -= len(document[end])
        end += 1
        if length <= 0:
            break
    return end


def _vocabulary(words: Sequence[str], *, like: Token) -> _Vocabulary[Token]:
    """The vocabulary as tokens of the same kind as `like`: the words themselves, or their ids."""
    ids = {word: number for number, word in enumerate(words)}
    missing = [word for word in (_CLS, _SEP, _MASK) if word not in ids]
    if missing or len(ids) < len(words):
        trouble = f"has no {', '.join(missing)}" if missing else f"holds {len(words) - len(ids)} words twice"
        raise TokenizerError(f"the vocabulary of {len(words)} words {trouble}; Google's examples need one of BERT")
    continues = [word for word in words if word.startswith(_CONTINUES)]
    if isinstance(like, str):
        named = _Vocabulary(words, _CLS, _SEP, _MASK, frozenset(continues))
        return cast("_Vocabulary[Token]", named)
    numbered = _Vocabulary(
        range(len(words)), ids[_CLS], ids[_SEP], ids[_MASK], frozenset(ids[word] for word in continues)
    )
    return cast("_Vocabulary[Token]", numbered)


def _require_content(documents: Sequence[Sequence[Sequence[Token]]], words: Sequence[str]) -> None:
    """Raises DataError for what the reader would have left out, and for tokens that are of no use."""
    if not documents:
        raise DataError("expected at least one document, got none; is the text only blank lines?")
    kinds: set[type] = set()
    size = len(words)
    for number, document in enumerate(documents):
        if not document or not all(document):
            raise DataError(f"document {number}: expected sentences of one token or more, got an empty one")
        kinds.update(map(type, chain.from_iterable(document)))
        if kinds != {str} and kinds != {int}:
            names = ", ".join(sorted(kind.__name__ for kind in kinds))
            raise DataError(f"document {number}: expected tokens that are all str or all int, got {names}")
        outside = [token for token in chain.from_iterable(document) if isinstance(token, int) and not 0 <= token < size]
        if outside:
            raise DataError(f"document {number}: {outside[0]} is no id of the vocabulary of {size} words")
