"""Examples of pretraining, made when they are asked for: pairs, texts and stretches of a corpus.

Everything is a function of (seed, epoch, number of the example): an epoch is planned from the lengths of sentences, and
after that any batch can be had at once, in any order, in any process.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from plm.corpus.flat import FlatBatch, gather, gather_plain
from plm.corpus.lanes import sentence_ends
from plm.corpus.pairs import NextSentence, PairPlan, Pairs
from plm.corpus.store import Corpus
from plm.corpus.stretches import SentencePlan, Stretches, StretchPlan
from plm.data.fingerprint import digest
from plm.data.masking import Masking, Pieces, mask_flat
from plm.errors import DataError, TokenizerError

Ints = NDArray[np.int64]
Numbers = NDArray[Any]


class Examples(Protocol):
    """Where the examples of every pass come from."""

    def epoch(self, number: int) -> ExampleEpoch:
        """Pass `number`, from 0."""
        ...

    def fingerprint(self) -> dict[str, int | str]:
        """Facts that tell corpus and settings from others."""
        ...


@dataclass(frozen=True)
class ExampleEpoch:
    """The examples of one pass over a corpus.

    lengths: (examples,), int64, tokens of each, special ones included. make: numbers of examples -> these examples.
    """

    lengths: Ints
    make: Callable[[Ints], FlatBatch]
    pad_token_id: int

    def __len__(self) -> int:
        return len(self.lengths)

    def flat(self, rows: Ints) -> FlatBatch:
        """Some examples, by number, without padding. rows: (texts,), in any order."""
        return self.make(np.asarray(rows, dtype=np.int64))

    def batch(self, rows: Ints) -> dict[str, Tensor]:
        """The same as padded tensors; see FlatBatch.tensors."""
        return self.flat(rows).tensors(pad_token_id=self.pad_token_id)


class PairExamples:
    """BERT's [CLS] A [SEP] B [SEP], some words hidden: of pass n, those that PairPlan makes of its number.

    max_length: tokens of the longest, special ones included. masking: None = nothing is hidden.
    next_sentence, short_probability, seed: see PairPlan.
    Raises ConfigError for numbers that cannot be, DataError for an empty corpus, or a single document where the second
    text is to come from another one, TokenizerError for a vocabulary without BERT's special tokens.
    """

    def __init__(
        self,
        corpus: Corpus,
        *,
        max_length: int,
        masking: Masking | None,
        next_sentence: NextSentence = "random",
        short_probability: float = 0.1,
        seed: int = 42,
    ) -> None:
        self.texts = MaskedTexts(corpus, masking)
        self.plan = PairPlan(
            max_tokens=max_length - 3, next_sentence=next_sentence, short_probability=short_probability, seed=seed
        )
        self.ends = sentence_ends(corpus.sentences)
        self.plan.check(corpus.documents)

    def epoch(self, number: int) -> ExampleEpoch:
        """See Examples. About a second for 2 million pairs."""
        pairs = self.plan.pairs(self.ends, self.texts.corpus.documents, epoch=number)
        lengths = pairs.a_length.astype(np.int64) + pairs.b_length + 3
        return ExampleEpoch(lengths, partial(self._make, pairs, number), self.texts.padding)

    def fingerprint(self) -> dict[str, int | str]:
        """See Examples."""
        return self.texts.fingerprint(self.plan)

    def _make(self, pairs: Pairs, epoch: int, rows: Ints) -> FlatBatch:
        chosen = pairs.part(rows)
        starts = np.stack([chosen.a_start, chosen.b_start], axis=1).astype(np.int64)
        lengths = np.stack([chosen.a_length, chosen.b_length], axis=1).astype(np.int64)
        return self.texts.batch(starts, lengths, index=rows, epoch=epoch, next_sentence=chosen.label)


class TextExamples:
    """[CLS] text [SEP] of consecutive sentences of a document, some words hidden, for models of masked words alone.

    max_length: tokens of the longest, special ones included. masking: None = nothing is hidden.
    short_probability, seed: see SentencePlan. Raises as PairExamples does.
    """

    def __init__(
        self,
        corpus: Corpus,
        *,
        max_length: int,
        masking: Masking | None,
        short_probability: float = 0.0,
        seed: int = 42,
    ) -> None:
        self.texts = MaskedTexts(corpus, masking)
        self.plan = SentencePlan(max_tokens=max_length - 2, short_probability=short_probability, seed=seed)
        self.ends = sentence_ends(corpus.sentences)

    def epoch(self, number: int) -> ExampleEpoch:
        """See Examples."""
        texts = self.plan.stretches(self.ends, self.texts.corpus.documents, epoch=number)
        return ExampleEpoch(texts.length + 2, partial(self._make, texts, number), self.texts.padding)

    def fingerprint(self) -> dict[str, int | str]:
        """See Examples."""
        return self.texts.fingerprint(self.plan)

    def _make(self, texts: Stretches, epoch: int, rows: Ints) -> FlatBatch:
        starts, lengths = texts.start[rows, None], texts.length[rows, None]
        return self.texts.batch(starts, lengths, index=rows, epoch=epoch, next_sentence=None)


class StretchExamples:
    """GPT-1's blocks of consecutive tokens; the labels are the tokens themselves.

    max_length: tokens of a block. across_documents, keep_short, seed: see StretchPlan.
    Raises ConfigError for numbers that cannot be, DataError for an empty corpus.
    """

    def __init__(
        self,
        corpus: Corpus,
        *,
        max_length: int,
        across_documents: bool = False,
        keep_short: bool = True,
        seed: int = 42,
    ) -> None:
        _require_documents(corpus)
        self.corpus, self.tokens = corpus, np.asarray(corpus.tokens)
        self.plan = StretchPlan(
            max_tokens=max_length, across_documents=across_documents, keep_short=keep_short, seed=seed
        )

    def epoch(self, number: int) -> ExampleEpoch:
        """See Examples."""
        blocks = self.plan.stretches(self.corpus.documents, epoch=number)
        return ExampleEpoch(blocks.length, partial(self._make, blocks), self.corpus.tokenizer.pad_token_id or 0)

    def fingerprint(self) -> dict[str, int | str]:
        """See Examples."""
        return {**self.corpus.fingerprint(), "examples of": digest(self.plan)}

    def _make(self, blocks: Stretches, rows: Ints) -> FlatBatch:
        lengths = blocks.length[rows]
        ids = gather_plain(self.tokens, blocks.start[rows], lengths)
        return FlatBatch(ids, lengths, None, np.arange(len(ids)), ids, None, rows)


class MaskedTexts:
    """Texts of a corpus between special tokens, some of their words hidden: what pairs and texts have in common."""

    def __init__(self, corpus: Corpus, masking: Masking | None) -> None:
        _require_documents(corpus)
        tokenizer = corpus.tokenizer
        first, last = tokenizer.cls_token_id, tokenizer.sep_token_id
        if first is None or last is None:
            raise TokenizerError("texts stand between cls_token and sep_token; the vocabulary lacks one of them")
        self.opening, self.closing, self.padding = first, last, tokenizer.pad_token_id or 0
        self.corpus, self.tokens = corpus, np.asarray(corpus.tokens)
        self.masking, self.pieces = masking or Masking(probability=0.0), Pieces(tokenizer)

    def batch(
        self, starts: Ints, lengths: Ints, *, index: Ints, epoch: int, next_sentence: Numbers | None
    ) -> FlatBatch:
        """Texts of some parts each. starts, lengths: (texts, parts). next_sentence: (texts,), 0 or 1."""
        texts = gather(self.tokens, starts, lengths, opening=self.opening, closing=self.closing)
        masked = mask_flat(
            texts.ids,
            texts.lengths,
            index=index,
            epoch=epoch,
            masking=self.masking,
            pieces=self.pieces,
            starts=self.corpus.word_starts(texts.source) if self.corpus.has_word_starts else None,
        )
        return FlatBatch(masked.ids, texts.lengths, texts.types, masked.places, masked.labels, next_sentence, index)

    def fingerprint(self, plan: object) -> dict[str, int | str]:
        """Of corpus, plan and masking."""
        return {**self.corpus.fingerprint(), "examples of": digest([plan, self.masking])}


def _require_documents(corpus: Corpus) -> None:
    if not len(corpus):
        raise DataError(f"{corpus.folder or 'the corpus'}: holds no documents")
