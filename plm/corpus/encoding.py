"""A block of text as token ids: what every process of a preparation does."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plm.corpus.places import BlockPlace, read
from plm.corpus.reading import Block, Position, TextLayout, documents_of
from plm.corpus.segmenters import Segmenter, word_starts
from plm.corpus.store import token_type
from plm.corpus.survey import BlockFacts
from plm.tokenizers import Tokenizer
from plm.tokenizers.word_cache import WordCache


@dataclass(frozen=True, eq=False)
class EncodedBlock:
    """The sentences of a block that have tokens.

    ids: of all of them, in the type of the corpus. lengths: (sentences,), uint32. ends: rising, how many of the
    sentences are there when a document ends. starts: (ids,), bool, where words start; None without segmenter.
    facts: for the survey. text: SHA-256 of the block's bytes. next: where the text goes on. file, disk_end: see Block.
    """

    ids: NDArray[Any]
    lengths: NDArray[np.uint32]
    ends: NDArray[np.int64]
    starts: NDArray[np.bool_] | None
    facts: BlockFacts
    text: bytes
    next: Position
    file: int
    disk_end: int


class BlockEncoder:
    """Encodes blocks, alike in every process; the words that it has met make it faster, nothing else.

    segmenter: text -> words, where those of the vocabulary's pieces ("##") do not do; None = they do.
    """

    def __init__(self, tokenizer: Tokenizer, layout: TextLayout, segmenter: Segmenter | None = None) -> None:
        self.tokenizer, self.layout, self.segmenter = tokenizer, layout, segmenter
        self.cache = WordCache(tokenizer)
        self.type = token_type(len(tokenizer))

    def __call__(self, found: Block | BlockPlace) -> EncodedBlock:
        """Raises DataError naming file and line of what is no text."""
        block = read(found)
        sentences, ends = documents_of(block, self.layout)
        ids, lengths = self.cache.encode(sentences)
        starts = self._word_starts(sentences, ids, lengths)
        if not lengths.all():  # of control characters, for example, nothing is left
            has_tokens = lengths > 0
            sentences = [sentence for sentence, kept in zip(sentences, has_tokens, strict=True) if kept]
            ends = np.concatenate([[0], np.cumsum(has_tokens)])[ends].tolist()
            lengths = lengths[has_tokens]
        return EncodedBlock(
            ids=ids.astype(self.type),
            lengths=lengths.astype(np.uint32),
            ends=np.array(ends, dtype=np.int64),
            starts=starts,
            facts=BlockFacts.of(sentences, ends=ends, lengths=lengths, ids=ids, unknown_id=self.tokenizer.unk_token_id),
            text=hashlib.sha256(block.raw).digest(),
            next=block.next,
            file=block.file,
            disk_end=block.disk_end,
        )

    def _word_starts(
        self, sentences: Sequence[str], ids: NDArray[Any], lengths: NDArray[np.int64]
    ) -> NDArray[np.bool_] | None:
        if self.segmenter is None:
            return None
        return word_starts(sentences, ids, lengths, segmenter=self.segmenter, cache=self.cache)
