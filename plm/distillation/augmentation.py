"""TinyBERT's data augmentation: variants of a text in which some words are others that would fit as well.

    vectors = WordVectors.read("glove.42B.300d.txt")
    augmenter = Augmenter(Augmentation(variants=20), model=bert, tokenizer=tokenizer, vectors=vectors)
    list(augmenter.augment(["A gripping film"]))    # [["A gripping film", "A gripping movie", "A tense film", ...]]

A word that is one token of the vocabulary gets what a masked language model would write in its place; a word of several
pieces gets its neighbours among word vectors; stop words, numbers and signs stay. Around the replaced words a text
keeps every character, and these take the case of what they replace.

Source: Jiao et al. 2020, section 3.3 and algorithm 1; what the paper leaves open is as in the upstream code.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from tqdm import tqdm

from plm.config import require_choice, require_positive, require_types
from plm.data.fingerprint import digest
from plm.distillation.masked_words import TOKENS_PER_BATCH, MaskedWords
from plm.distillation.replaceable import LANGUAGES, Segmenter, Span, in_case_of, other_words, replaceable
from plm.distillation.word_vectors import WordVectors
from plm.errors import ConfigError
from plm.heads.model import Model
from plm.tokenizers import Tokenizer

VARIANTS: Mapping[str, int] = {
    "cola": 30,
    "mnli": 10,
    "mrpc": 30,
    "sst-2": 20,
    "sts-b": 30,
    "qqp": 10,
    "qnli": 20,
    "rte": 30,
}
"""Variants of a text for the GLUE tasks, as in the upstream code; the paper takes 20 for all."""

Replacement = tuple[Span, tuple[str, ...]]
"""Where a word stands, and what may stand there instead."""

# Texts whose words are looked up together.
TEXTS_AT_A_TIME = 1000

# Texts whose replacements are remembered, for files that repeat them: MNLI has every premise three times.
_REMEMBERED = 20_000


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """How much is varied, and how.

    variants: of each text, at most; those that come out alike count once. probability: of a word to be replaced.
    candidates: words that may replace one. seed: of everything random.
    language: a name in LANGUAGES, which says what words are.
    passes: what the masked language model is asked: "word" = each word for itself, as upstream; "text" = all words of a
        text in one pass, a few times faster, with mostly the same candidates. See plm.distillation.fill_rows.
    max_length: tokens that it sees at a time, half of them for each copy of the text.
    """

    variants: int = 20
    candidates: int = 15
    probability: float = 0.4
    seed: int = 42
    language: str = "en"
    passes: Literal["word", "text"] = "word"
    max_length: int = 512

    def __post_init__(self) -> None:
        require_types(self)
        require_positive(self, "variants", "candidates", "max_length")
        require_choice(self, "language", LANGUAGES.names())
        if not 0.0 < self.probability <= 1.0:
            raise ConfigError(f"probability: expected a share of the words above 0 and up to 1, got {self.probability}")
        if self.seed < 0:
            raise ConfigError(f"seed: expected 0 or more, got {self.seed}")


class Augmenter:
    """Makes variants of texts.

    model, tokenizer: a masked language model (AutoModelForMaskedLM) with its tokenizer, where it runs is where it is;
        None = word vectors alone. vectors: None = words of several pieces stay as they are.
    segmenter: splits a text into words, such as jieba.lcut; None = as the language does (Chinese: characters).
    Raises ConfigError when there is nothing to take words from, or a model without tokenizer.
    """

    def __init__(
        self,
        settings: Augmentation | None = None,
        *,
        model: Model | None = None,
        tokenizer: Tokenizer | None = None,
        vectors: WordVectors | None = None,
        segmenter: Segmenter | None = None,
        tokens_per_batch: int = TOKENS_PER_BATCH,
    ) -> None:
        if (model is None) != (tokenizer is None):
            raise ConfigError("a masked language model and its tokenizer go together; give both or none")
        if model is None and vectors is None:
            raise ConfigError("nothing to take words from: give model= and tokenizer=, vectors=, or all of them")
        self.settings = settings or Augmentation()
        self._language = LANGUAGES.get(self.settings.language)
        self._segmenter, self._vectors = segmenter, vectors
        self._masked_words = None
        if model is not None and tokenizer is not None:
            self._masked_words = MaskedWords(
                model,
                tokenizer,
                is_candidate=self._is_word,
                passes=self.settings.passes,
                max_length=self.settings.max_length,
                tokens_per_batch=tokens_per_batch,
            )
        self._known: dict[str, list[Replacement]] = {}
        self._near: dict[str, list[str]] = {}

    def augment(self, texts: Sequence[str]) -> Iterator[list[str]]:
        """Each text with its variants behind it, in order. Shows a progress bar on a terminal after two seconds."""
        with tqdm(total=len(texts), desc="augmenting", unit="text", disable=None, delay=2, leave=False) as bar:
            for start in range(0, len(texts), TEXTS_AT_A_TIME):
                chunk = texts[start : start + TEXTS_AT_A_TIME]
                yield from self.augment_rows(chunk, range(start, start + len(chunk)))
                bar.update(len(chunk))

    def augment_rows(self, texts: Sequence[str], rows: Sequence[int], *, column: int = 0) -> list[list[str]]:
        """The same for texts that stand in these rows and this column of a table, all at once.

        What is drawn depends on the seed, row and column alone, not on the other texts.
        """
        replacements = self.replacements(texts)
        return [
            [text, *self._variants(text, words, np.random.default_rng((self.settings.seed, row, column)))]
            for text, words, row in zip(texts, replacements, rows, strict=True)
        ]

    def fingerprint(self) -> dict[str, str]:
        """What variants depend on besides their texts, in short."""
        vectors, segmenter = self._vectors, self._segmenter
        return {
            "settings": digest(self.settings),
            "model": "none" if self._masked_words is None else self._masked_words.fingerprint(),
            "vectors": "none" if vectors is None else digest([vectors.words, vectors.matrix]),
            "segmenter": "none" if segmenter is None else getattr(segmenter, "__qualname__", type(segmenter).__name__),
        }

    def state_dict(self) -> dict[str, Any]:
        """What is remembered of texts and words, as JSON values.

        Scores of a model differ in their last digits with the texts that it sees at a time, and with them, in rare
        cases, candidates: only who remembers the same asks it the same.
        """
        return {"texts": list(self._known.items()), "words": self._near}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Remember what state_dict() told."""
        self._near = dict(state["words"])
        self._known = {
            text: [((start, end), tuple(others)) for (start, end), others in words] for text, words in state["texts"]
        }

    def replacements(self, texts: Sequence[str]) -> list[list[Replacement]]:
        """For each text the words that may be replaced, in order, and by what: best first, in the case of the word."""
        new = [text for text in dict.fromkeys(texts) if text not in self._known]
        if len(self._known) + len(new) > _REMEMBERED:
            self._known = {text: self._known[text] for text in texts if text in self._known}
        words = [replaceable(text, self._language, self._segmenter) for text in new]
        for text, spans, options in zip(new, words, self._options(new, words), strict=True):
            pairs = zip(spans, options, strict=True)
            self._known[text] = [(span, tuple(others)) for span, others in pairs if others]
        return [self._known[text] for text in texts]

    def _options(self, texts: Sequence[str], words: Sequence[Sequence[Span]]) -> list[list[list[str]]]:
        """What may stand in place of each word of each text; nothing where nobody knows anything."""
        count = self.settings.candidates
        found: list[list[list[str] | None]] = [[None] * len(spans) for spans in words]
        if self._masked_words is not None:
            found = self._masked_words.fill(texts, words, count=count)
        self._look_up(
            text[start:end]
            for text, spans, options in zip(texts, words, found, strict=True)
            for (start, end), option in zip(spans, options, strict=True)
            if option is None
        )
        return [
            [
                [in_case_of(other, word) for other in (self._near[word] if option is None else option)]
                for word, option in zip((text[start:end] for start, end in spans), options, strict=True)
            ]
            for text, spans, options in zip(texts, words, found, strict=True)
        ]

    def _look_up(self, words: Iterable[str]) -> None:
        """Take note of the neighbours of words, of none where there are no vectors."""
        new = [word for word in dict.fromkeys(words) if word not in self._near]
        count = self.settings.candidates
        # Twice as many: signs and other cases of the word may be among them.
        nearest = [[]] * len(new) if self._vectors is None else self._vectors.nearest(new, 2 * count)
        for word, others in zip(new, nearest, strict=True):
            self._near[word] = other_words(filter(self._is_word, others), word)[:count]

    def _is_word(self, token: str) -> bool:
        return self._language.word.fullmatch(token) is not None

    def _variants(self, text: str, words: Sequence[Replacement], random: np.random.Generator) -> list[str]:
        """Up to `variants` different ones, none of them the text itself."""
        shape = (self.settings.variants, len(words))
        is_replaced = random.random(shape) < self.settings.probability
        counts = np.array([len(options) for _, options in words], dtype=np.int64)
        choices = (random.random(shape) * counts).astype(np.int64)
        # In alphabetical order: the last digits of a score, which depend on the batch, shall not decide.
        sorted_words = [(span, sorted(options)) for span, options in words]
        variants: dict[str, None] = {}
        for replaced, chosen in zip(is_replaced.tolist(), choices.tolist(), strict=True):
            pieces, end = [], 0
            for ((start, stop), options), is_new, choice in zip(sorted_words, replaced, chosen, strict=True):
                if is_new:
                    pieces += [text[end:start], options[choice]]
                    end = stop
            variants["".join([*pieces, text[end:]])] = None
        variants.pop(text, None)
        return list(variants)


def variants_of(task: str, variants: int | None = None) -> int:
    """Variants of a text: `variants` if it is given, else what VARIANTS says of a task, else the paper's number."""
    return VARIANTS.get(task, Augmentation.variants) if variants is None else variants
