"""What is made of a corpus, by kind: pairs of texts, single texts, stretches; and what a model learns from each."""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from plm.auto.tokenizer import AutoTokenizer
from plm.config import from_dict
from plm.corpus.examples import Examples, PairExamples, StretchExamples, TextExamples
from plm.corpus.pairs import NextSentence
from plm.corpus.record_examples import RecordCorpus
from plm.corpus.record_index import default_index_folder
from plm.corpus.store import Corpus
from plm.data.masking import Masking
from plm.errors import ConfigError, DataError
from plm.registry import Registry
from plm.runs.objectives import MASKED_WORDS, MASKED_WORDS_AND_NEXT_SENTENCE, NEXT_WORD, Objective
from plm.tokenizers import Tokenizer


class Source(Protocol):
    """What examples are made of: plm.corpus.store.Corpus, or plm.corpus.record_examples.RecordCorpus."""

    @property
    def tokenizer(self) -> Tokenizer:
        """Whose ids it holds."""
        ...

    def count_tokens(self, most: int) -> NDArray[np.int64]:
        """(vocabulary,), how often each token is there, counted in about `most` of them."""
        ...


class ExampleOptions(ABC):
    """Options of one kind of examples: a frozen dataclass, registered in EXAMPLES."""

    def open(self, path: str) -> Source:
        """What a recipe names as its corpus: a folder that `plm prepare-corpus` wrote."""
        return Corpus.open(path)

    @property
    @abstractmethod
    def objective(self) -> Objective:
        """What a model learns from them."""

    @property
    @abstractmethod
    def predicted_share(self) -> float:
        """About which share of the tokens a model predicts."""

    @abstractmethod
    def examples(self, corpus: Any, *, max_length: int, seed: int) -> Examples:
        """Those of what `open` gave.

        max_length: tokens of the longest, special ones included. seed: of everything random.
        """


EXAMPLES: Registry[type[Any]] = Registry("kind of examples")
"""What [examples] of a recipe may be; each an ExampleOptions."""


@dataclass(frozen=True, kw_only=True)
class PairOptions(ExampleOptions):
    """Pairs of texts with masked words, the second of them the next one or not: BERT, NEZHA.

    next_sentence, short_probability: as plm.corpus.pairs.PairPlan has them. masking: its seed is that of the run.
    """

    next_sentence: NextSentence = "random"
    short_probability: float = 0.1
    masking: Masking = field(default_factory=Masking)

    def __post_init__(self) -> None:
        _check_masking(self.masking)

    @property
    def objective(self) -> Objective:
        """Masked words and next sentence."""
        return MASKED_WORDS_AND_NEXT_SENTENCE

    @property
    def predicted_share(self) -> float:
        """Of masked words."""
        return self.masking.probability

    def examples(self, corpus: Corpus, *, max_length: int, seed: int) -> Examples:
        """See ExampleOptions."""
        return PairExamples(
            corpus,
            max_length=max_length,
            masking=dataclasses.replace(self.masking, seed=seed),
            next_sentence=self.next_sentence,
            short_probability=self.short_probability,
            seed=seed,
        )


@dataclass(frozen=True, kw_only=True)
class TextOptions(ExampleOptions):
    """Single texts with masked words, without next sentences, as RoBERTa has them.

    short_probability: as plm.corpus.stretches.SentencePlan has it. masking: its seed is that of the run.
    """

    short_probability: float = 0.0
    masking: Masking = field(default_factory=Masking)

    def __post_init__(self) -> None:
        _check_masking(self.masking)

    @property
    def objective(self) -> Objective:
        """Masked words."""
        return MASKED_WORDS

    @property
    def predicted_share(self) -> float:
        """Of masked words."""
        return self.masking.probability

    def examples(self, corpus: Corpus, *, max_length: int, seed: int) -> Examples:
        """See ExampleOptions."""
        return TextExamples(
            corpus,
            max_length=max_length,
            masking=dataclasses.replace(self.masking, seed=seed),
            short_probability=self.short_probability,
            seed=seed,
        )


@dataclass(frozen=True, kw_only=True)
class StretchOptions(ExampleOptions):
    """Blocks of consecutive tokens, each to be predicted from those before it: GPT-1.

    across_documents, keep_short: as plm.corpus.stretches.StretchPlan has them.
    """

    across_documents: bool = False
    keep_short: bool = True

    @property
    def objective(self) -> Objective:
        """The next word."""
        return NEXT_WORD

    @property
    def predicted_share(self) -> float:
        """All of them."""
        return 1.0

    def examples(self, corpus: Corpus, *, max_length: int, seed: int) -> Examples:
        """See ExampleOptions."""
        return StretchExamples(
            corpus,
            max_length=max_length,
            across_documents=self.across_documents,
            keep_short=self.keep_short,
            seed=seed,
        )


@dataclass(frozen=True, kw_only=True)
class RecordOptions(ExampleOptions):
    """Examples of TFRecord files, as Google's and NEZHA's scripts wrote them: pairs whose masks are fixed.

    tokenizer: of those who wrote them: a folder with the vocabulary, or a name on the hub.
    """

    tokenizer: str

    @property
    def objective(self) -> Objective:
        """Masked words and next sentence."""
        return MASKED_WORDS_AND_NEXT_SENTENCE

    @property
    def predicted_share(self) -> float:
        """What those scripts mask by default."""
        return 0.15

    def open(self, path: str) -> RecordCorpus:
        """A file, a folder, or a pattern."""
        tokenizer = AutoTokenizer.from_pretrained(self.tokenizer)
        return RecordCorpus.open(path, tokenizer, index_folder=default_index_folder())

    def examples(self, corpus: RecordCorpus, *, max_length: int, seed: int) -> Examples:
        """See ExampleOptions. Raises DataError for longer ones: nobody could cut them and keep their masks."""
        longest = int(corpus.examples.lengths.max())
        if longest > max_length:
            raise DataError(f"max_length: the longest of the records has {longest} tokens, got {max_length}")
        return corpus.examples


EXAMPLES.add("pairs", PairOptions)
EXAMPLES.add("texts", TextOptions)
EXAMPLES.add("stretches", StretchOptions)
EXAMPLES.add("records", RecordOptions)


def examples_from_dict(values: Mapping[str, Any], *, source: str = "examples") -> ExampleOptions:
    """From one table: `kind`, a name in EXAMPLES, and the fields of that kind.

    Raises ConfigError naming the field that is missing, unknown or of a wrong type.
    """
    kind = values.get("kind")
    if not isinstance(kind, str):
        raise ConfigError(f"{source}: missing field 'kind', one of {', '.join(map(repr, EXAMPLES.names()))}")
    chosen = EXAMPLES.get(kind)
    options: ExampleOptions = from_dict(
        chosen, {name: value for name, value in values.items() if name != "kind"}, source=source
    )
    return options


def examples_to_dict(options: ExampleOptions) -> dict[str, Any]:
    """The table that `examples_from_dict` reads; what is None is left out, and the seed of masks."""
    kind = next(name for name, known in EXAMPLES.items() if type(options) is known)
    values = dataclasses.asdict(options)  # type: ignore[call-overload]
    if "masking" in values:
        values["masking"] = {name: value for name, value in values["masking"].items() if name != "seed"}
    return {"kind": kind, **values}


def _check_masking(masking: Masking) -> None:
    if masking.seed != Masking().seed:
        raise ConfigError("masking: seed: is that of the run: set training.seed")
    if not masking.probability:
        raise ConfigError("masking: probability: without masked words there is nothing to learn")
