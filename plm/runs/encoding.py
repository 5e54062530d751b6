"""Examples to batches: encoded by several processes where that pays, kept for the next run where that is wanted."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from plm.auto.model import PretrainedModel
from plm.data import Batches, Batching
from plm.data.cache import cached, fingerprint
from plm.errors import ConfigError
from plm.parallel import parallel_chunks
from plm.runs.preparation import Split
from plm.tasks import AnyTask
from plm.tokenizers import Tokenizer

# Tokens a text, where neither the caller nor the model sets a smaller limit: enough for sentences and their pairs.
USUAL_LENGTH = 128


@dataclass(frozen=True)
class Encoded:
    """A split as a model reads it. batches: of its features, shuffled where there is a seed."""

    examples: Sequence[Any]
    features: Sequence[Any]
    batches: Batches[Any]


@dataclass(frozen=True)
class Encoder:
    """What encodes the splits of a task. workers: processes; 0 = none. cache: a folder; None = nothing is kept."""

    task: AnyTask
    tokenizer: Tokenizer
    max_length: int
    batching: Batching
    workers: int = 0
    cache: str | None = None

    def __call__(self, split: Split, *, seed: int | None) -> Encoded:
        """Features and batches. seed: of their order; None = always the same order."""
        assert self.tokenizer.pad_token_id is not None, "starting_point adds one"
        features = self._kept(split)
        lengths = [self.task.length(feature) for feature in features]
        batches = Batches(
            features,
            plan=lambda epoch: self.batching.plan(lengths, seed=seed, epoch=epoch),
            collate=partial(self.task.collate, pad_token_id=self.tokenizer.pad_token_id),
            vary=None if seed is None else self.task.vary,
        )
        return Encoded(split.examples, features, batches)

    def _kept(self, split: Split) -> Sequence[Any]:
        """The features, from the cache if they are there."""
        kind = self.task.feature_type
        if kind is None:
            return self._encode(split.examples, split.source)
        options = {
            "task": type(self.task).__qualname__,
            "fields": json.loads(json.dumps(dataclasses.asdict(self.task))),  # type: ignore[call-overload]
            "max_length": self.max_length,
        }
        key = fingerprint(files=[split.source], tokenizer=self.tokenizer, options=options) if self.cache else ""
        return cached(kind, lambda: self._in_portions(split), key=key, folder=self.cache)

    def _in_portions(self, split: Split) -> Iterator[Any]:
        """The features one by one, numbered through."""
        if not self.task.encodes_apart:
            yield from self._encode(split.examples, split.source)
            return
        portions = parallel_chunks(_Portion(self, split.source), split.examples, workers=self.workers, unit="example")
        for index, (feature, start) in enumerate(portions):
            yield self.task.renumbered(feature, index=index - feature.index, example=start)

    def _encode(self, examples: Sequence[Any], source: str) -> list[Any]:
        return self.task.encode(examples, self.tokenizer, max_length=self.max_length, source=source)


@dataclass(frozen=True)
class _Portion:
    """What a process does: the features of some examples, each with the number of the first of them."""

    encoder: Encoder
    source: str

    def __call__(self, examples: Sequence[Any], start: int) -> list[tuple[Any, int]]:
        return [(feature, start) for feature in self.encoder._encode(examples, self.source)]


def text_length(wanted: int | None, model: PretrainedModel, tokenizer: Tokenizer) -> int:
    """Tokens to cut texts to. Models with relative positions set no limit of their own."""
    most = tokenizer.model_max_length
    if model.config.longest_text is not None:
        most = min(most, model.config.longest_text)
    if wanted is not None and wanted > most:
        raise ConfigError(f"max_length: {wanted} is more than the {most} tokens that the model takes")
    return wanted or min(USUAL_LENGTH, most)
