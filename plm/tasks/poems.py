"""Poems: the next character of a poem, given its form, its title, and what each line and tone is to be.

    plm train configs/runs/poet.toml

How a model sees a poem stands in plm/poetry/prompt.py. What is learned is the poem and the [SEP] behind it, not the
prompt. Each epoch shows a poem otherwise: with or without its title, with all, some or none of its tones and rhymes
told, so that in the end every wish was seen. All of it is a function of seed, epoch and the number of the poem, so that
a continued run goes on as if it had never stopped.
"""

from __future__ import annotations

import dataclasses
import logging
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from plm.blocks.labels import IGNORED_LABEL
from plm.config import require_choice, require_positive
from plm.data.collate import pad_sequences
from plm.data.tables import read_lines
from plm.errors import ConfigError, DataError
from plm.metrics.perplexity import perplexity
from plm.poetry.cleaning import Poem, clean_poems
from plm.poetry.known_lines import FILE_NAME, KnownLines
from plm.poetry.prompt import FORM_IDS, FORM_TOKENS, MARKS, TYPES, form_of, token_types
from plm.poetry.rhyme_books import RhymeBook
from plm.poetry.vocabulary import frequent_characters, poem_tokens
from plm.tasks.poem_features import PoemEncoder, PoemFeature, Wishes, show
from plm.tasks.task import TASKS, Batch, Task
from plm.tokenizers import Tokenizer
from plm.tokenizers.special_tokens import BERT_TOKENS
from plm.tokenizers.wordpiece import build_wordpiece, frame_with

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Surprise:
    """How hard a poem was to foresee, in nats, summed.

    tokens: of the poem, marks and [SEP] included. characters: those of them that are characters. unknown: characters
    that the vocabulary lacks, which no other number counts.
    """

    tokens: int = 0
    nats: float = 0.0
    characters: int = 0
    character_nats: float = 0.0
    unknown: int = 0


