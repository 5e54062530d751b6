"""How many entities were found exactly; and, a number of another kind, how many words got the right tag.

The two are never mixed: nine words in ten are outside of any entity, so token accuracy is high where F1 is poor.

The rule is that of CoNLL (Tjong Kim Sang and De Meulder 2003; conlleval, and seqeval in its default mode): an entity is
correct if its type, its first and its last word are those of an expected one. Precision is correct / predicted, recall
correct / expected, F1 their harmonic mean; over all sentences and types together (micro), or for each type. Where a
denominator is 0 the value is 0.0, as conlleval prints it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from plm.errors import DataError


class Entity(NamedTuple):
    """Words that belong together. first, last: their places in the sentence, from 0, both included."""

    type: str
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class EntityScore:
    """Counts, and what follows from them, each in [0, 1]."""

    correct: int
    predicted: int
    expected: int

    @property
    def precision(self) -> float:
        """Share of the predicted entities that are correct."""
        return self.correct / self.predicted if self.predicted else 0.0

    @property
    def recall(self) -> float:
        """Share of the expected entities that were found."""
        return self.correct / self.expected if self.expected else 0.0

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall."""
        return 2 * self.correct / (self.predicted + self.expected) if self.correct else 0.0


@dataclass(frozen=True, slots=True)
class EntityScores:
    """total: over all types. by_type: every type that was predicted or expected somewhere, sorted."""

    total: EntityScore
    by_type: Mapping[str, EntityScore]


def score_entities(predicted: Sequence[Collection[Entity]], expected: Sequence[Collection[Entity]]) -> EntityScores:
    """Compare the entities of sentences, both in the same order. Raises DataError when one has more sentences."""
    _require_equal(len(predicted), len(expected), "sentences")
    correct, found, wanted = Counter[str](), Counter[str](), Counter[str]()
    for ours, theirs in zip(map(set, predicted), map(set, expected), strict=True):
        found.update(entity.type for entity in ours)
        wanted.update(entity.type for entity in theirs)
        correct.update(entity.type for entity in ours & theirs)
    types = sorted(found.keys() | wanted.keys())
    return EntityScores(
        total=EntityScore(correct.total(), found.total(), wanted.total()),
        by_type={name: EntityScore(correct[name], found[name], wanted[name]) for name in types},
    )


def token_accuracy(predicted: Sequence[Sequence[str]], expected: Sequence[Sequence[str]]) -> float:
    """Share of the words, those outside of entities included, whose tag is right; 0.0 without words.

    Raises DataError when the numbers of sentences, or of words in one, differ.
    """
    _require_equal(len(predicted), len(expected), "sentences")
    right = words = 0
    for number, (ours, theirs) in enumerate(zip(predicted, expected, strict=True)):
        _require_equal(len(ours), len(theirs), f"tags in sentence {number}")
        right += sum(our == their for our, their in zip(ours, theirs, strict=True))
        words += len(theirs)
    return right / words if words else 0.0


def _require_equal(predicted: int, expected: int, what: str) -> None:
    if predicted != expected:
        raise DataError(f"{predicted} {what} were predicted, {expected} expected; they must agree one to one")
