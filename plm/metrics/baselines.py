"""What a model must beat: the most frequent class, and naive Bayes on word counts."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from plm.errors import DataError

Splitter = Callable[[str], Sequence[str]]


def words(text: str) -> list[str]:
    """Lower-cased words between blanks."""
    return text.lower().split()


def characters(text: str) -> list[str]:
    """Single characters and pairs of neighbours, blanks left out: words for languages that write none, as Chinese."""
    letters = [letter for letter in text.lower() if not letter.isspace()]
    return letters + [first + second for first, second in itertools.pairwise(letters)]


def majority(labels: Sequence[str]) -> str:
    """The most frequent label; of several, the first in alphabetical order. Raises DataError when there are none."""
    if not labels:
        raise DataError("a baseline needs at least one label")
    counts = Counter(labels)
    return min(counts, key=lambda label: (-counts[label], label))


@dataclass(frozen=True)
class NaiveBayes:
    """Multinomial naive Bayes with add-one smoothing. Source: Manning, Raghavan, Schuetze 2008, section 13.2.

    labels: the classes, sorted.
    vocabulary: word -> column; other words are passed over.
    log_prior: (classes,), float64, log of the share of each class in training.
    log_likelihood: (classes, words), float64, log P(word | class).
    split: text -> words.
    """

    labels: tuple[str, ...]
    vocabulary: dict[str, int]
    log_prior: NDArray[np.float64]
    log_likelihood: NDArray[np.float64]
    split: Splitter

    @classmethod
    def fit(cls, texts: Sequence[str], labels: Sequence[str], *, split: Splitter = words) -> NaiveBayes:
        """Count the words of every class. Raises DataError when there are no texts, or not one label for each."""
        if not texts or len(texts) != len(labels):
            raise DataError(f"naive Bayes needs texts and one label for each, got {len(texts)} and {len(labels)}")
        names = tuple(sorted(set(labels)))
        rows = np.searchsorted(names, labels)
        counts: Counter[tuple[int, str]] = Counter()
        for row, text in zip(rows.tolist(), texts, strict=True):
            counts.update((row, word) for word in split(text))
        vocabulary = {word: column for column, word in enumerate(sorted({word for _, word in counts}))}
        smoothed = np.ones((len(names), len(vocabulary)))
        for (row, word), count in counts.items():
            smoothed[row, vocabulary[word]] += count
        prior = np.bincount(rows, minlength=len(names)) / len(rows)
        likelihood = smoothed / smoothed.sum(axis=1, keepdims=True)
        return cls(names, vocabulary, np.log(prior), np.log(likelihood), split)

    def predict(self, texts: Sequence[str]) -> list[str]:
        """The most probable class of each text; a text without known words gets the most frequent class."""
        return [self.labels[int(self._scores(text).argmax())] for text in texts]

    def _scores(self, text: str) -> NDArray[np.float64]:
        """(classes,): log P(class) + sum of log P(word | class)."""
        columns = [self.vocabulary[word] for word in self.split(text) if word in self.vocabulary]
        return np.asarray(self.log_prior + self.log_likelihood[:, columns].sum(axis=1))