@dataclass(frozen=True, kw_only=True)
class Poems(Task[Poem, PoemFeature, list[float], Surprise]):
    """Writing poems: a causal language model of files with `title:poem` a line, see plm.poetry.cleaning.

    book: the rhyme book that tells tones and rhymes, as plm.poetry.rhyme_books names it.
    longest: characters of a poem, marks included; longer ones are dropped. longest_title: characters that are kept.
    min_count: how often a character comes, in poems and titles, to be in the vocabulary. Where a poem has a rarer one,
        the model reads [UNK], and does not learn to write it.
    title_dropout: share of the poems whose title is left out.
    wishes: "varied" = a poem is shown with other wishes in each epoch: 1 time of 10 without any; 1 of 4 without tones,
        1 of 4 with all, else with a share of them; 3 of 4 with its rhymes. "all" = always all. "none" = never any.
        Evaluations see what epoch 0 sees.
    seed: of what is left out.
    characters: of the vocabulary; "" = the frequent ones of the training poems.
    """

    book: str = "pingshui"
    longest: int = 64
    longest_title: int = 16
    min_count: int = 8
    title_dropout: float = 0.3
    wishes: Wishes = "varied"
    seed: int = 42
    characters: str = ""

    def __post_init__(self) -> None:
        require_positive(self, "longest", "min_count")
        if not 0.0 <= self.title_dropout <= 1.0:
            raise ConfigError(f"title_dropout: expected a share from 0 to 1, got {self.title_dropout}")
        require_choice(self, "wishes", ("varied", "all", "none"))
        if self.longest_title < 0:
            raise ConfigError(f"longest_title: expected 0 or more characters, got {self.longest_title}")

    @property
    def head(self) -> str:
        """A causal language model."""
        return "causal_lm"

    @property
    def token_types(self) -> int:
        """One for each wish, see plm.poetry.prompt."""
        return TYPES

    def read(self, path: Path | str) -> list[Poem]:
        """The poems of a file that are whole and clean; how many are not is logged, with the reasons.

        Raises DataError for a file without poems.
        """
        cleaned = clean_poems(read_lines(path), longest=self.longest)
        account = "; ".join(cleaned.lines())
        if not cleaned.poems:
            raise DataError(f"{path}: {account}; expected lines like 登鹳雀楼:白日依山尽，黄河入海流。...")
        if cleaned.dropped:
            logger.warning("%s: %s", path, account)
        return list(cleaned.poems)

    def identity(self, example: Poem) -> str:
        """The poem alone: some stand under several titles."""
        return example.body

    def learned(self, examples: Sequence[Poem], *, source: str = "examples") -> Poems:
        """The same task, knowing the characters of its vocabulary."""
        if self.characters:
            return self
        characters = frequent_characters(examples, min_count=self.min_count)
        if not characters:
            raise DataError(f"{source}: no character comes {self.min_count} times; add poems, or set a lower min_count")
        return dataclasses.replace(self, characters=characters)

    def companions(self, examples: Sequence[Poem]) -> dict[str, bytes]:
        """The lines that are learned, so that a poet can tell what it only remembers."""
        return {FILE_NAME: KnownLines.of(line for poem in examples for line in poem.lines).to_bytes()}

    def model_options(self) -> dict[str, Any]:
        """No token sees those after it."""
        return {"is_decoder": True}

    def own_tokenizer(self, pretrained: Tokenizer | None) -> Tokenizer:
        """A token for each character and form. That of a model that has learned poems before stays as it is."""
        if pretrained is not None and set(FORM_TOKENS.values()) <= pretrained.get_vocab().keys():
            return pretrained
        ids = {token: id_ for id_, token in enumerate(poem_tokens(self.characters))}
        backend = build_wordpiece(ids, lower_case=False)
        frame_with(backend, BERT_TOKENS["cls_token"], BERT_TOKENS["sep_token"])
        tokenizer = Tokenizer(backend, special_tokens=BERT_TOKENS)
        tokenizer.add_special_tokens({"additional_special_tokens": list(FORM_TOKENS.values())})
        return tokenizer

    def encode(
        self,
        examples: Sequence[Poem],
        tokenizer: Tokenizer,
        *,
        max_length: int,
        source: str = "examples",
        has_labels: bool = True,
    ) -> list[PoemFeature]:
        """See Task; titles are cut to what room there is.

        Raises TokenizerError for a vocabulary without forms, ConfigError for a poem that is longer than max_length.
        """
        book = RhymeBook.named(self.book)
        encoder = PoemEncoder.of(tokenizer, book, max_length=max_length, longest_title=self.longest_title)
        return [encoder(poem, index) for index, poem in enumerate(examples)]

    def vary(self, features: Sequence[PoemFeature], epoch: int) -> list[PoemFeature]:
        """The same features as an epoch shows them."""
        return [dataclasses.replace(feature, epoch=epoch) for feature in features]

    def length(self, feature: PoemFeature) -> int:
        """With its title, whether that is left out or not."""
        return len(feature.prompt) + len(feature.body)

    def collate(self, features: Sequence[PoemFeature], *, pad_token_id: int) -> dict[str, Tensor]:
        """Each (poems, length), int64: input_ids, attention_mask, token_type_ids (the wishes), labels; and index.

        Labels are the ids of the poem; -100 in the prompt and where a character is unknown. Raises DataError for an
        empty batch.
        """
        if not features:
            raise DataError("a batch needs at least one poem")
        rows, types, labels = [], [], []
        for feature in features:
            shown = show(feature, seed=self.seed, title_dropout=self.title_dropout, wishes=self.wishes)
            rows.append([*shown.prompt, *feature.body])
            types.append(token_types(len(shown.prompt), shown.numbers))
            labels.append([*[IGNORED_LABEL] * len(shown.prompt), *feature.labels])
        lengths = torch.tensor([len(row) for row in rows])
        return {
            "input_ids": pad_sequences(rows, value=pad_token_id),
            "attention_mask": (torch.arange(int(lengths.max())) < lengths[:, None]).long(),
            "token_type_ids": pad_sequences(types, value=0),
            "labels": pad_sequences(labels, value=IGNORED_LABEL),
            "index": torch.tensor([feature.index for feature in features]),
        }

    def results(self, batch: Batch, output: Any) -> dict[int, list[float]]:
        """Nats of each token of a poem that is known, in order, by index."""
        logits = output.logits[:, :-1].float()
        labels = batch["labels"][:, 1:].to(logits.device)
        nats = F.cross_entropy(logits.transpose(1, 2), labels, ignore_index=IGNORED_LABEL, reduction="none")
        rows = zip(batch["index"].tolist(), nats.cpu(), (labels != IGNORED_LABEL).cpu(), strict=True)
        return {index: row[told].tolist() for index, row, told in rows}

    def answers(
        self, examples: Sequence[Poem], features: Sequence[PoemFeature], results: Mapping[int, list[float]]
    ) -> list[Surprise]:
        """One for each poem."""
        return [_surprise(feature, results[feature.index]) for feature in features]

    def score(self, examples: Sequence[Poem], answers: Sequence[Surprise]) -> dict[str, float]:
        """loss, nats a token, marks and [SEP] included; perplexity, e to the nats a character, marks and [SEP] not
        counted, of all poems and by form; unknown, the share of characters that the vocabulary lacks, not counted.

        Both depend on what the poems are shown with: see `wishes` and title_dropout.
        """
        total = _sum(answers)
        if not total.characters:
            raise DataError("the vocabulary knows no character of these poems")
        by_form: dict[str, list[Surprise]] = defaultdict(list)
        for poem, answer in zip(examples, answers, strict=True):
            by_form[form_of(poem.body)].append(answer)
        sums = {name: _sum(by_form[form]) for form, name in FORM_IDS.items() if form in by_form}
        return {
            "loss": total.nats / total.tokens,
            "perplexity": _perplexity(total),
            **{f"perplexity_{name}": _perplexity(one) for name, one in sums.items() if one.characters},
            "unknown": total.unknown / (total.unknown + total.characters),
        }

    def record(self, example: Poem, answer: Surprise) -> dict[str, Any]:
        """See Task."""
        return {"line": example.line, "title": example.title, "poem": example.body, **dataclasses.asdict(answer)}


def _surprise(feature: PoemFeature, nats: list[float]) -> Surprise:
    """nats: of the tokens that have a label."""
    is_character = [place not in MARKS.values() for place in feature.places]
    told = [label != IGNORED_LABEL for label in feature.labels]
    kept = [own for own, is_told in zip(is_character, told, strict=True) if is_told]
    own = [one for one, counts in zip(nats, kept, strict=True) if counts]
    return Surprise(len(nats), math.fsum(nats), len(own), math.fsum(own), told.count(False))


def _sum(parts: Iterable[Surprise]) -> Surprise:
    rows = [dataclasses.astuple(part) for part in parts]
    tokens, nats, characters, own, unknown = zip(*rows, strict=True)
    return Surprise(sum(tokens), math.fsum(nats), sum(characters), math.fsum(own), sum(unknown))


def _perplexity(one: Surprise) -> float:
    return perplexity(one.character_nats / one.characters)


TASKS.add("poems", Poems)
