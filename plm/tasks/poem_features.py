"""Poems as ids and wishes, and how an epoch shows them: with or without title, with all, some or none of the wishes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from plm.blocks.labels import IGNORED_LABEL
from plm.data.draws import draws, keys, swapped
from plm.errors import ConfigError, TokenizerError
from plm.poetry.cleaning import Poem
from plm.poetry.prompt import (
    FORM_TOKENS,
    MARKS,
    RHYME_STEP,
    TONE_STEP,
    TONES,
    body_tokens,
    form_of,
    places,
    prompt_tokens,
)
from plm.poetry.rhyme_books import RhymeBook
from plm.poetry.sounds import rhyming, tones_in
from plm.tokenizers import Tokenizer

Wishes = Literal["varied", "all", "none"]

# Draws of a poem in an epoch, by counter; those of its tokens follow.
_TITLE, _BLIND, _TONES, _RHYMES, _BY_TOKEN = range(5)

BLIND_SHARE, RHYME_SHARE = 0.1, 0.75
"""Shares of the poems that are shown without any wish, and of those that are shown with their rhymes."""


@dataclass(frozen=True, slots=True)
class PoemFeature:
    """A poem, of which title and wishes are kept or left out when a batch is made of it: anew in every epoch.

    prompt: ids up to the [SEP] before the poem. bare: the same without the title. body: ids of the poem and its [SEP].
    labels: the same, -100 where a character is unknown. places: numbers of the wishes for these tokens, without tones
    and rhymes. tones: 0 = unknown or none, 1 = level, 2 = oblique, 3 = both are possible. rhymes: 1 = it rhymes.
    index: position among the features, and among the poems.
    """

    prompt: list[int]
    bare: list[int]
    body: list[int]
    labels: list[int]
    places: list[int]
    tones: list[int]
    rhymes: list[int]
    index: int
    epoch: int = 0


@dataclass(frozen=True)
class Shown:
    """A poem as an epoch shows it. prompt: ids. numbers: of the wishes for each token of the poem and its [SEP]."""

    prompt: list[int]
    numbers: list[int]


@dataclass(frozen=True)
class PoemEncoder:
    """Makes features. unknown: id of [UNK]. tones: of every character in the vocabulary, as in PoemFeature."""

    ids: dict[str, int]
    unknown: int
    book: RhymeBook
    max_length: int
    longest_title: int

    @classmethod
    def of(cls, tokenizer: Tokenizer, book: RhymeBook, *, max_length: int, longest_title: int) -> PoemEncoder:
        """With the vocabulary of a tokenizer. Raises TokenizerError for one without forms and marks."""
        ids, unknown = tokenizer.get_vocab(), tokenizer.unk_token_id
        missing = [token for token in (*FORM_TOKENS.values(), *MARKS) if token not in ids]
        if missing or unknown is None:
            raise TokenizerError(f"the vocabulary is not that of a model of poems: it lacks {', '.join(missing)}")
        return cls(ids, unknown, book, max_length, longest_title)

    def __call__(self, poem: Poem, index: int) -> PoemFeature:
        """The feature of a poem; its title is cut to longest_title, and to what room there is."""
        body = self._ids(body_tokens(poem.body))
        form = form_of(poem.body)
        bare = self._ids(prompt_tokens(form))
        room = self.max_length - len(bare) - len(body)
        if room < 0:
            needed = len(bare) + len(body)
            raise ConfigError(f"max_length: the poem of line {poem.line} takes {needed} tokens, got {self.max_length}")
        title = poem.title[: min(room, self.longest_title)]
        rhymes = rhyming(poem.body, self.book)
        return PoemFeature(
            prompt=self._ids(prompt_tokens(form, title)),
            bare=bare,
            body=body,
            labels=[IGNORED_LABEL if id_ == self.unknown else id_ for id_ in body],
            places=places(poem.body),
            tones=[*(sum(TONES[tone] for tone in tones) for tones in tones_in(poem.body, self.book)), 0],
            rhymes=[int(place in rhymes) for place in range(len(body))],
            index=index,
        )

    def _ids(self, tokens: list[str]) -> list[int]:
        return [self.ids.get(token, self.unknown) for token in tokens]


def show(feature: PoemFeature, *, seed: int, title_dropout: float, wishes: Wishes) -> Shown:
    """A pure function of the poem, its epoch and the options, which are those of plm.tasks.Poems.

    Where a character may have either tone, and the form of the poem does not tell which, it shows one of them, drawn.
    """
    key = keys(seed, feature.epoch, feature.index)
    count = len(feature.body)
    drawn = draws(key, np.arange(_BY_TOKEN + count))
    chance = _uniform(drawn)
    prompt = feature.bare if chance[_TITLE] < title_dropout else feature.prompt
    if wishes == "none" or (wishes == "varied" and chance[_BLIND] < BLIND_SHARE):
        return Shown(prompt, [0] * count)
    # A share from -1/2 to 3/2: a quarter of the poems is below 0 and shows no tone, a quarter is above 1 and shows all.
    share = 2.0 if wishes == "all" else 2.0 * chance[_TONES] - 0.5
    with_rhymes = wishes == "all" or chance[_RHYMES] < RHYME_SHARE
    tones, rhymes = np.array(feature.tones), np.array(feature.rhymes)
    either = 1 + (_uniform(swapped(drawn))[_BY_TOKEN:] < 0.5)
    tones = np.where(tones == 3, either, tones) * (chance[_BY_TOKEN:] < share)
    return Shown(prompt, (np.array(feature.places) + TONE_STEP * tones + RHYME_STEP * rhymes * with_rhymes).tolist())


def _uniform(numbers: NDArray[np.uint64]) -> NDArray[np.float64]:
    """In [0, 1), of the upper 32 bits."""
    return (numbers >> np.uint64(32)) / 2.0**32
