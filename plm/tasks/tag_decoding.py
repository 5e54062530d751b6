"""From the logits of tokens to the best tags of words, each for itself or a sentence as a whole, and to entities."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from plm.data.conll import TaggedText
from plm.data.features.tagging import TagFeature
from plm.data.tag_schemes import Allowed, tags_to_entities
from plm.heads.crf import Transitions, marginals, viterbi

Scores = NDArray[np.float32]
"""(words or tokens, classes)."""

# What a transition costs that is not allowed: more than any model says, and little enough for sums in float32.
FORBIDDEN = -1e4

_SENTENCES_AT_ONCE = 64


@dataclass(frozen=True, slots=True, eq=False)
class TokenScores:
    """What a tagger says about one feature. logits: (tokens, classes). transitions: of the CRF, if there is one."""

    logits: Scores
    transitions: Transitions | None


@dataclass(frozen=True, slots=True)
class FoundEntity:
    """An entity in its text: text == sentence.text[start:end]. first, last: its words, from 0, both included.

    score: mean probability of its words' tags.
    """

    type: str
    text: str
    start: int
    end: int
    first: int
    last: int
    score: float


@dataclass(frozen=True, slots=True)
class Tagged:
    """What a tagger says about one sentence.

    tags: one for each word, in the scheme of the files. entities: from left to right; none where tags have no scheme.
    probabilities: of each word's tag; of a CRF given the whole sentence.
    """

    tags: tuple[str, ...]
    entities: tuple[FoundEntity, ...]
    probabilities: tuple[float, ...]

    @classmethod
    def of(
        cls, example: TaggedText, tags: tuple[str, ...], probabilities: Sequence[float], *, scheme: str | None
    ) -> Tagged:
        """Tags with the entities that they mean. scheme: a name in SCHEMES; None = they mean none."""
        found = []
        for type_, first, last in () if scheme is None else tags_to_entities(tags, scheme):
            start, end = example.span(first, last)
            score = fmean(probabilities[first : last + 1])
            found.append(FoundEntity(type_, example.text[start:end], start, end, first, last, score))
        return cls(tags, tuple(found), tuple(probabilities))


def word_scores(feature: TagFeature, logits: Scores, *, vote: bool) -> Scores:
    """(words, classes), of the words that a feature decides. vote: True = the mean of a word's pieces, not the first.

    logits: (tokens, classes), of the feature.
    """
    bounds = np.array(feature.bounds)
    firsts: Scores = logits[bounds[:-1]]
    if not vote:
        return firsts
    sums = np.add.reduceat(logits[: bounds[-1]], bounds[:-1])
    return np.asarray(sums / np.diff(bounds)[:, None], dtype=np.float32)


def forbid(transitions: Transitions | None, allowed: Allowed) -> Transitions:
    """Transitions that cost more where they are not allowed; None = those that cost nothing otherwise."""
    costs = [torch.from_numpy(np.where(may, 0.0, FORBIDDEN).astype(np.float32)) for may in allowed]
    return Transitions(*costs) if transitions is None else Transitions(*map(torch.add, transitions, costs))


class Decided(NamedTuple):
    """The words of a sentence, (words,) each. probabilities: of these classes, in [0, 1]."""

    classes: NDArray[np.int64]
    probabilities: NDArray[np.float32]


def best_classes(sentences: Sequence[Scores], transitions: Transitions | None, *, crf: bool) -> list[Decided]:
    """What each sentence is decided to be; of equals the class of the lower number.

    sentences: (words, classes) each. transitions: None = the highest logit of every word for itself.
    crf: True = the probability of a class is that given the whole sentence, False = given the logits of the word alone.
    """
    decided: dict[int, Decided] = {}
    by_length = sorted(range(len(sentences)), key=lambda place: len(sentences[place]))
    for start in range(0, len(by_length), _SENTENCES_AT_ONCE):
        places = by_length[start : start + _SENTENCES_AT_ONCE]
        rows = [torch.from_numpy(sentences[place]) for place in places]
        lengths = torch.tensor([len(row) for row in rows])
        logits = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)
        # NumPy's argmax, because torch promises nothing of equals
        best = logits.numpy().argmax(2) if transitions is None else viterbi(logits, lengths, transitions).numpy()
        chances = marginals(logits, lengths, transitions) if crf and transitions is not None else logits.softmax(2)
        chosen = np.take_along_axis(chances.numpy(), best.clip(min=0)[..., None], axis=2)[..., 0]
        for place, length, classes, chance in zip(places, lengths.tolist(), best, chosen, strict=True):
            decided[place] = Decided(classes[:length], chance[:length])
    return [decided[place] for place in range(len(sentences))]
