"""A tag for every word: entities, slots, parts of speech."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from plm.blocks.labels import IGNORED_LABEL
from plm.config import require_distinct
from plm.data.conll import TaggedText, WordColumns, read_conll, read_parallel_tags, read_tagged_json, usual_joiner
from plm.data.features.tagging import TagFeature, encode_words, pad_words
from plm.data.tag_schemes import (
    allowed_transitions,
    check_tag,
    convert_tags,
    guess_scheme,
    sort_tags,
    tags_to_entities,
)
from plm.errors import ConfigError, DataError, did_you_mean
from plm.heads.crf import Transitions
from plm.metrics.entities import score_entities, token_accuracy
from plm.tasks.tag_decoding import Decided, Scores, Tagged, TokenScores, best_classes, forbid, word_scores
from plm.tasks.task import TASKS, Batch, Task
from plm.tokenizers import Tokenizer

FileScheme = Literal["iob1", "bio", "bioes", "bilou", "bmes", "plain", "none"]
"""A name in SCHEMES, or "none": tags are classes of single words, such as parts of speech."""

_HEADS = {"softmax": "token_classification", "crf": "crf_token_classification"}


@dataclass(frozen=True, kw_only=True)
class Tagging(Task[TaggedText, TagFeature, TokenScores, Tagged]):
    """Token classification of words, which may be characters.

    format: "conll" (a word a line), "jsonl" (lists of words and tags), "parallel" (a folder with two files that agree
        word by word, or the one with the words); None = told by the path.
    word, tag: columns: numbers from 0 (negative: from the end), one of column_names, or JSON keys; None = the first and
        the last, "words" and "tags". text, id: JSON keys of the sentence and its name.
    separator, encoding, comment: see plm.data.read_conll. word_file, tag_file: of a folder.
    joiner: what stands between words in a text; None = told by the training file, see plm.data.read_conll.
    scheme: how the files write entities (plm.data.tag_schemes); None = told by the training file. "none" = tags have no
        scheme. learned_scheme: of the model's classes; None = that of the files, "bio" for "iob1".
    labels: the model's classes in the order of its outputs; None = the tags of the training file.
    unknown_tags: "error" = a tag that is no class is one; "miss" = such words are not trained on, and count as missed
        in the scores (in ATIS and SNIPS some slots occur in the dev files alone).
    decoder: "softmax" decides every word for itself, "crf" all words of a sentence together.
    constrained: True = only tag sequences that the scheme knows are decided for, with either decoder; False = whatever
        scores highest, as most published numbers of softmax taggers have it.
    label_all_pieces: True = every piece of a word learns its tag and they vote; False = the first decides.
    overlap: tokens that the windows of a sentence longer than max_length share.
    """

    format: Literal["conll", "jsonl", "parallel"] | None = None
    word: str | int | None = None
    tag: str | int | None = None
    column_names: tuple[str, ...] = ()
    text: str | None = None
    id: str | None = None
    separator: str | None = None
    encoding: str = "utf-8"
    comment: str | None = None
    joiner: str | None = None
    word_file: str = "seq.in"
    tag_file: str = "seq.out"
    scheme: FileScheme | None = None
    learned_scheme: FileScheme | None = None
    labels: tuple[str, ...] | None = None
    unknown_tags: Literal["error", "miss"] = "error"
    decoder: Literal["softmax", "crf"] = "softmax"
    constrained: bool = True
    label_all_pieces: bool = False
    overlap: int = 64

    def __post_init__(self) -> None:
        if self.decoder not in _HEADS:
            raise ConfigError(f"decoder: {self.decoder!r} is not one of {', '.join(map(repr, _HEADS))}")
        if self.decoder == "crf" and self.label_all_pieces:
            raise ConfigError("label_all_pieces: a CRF judges sequences of words, not of pieces; give one of the two")
        if self.overlap < 0:
            raise ConfigError(f"overlap: expected 0 or more tokens, got {self.overlap}")
        if self.learned_scheme is not None and "none" in (self.scheme, self.learned_scheme):
            raise ConfigError('learned_scheme: tags without scheme ("none") cannot be written in another one')

    @property
    def head(self) -> str:
        """One decision a token, or a CRF."""
        return _HEADS[self.decoder]

    @property
    def decision(self) -> Literal["single", "multi", "choice"] | None:
        """See Task; None for a CRF, which decides whole sentences."""
        return None if self.decoder == "crf" else "single"

    def read(self, path: Path | str) -> list[TaggedText]:
        """See Task. A file without tags can be predicted."""
        path = Path(path)
        form = self.format or _format_of(path, self.word_file)
        if form == "parallel":
            words = path / self.word_file if path.is_dir() else path
            tags = words.parent / self.tag_file
            return read_parallel_tags(words, tags if tags.exists() else None)
        if form == "jsonl":
            keys = {"words": self.word, "tags": self.tag}
            named = {name: str(key) for name, key in keys.items() if key is not None}
            return read_tagged_json(path, text=self.text, id=self.id, joiner=self.joiner, **named)
        columns = WordColumns(
            word=0 if self.word is None else self.word,
            tag=-1 if self.tag is None else self.tag,
            names=self.column_names,
        )
        return read_conll(
            path,
            columns,
            separator=self.separator,
            encoding=self.encoding,
            joiner=self.joiner,
            comment=self.comment,
        )

    def learned(self, examples: Sequence[TaggedText], *, source: str = "examples") -> Tagging:
        """The same with its scheme, joiner and classes. Raises DataError when there are fewer than two."""
        scheme = self.scheme or guess_scheme(_tags(example, source) for example in examples) or "none"
        joiner = self.joiner
        if joiner is None:
            joiner = usual_joiner([word for example in examples for word in example.words])
        task = dataclasses.replace(self, scheme=scheme, joiner=joiner)
        if self.labels is not None:
            require_distinct(self, "labels")  # not in models of others, where several classes may mean O
            return task
        labels = sort_tags(chain.from_iterable(task._learned_tags(example, source) for example in examples))
        if len(labels) < 2:
            listed = ", ".join(map(repr, labels)) or "none"
            raise DataError(f"{source}: expected several tags to tell apart, got {listed}")
        return dataclasses.replace(task, labels=labels)

    def check(self, examples: Sequence[TaggedText], *, source: str = "examples") -> None:
        """See Task. Raises DataError also where no tag is a class of the model."""
        classes = self._classes(examples, source)
        if all(number == IGNORED_LABEL for number in chain.from_iterable(classes)):
            raise DataError(f"{source}: none of the tags is one of {', '.join(self._known_labels[:20])}")

    def model_options(self) -> dict[str, Any]:
        """The names of the classes."""
        return {"id2label": dict(enumerate(self._known_labels))}

    def class_counts(self, examples: Sequence[TaggedText]) -> Sequence[int] | None:
        """Words of each class, however many pieces they have; None for a CRF."""
        if self.decoder == "crf":
            return None
        counted = Counter(chain.from_iterable(self._classes(examples, "examples")))
        return [counted[number] for number in range(len(self._known_labels))]

    @property
    def feature_type(self) -> type[TagFeature]:
        """See Task."""
        return TagFeature

    def encode(
        self,
        examples: Sequence[TaggedText],
        tokenizer: Tokenizer,
        *,
        max_length: int,
        source: str = "examples",
        has_labels: bool = True,
    ) -> list[TagFeature]:
        """See Task; several features for sentences longer than max_length, so that no word is lost."""
        return encode_words(
            examples,
            tokenizer,
            classes=self._classes(examples, source) if has_labels else None,
            max_length=max_length,
            label_all_pieces=self.label_all_pieces,
            overlap=self.overlap,
            source=source,
        )

    def collate(self, features: Sequence[TagFeature], *, pad_token_id: int) -> dict[str, Tensor]:
        """See plm.data.features.tagging.pad_words."""
        return pad_words(features, pad_token_id=pad_token_id)

    def results(self, batch: Batch, output: Any) -> dict[int, TokenScores]:
        """The logits of each token, and the transitions of a CRF, which all features of a batch share."""
        rows, transitions = output.logits.detach().to("cpu", torch.float32).numpy(), None
        if self.decoder == "crf":  # copies: these are the parameters themselves, which may go on learning
            held = (output.start_transitions, output.transitions, output.end_transitions)
            transitions = Transitions(*(part.detach().to("cpu", torch.float32, copy=True) for part in held))
        lengths = batch["attention_mask"].sum(1).tolist()
        return {
            index: TokenScores(row[:length].copy(), transitions)  # a view would keep the whole batch
            for index, row, length in zip(batch["index"].tolist(), rows, lengths, strict=True)
        }

    def answers(
        self, examples: Sequence[TaggedText], features: Sequence[TagFeature], results: Mapping[int, TokenScores]
    ) -> list[Tagged]:
        """See Task. The windows of a sentence are put together before its words are decided, so no seam shows."""
        parts: list[list[Scores]] = [[] for _ in examples]
        for feature in features:
            logits = results[feature.index].logits
            parts[feature.example].append(word_scores(feature, logits, vote=self.label_all_pieces))
        transitions = results[features[0].index].transitions if features else None
        if self.constrained and self._model_scheme != "none":
            transitions = forbid(transitions, allowed_transitions(self._known_labels, self._model_scheme))
        decided = best_classes([np.concatenate(rows) for rows in parts], transitions, crf=self.decoder == "crf")
        return [self._answer(*pair) for pair in zip(examples, decided, strict=True)]

    def score(self, examples: Sequence[TaggedText], answers: Sequence[Tagged]) -> dict[str, float]:
        """Entities (all exact, see plm.metrics.entities), where tags have a scheme; then single words and sentences.

        "sentence_accuracy": share of the sentences without any wrong tag.
        """
        expected = [_tags(example, "examples") for example in examples]
        predicted = [answer.tags for answer in answers]
        right = [ours == theirs for ours, theirs in zip(predicted, expected, strict=True)]
        words = {
            "token_accuracy": token_accuracy(predicted, expected),
            "sentence_accuracy": sum(right) / len(right) if right else 0.0,
        }
        scheme = self._known_scheme
        if scheme == "none":
            return words
        total = score_entities(*([tags_to_entities(tags, scheme) for tags in side] for side in (predicted, expected)))
        entities = {
            "entity_f1": total.total.f1,
            "entity_precision": total.total.precision,
            "entity_recall": total.total.recall,
        }
        return entities | words

    def record(self, example: TaggedText, answer: Tagged) -> dict[str, Any]:
        """See Task."""
        fields = ("type", "text", "start", "end", "score")
        return {
            "id": example.id,
            "line": example.line,
            "text": example.text,
            "words": list(example.words),
            "tags": None if example.tags is None else list(example.tags),
            "predicted": list(answer.tags),
            "entities": [{name: getattr(entity, name) for name in fields} for entity in answer.entities],
        }

    @property
    def _known_labels(self) -> tuple[str, ...]:
        if self.labels is None:
            raise DataError("the tags are not known yet: give labels=, or take task.learned(examples)")
        return self.labels

    @property
    def _known_scheme(self) -> str:
        if self.scheme is None:
            raise DataError("the scheme of the tags is not known yet: give scheme=, or take task.learned(examples)")
        return self.scheme

    @property
    def _model_scheme(self) -> str:
        """The scheme of the model's classes."""
        return self.learned_scheme or ("bio" if self._known_scheme == "iob1" else self._known_scheme)

    def _learned_tags(self, example: TaggedText, source: str) -> tuple[str, ...]:
        """The tags of an example as the model learns them. Raises DataError naming the line."""
        tags, scheme = _tags(example, source), self._known_scheme
        if scheme == "none":
            return tags
        for place, tag in enumerate(tags):
            if trouble := check_tag(tag, scheme):
                raise DataError(f"{source}, line {example.line}, word {place}: {trouble}; scheme= names another")
        return tags if self._model_scheme == scheme else convert_tags(tags, scheme, self._model_scheme)

    def _classes(self, examples: Sequence[TaggedText], source: str) -> list[list[int]]:
        """The class of each word of each example; -100 for tags that are none, if that is allowed."""
        numbers = {label: number for number, label in enumerate(self._known_labels)}
        classes = []
        for example in examples:
            tags = self._learned_tags(example, source)
            unknown = next((tag for tag in tags if tag not in numbers), None)
            if unknown is not None and self.unknown_tags == "error":
                raise DataError(
                    f"{source}, line {example.line}: unknown tag {unknown!r}{did_you_mean(unknown, numbers)} (known: "
                    f'{", ".join(list(numbers)[:20])}); unknown_tags="miss" counts such words as missed'
                )
            classes.append([numbers.get(tag, IGNORED_LABEL) for tag in tags])
        return classes

    def _answer(self, example: TaggedText, decided: Decided) -> Tagged:
        scheme, tags = self._known_scheme, tuple(self._known_labels[number] for number in decided.classes.tolist())
        if scheme != "none" and self._model_scheme != scheme:
            tags = convert_tags(tags, self._model_scheme, scheme)
        return Tagged.of(example, tags, decided.probabilities.tolist(), scheme=None if scheme == "none" else scheme)


def _tags(example: TaggedText, source: str) -> tuple[str, ...]:
    if example.tags is None:
        raise DataError(f"{source}, line {example.line}: the sentence has no tags; only prediction works without")
    return example.tags


def _format_of(path: Path, word_file: str) -> str:
    if path.is_dir() or path.name == word_file:
        return "parallel"
    suffixes = {suffix.lower() for suffix in path.suffixes}  # there may be a .gz behind
    return "jsonl" if suffixes & {".jsonl", ".json"} else "conll"


TASKS.add("tagging", Tagging)
