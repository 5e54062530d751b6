"""The facts of a corpus, as the manifest keeps them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from plm.corpus.survey.counts import Histogram


@dataclass(frozen=True)
class Spread:
    """How sizes are distributed. ranges: (first size, last size, how often), from power of two to power of two."""

    mean: float
    median: int
    percentile_95: int
    maximum: int
    ranges: tuple[tuple[int, int, int], ...]

    @classmethod
    def of(cls, sizes: Histogram) -> Spread:
        """Of what a histogram counted; all 0 where it counted nothing."""
        middle, high = sizes.quantile(0.5), sizes.quantile(0.95)
        return cls(round(sizes.mean, 2), middle, high, sizes.largest, tuple(sizes.ranges()))


@dataclass(frozen=True)
class LongSentence:
    """One of the longest sentences. number: its place in the corpus, the first one is 1. text: how it begins."""

    tokens: int
    number: int
    text: str


@dataclass(frozen=True)
class UnknownWord:
    """A word without a token. times: in a sample. is_known_in_lower_case: True = lower-case letters would help."""

    text: str
    times: int
    is_known_in_lower_case: bool


@dataclass(frozen=True, kw_only=True)
class CorpusFacts:
    """What a survey found.

    bytes: of the sentences in UTF-8. unknown_words: the most frequent ones of a sample. sentence_tokens,
    document_tokens, document_sentences: how long sentences and documents are. model_length: that the sentences were
    compared with. distinct_sentences: sentences without those whose tokens came before. distinct_error: its standard
    error as a share of it, 0 = exact. frequent: sentences that came again, or how they begin, and how often at least.
    letters: by alphabet. capitals, small_letters: A to Z, a to z. small_starts: sentences that begin with a to z.
    marks: leftovers of markup. vocabulary_letters: tokens by alphabet; empty = no tokenizer was given. folds_case: True
    = the tokenizer reads capitals as small letters.
    """

    documents: int
    sentences: int
    tokens: int
    characters: int
    bytes: int
    unknown_tokens: int
    unknown_words: tuple[UnknownWord, ...]
    sentence_tokens: Spread
    document_tokens: Spread
    document_sentences: Spread
    documents_of_one_sentence: int
    model_length: int
    sentences_over_model_length: int
    longest: tuple[LongSentence, ...]
    distinct_sentences: int
    distinct_error: float
    frequent: tuple[tuple[str, int], ...]
    letters: Mapping[str, int]
    capitals: int
    small_letters: int
    small_starts: int
    marks: Mapping[str, int]
    vocabulary_letters: Mapping[str, int]
    folds_case: bool

    @property
    def unknown_rate(self) -> float:
        """Unknown tokens of all tokens."""
        return self.unknown_tokens / max(self.tokens, 1)

    @property
    def duplicate_rate(self) -> float:
        """Sentences whose tokens came before, of all sentences."""
        return 1 - self.distinct_sentences / self.sentences if self.sentences else 0.0

    @property
    def duplicate_error(self) -> float:
        """Standard error of `duplicate_rate`; 0 = it is exact."""
        return self.distinct_error * self.distinct_sentences / max(self.sentences, 1)
