"""The facts of a corpus, gathered block by block."""

from __future__ import annotations

import copy
import zlib
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from plm.config import to_dict
from plm.corpus.survey.block import LONGEST, SAMPLED, BlockFacts
from plm.corpus.survey.counts import MEMORY, Histogram, Integers, Repeats, packed, quoted, unpacked
from plm.corpus.survey.facts import CorpusFacts, LongSentence, Spread
from plm.corpus.survey.report import draw, markdown
from plm.corpus.survey.text import capitals, characters, letters
from plm.corpus.survey.vocabulary import folds_case, unknown_words, vocabulary_letters
from plm.corpus.survey.warnings import warnings
from plm.errors import DataError
from plm.tokenizers import Tokenizer

# Repeated sentences that are quoted.
_FREQUENT = 5


class Survey:
    """The facts of a corpus so far.

    tokenizer: of the corpus; without one, the account does not name unknown words nor judge the vocabulary.
    model_length: longest row of the model that will learn from the corpus, in tokens.
    memory: sentences of which a hash is remembered; corpora with more distinct ones get an estimate.
    """

    def __init__(self, tokenizer: Tokenizer | None = None, *, model_length: int = 512, memory: int = MEMORY) -> None:
        self._tokenizer, self._model_length = tokenizer, model_length
        self._repeats = Repeats(memory)
        self._histograms = {name: Histogram() for name in ("sentence_tokens", "document_tokens", "document_sentences")}
        self._byte_counts: Integers = np.zeros(256, dtype=np.int64)
        self._marks: Counter[str] = Counter()
        self._open = (0, 0)
        self._counts: Counter[str] = Counter()
        self._unknown_samples: dict[int, str] = {}
        self._longest: list[tuple[int, int, str]] = []

    def add(self, facts: BlockFacts) -> None:
        """Take in the next block."""
        before = self._counts["sentences"]
        self._add_documents(facts.pieces)
        self._histograms["sentence_tokens"].merge(facts.lengths)
        self._repeats.add(facts.hashes, facts.heads)
        self._byte_counts = self._byte_counts + facts.byte_counts
        self._marks.update(facts.marks)
        self._counts.update(sentences=len(facts.hashes), unknown=facts.unknown, small_starts=facts.small_starts)
        samples = {**facts.unknown_samples, **self._unknown_samples}  # what came first stays
        self._unknown_samples = dict(sorted(samples.items())[:SAMPLED])
        longest = [(tokens, before + place, quoted(facts.heads[place])) for tokens, place in facts.longest]
        self._longest = sorted([*self._longest, *longest], key=lambda long: (-long[0], long[1]))[:LONGEST]

    def facts(self) -> dict[str, Any]:
        """`told()` as JSON values."""
        return to_dict(self.told())

    def told(self) -> CorpusFacts:
        """What is known. A document that has not ended counts as if it ended here."""
        sizes = self._closed()
        repeats = self._repeats.settled()
        sentences, tokenizer = self._counts["sentences"], self._tokenizer
        upper, lower = capitals(self._byte_counts)
        return CorpusFacts(
            documents=sizes["document_tokens"].number,
            sentences=sentences,
            tokens=sizes["sentence_tokens"].total,
            characters=characters(self._byte_counts),
            bytes=int(self._byte_counts.sum()),
            unknown_tokens=self._counts["unknown"],
            unknown_words=unknown_words(tokenizer, self._unknown_samples.values()) if tokenizer is not None else (),
            sentence_tokens=Spread.of(sizes["sentence_tokens"]),
            document_tokens=Spread.of(sizes["document_tokens"]),
            document_sentences=Spread.of(sizes["document_sentences"]),
            documents_of_one_sentence=sizes["document_sentences"].number - sizes["document_sentences"].above(1),
            model_length=self._model_length,
            sentences_over_model_length=sizes["sentence_tokens"].above(self._model_length),
            longest=tuple(LongSentence(tokens, place + 1, text) for tokens, place, text in self._longest),
            distinct_sentences=min(repeats.distinct, sentences),
            distinct_error=repeats.error,
            frequent=tuple(repeats.frequent(_FREQUENT)),
            letters=letters(self._byte_counts),
            capitals=upper,
            small_letters=lower,
            small_starts=self._counts["small_starts"],
            marks=dict(sorted(self._marks.items())),
            vocabulary_letters=vocabulary_letters(tokenizer) if tokenizer is not None else {},
            folds_case=tokenizer is not None and folds_case(tokenizer),
        )

    def warnings(self) -> list[str]:
        """What is likely not meant, with the way out; a sentence or some each."""
        return warnings(self.told())

    def markdown(self, title: str, settings: Mapping[str, object]) -> str:
        """An account for people: warnings, figures, lengths, and the settings that the corpus was made with."""
        facts = self.told()
        return markdown(facts, title=title, warnings=warnings(facts), settings=settings)

    def draw(self, path: Path | str) -> None:
        """A picture of how long sentences and documents are, in the format of the suffix: .png, .svg, .pdf.

        Raises BackendUnavailable without matplotlib (extra "plot").
        """
        sizes = self._closed()
        draw(Path(path), sentences=sizes["sentence_tokens"], documents=sizes["document_tokens"])

    def state_dict(self) -> dict[str, Any]:
        """Everything as JSON values, 3 MB at most by the default memory: a survey that loads it goes on from here."""
        return {
            "repeats": self._repeats.state_dict(),
            "histograms": {name: histogram.state_dict() for name, histogram in self._histograms.items()},
            "byte_counts": packed(self._byte_counts),
            "marks": dict(sorted(self._marks.items())),
            "open": list(self._open),
            "counts": dict(self._counts),
            "unknown_samples": [[hashed, text] for hashed, text in self._unknown_samples.items()],
            "longest": [list(long) for long in self._longest],
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state_dict` gave. Raises DataError when it is something else."""
        try:
            self._load(state)
        except (KeyError, TypeError, ValueError, zlib.error) as error:
            raise DataError(f"expected the state of a survey, got something damaged ({error}); begin anew") from error

    def _load(self, state: Mapping[str, Any]) -> None:
        self._repeats.load_state_dict(state["repeats"])
        for name, histogram in self._histograms.items():
            histogram.load_state_dict(state["histograms"][name])
        self._byte_counts = unpacked(state["byte_counts"], np.int64)
        self._marks, self._counts = Counter(state["marks"]), Counter(state["counts"])
        sentences, tokens = state["open"]
        self._open = (sentences, tokens)
        self._unknown_samples = {int(hashed): text for hashed, text in state["unknown_samples"]}
        self._longest = [(tokens, place, text) for tokens, place, text in state["longest"]]

    def _add_documents(self, pieces: Integers) -> None:
        pieces = pieces.copy()
        pieces[0] += self._open
        self._open = (int(pieces[-1, 0]), int(pieces[-1, 1]))
        for name, histogram in _documents(pieces[:-1]).items():
            self._histograms[name].merge(histogram)

    def _closed(self) -> dict[str, Histogram]:
        """The histograms with the open document in them."""
        closed = copy.deepcopy(self._histograms)
        for name, histogram in _documents(np.array([self._open])).items():
            closed[name].merge(histogram)
        return closed


def _documents(pieces: Integers) -> dict[str, Histogram]:
    """Sizes of documents, those without sentences left out. pieces: (documents, 2), sentences and tokens."""
    real = pieces[pieces[:, 0] > 0]
    return {"document_sentences": Histogram.of(real[:, 0]), "document_tokens": Histogram.of(real[:, 1])}
