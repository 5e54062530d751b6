"""Texts, or pairs of texts, each to one answer: a class, or its hidden states."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from tqdm import tqdm

from plm.backends.runner import Runner
from plm.errors import ConfigError, DataError
from plm.models.config import ModelConfig
from plm.pipelines.ahead import BATCHES_IN_A_WINDOW, counted_from, one_ahead, windows
from plm.pipelines.batching import TOKENS_PER_BATCH, Array, Encoded, batches_by_length
from plm.pipelines.source import TASKS, Source, checked_length
from plm.tokenizers import Tokenizer
from plm.tokenizers.requests import UNKNOWN_LENGTH

Text = str | tuple[str, str]


@dataclass(frozen=True, kw_only=True)
class Task:
    """A row of TASKS that answers each text from its own output.

    head: name in HEADS, or None for the backbone alone. field: of its output.
    by_token: True = an answer is made from a row for each token, (tokens, size); False = from one row, (size,).
    answer: (output of one text, config) -> what the caller gets for it.
    """

    head: str | None
    field: str
    by_token: bool
    answer: Callable[[Array, ModelConfig], Any]

    def open(self, source: Source) -> Callable[[Any], list[Any]]:
        """See PipelineTask."""
        if source.settings is not None:
            raise ConfigError(f"settings: {source.task} takes none; what it needs is in the model's config")
        return Pipeline(
            source.runner(self.head),
            source.tokenizer,
            self,
            max_length=source.max_length,
            tokens_per_batch=source.tokens_per_batch,
        )


class Pipeline:
    """Encodes texts, runs them by length, and turns outputs into answers.

    max_length: tokens a text is cut to; None = what model and tokenizer allow. tokens_per_batch: real tokens, about.
    Raises ConfigError for a max_length that the model cannot take.
    """

    def __init__(
        self,
        runner: Runner,
        tokenizer: Tokenizer,
        task: Task,
        *,
        max_length: int | None = None,
        tokens_per_batch: int = TOKENS_PER_BATCH,
    ) -> None:
        self.runner = runner
        self.tokenizer = tokenizer
        self.task = task
        self.max_length = checked_length(max_length, runner.config, tokenizer)
        self.tokens_per_batch = tokens_per_batch

    def __call__(self, texts: Text | Sequence[Text]) -> list[Any]:
        """One answer for each text, in order; a single text gives a list of one.

        texts: strings, or pairs of strings as tuples. Longer ones are cut to `max_length` tokens.
        Raises DataError for an entry that is neither, or that has no tokens, naming its place.
        """
        listed = [texts] if isinstance(texts, (str, tuple)) else list(texts)
        if not listed:
            return []
        _check_texts(listed)
        answers: list[Any] = []
        with (
            tqdm(total=len(listed), unit="text", disable=None, delay=2, leave=False) as bar,
            one_ahead(partial(self._encode, listed), self._windows(listed)) as prepared,
        ):
            for encoded in prepared:
                answers += self._answers(encoded, bar)
        return answers

    def _windows(self, texts: Sequence[Text]) -> list[range]:
        """Of texts that surely have no more tokens than so many batches."""
        longest = self.max_length or UNKNOWN_LENGTH
        sizes = (min(len(text) if isinstance(text, str) else sum(map(len, text)), longest) for text in texts)
        return list(windows(sizes, BATCHES_IN_A_WINDOW * self.tokens_per_batch))

    def _encode(self, texts: Sequence[Text], window: range) -> Encoded:
        chosen = texts[window.start : window.stop]
        first = [text if isinstance(text, str) else text[0] for text in chosen]
        second = [text[1] for text in chosen if not isinstance(text, str)] or None
        with counted_from(window):
            encoded = Encoded(*self.tokenizer.encode_batch_ids(first, second, max_length=self.max_length))
        for place, row in zip(window, encoded.ids, strict=True):
            if not row:
                raise DataError(f"text {place}: has no tokens ({texts[place]!r:.80})")
        return encoded

    def _answers(self, encoded: Encoded, bar: tqdm[Any]) -> list[Any]:
        answers: list[Any] = [None] * len(encoded.ids)
        for places in batches_by_length(encoded.lengths(range(len(answers))), self.tokens_per_batch):
            for place, row in zip(places, self._run(encoded, places), strict=True):
                answers[place] = self.task.answer(row, self.runner.config)
            bar.update(len(places))
        return answers

    def _run(self, encoded: Encoded, places: list[int]) -> Iterator[Array]:
        """The output of each text, in the order of `places`."""
        lengths = encoded.lengths(places)
        if self.runner.takes_packed:
            output = self.runner.run(encoded.packed(places))[self.task.field]
            return iter(np.split(output, np.cumsum(lengths)[:-1]) if self.task.by_token else output)
        output = self.runner.run(encoded.padded(places, self.tokenizer.pad_token_id or 0))[self.task.field]
        return (row[:length] if self.task.by_token else row for row, length in zip(output, lengths, strict=True))


def label_and_score(logits: Array, config: ModelConfig) -> dict[str, Any]:
    """The best class and its probability; for several classes a text, those above one half; for a number, itself."""
    labels = config.labels
    if config.problem_type == "regression" or len(logits) == 1:
        return {"label": labels[0], "score": float(logits[0])}
    if config.problem_type == "multi_label_classification":
        chances = 0.5 + 0.5 * np.tanh(logits / 2)  # the sigmoid, without overflow
        return {"labels": {labels[i]: float(chances[i]) for i in np.argsort(-chances) if chances[i] > 0.5}}
    chances = np.exp(logits - logits.max())
    chances /= chances.sum()
    best = int(chances.argmax())
    return {"label": labels[best], "score": float(chances[best])}


def states(rows: Array, config: ModelConfig) -> Array:
    """(tokens, hidden): the last hidden states of one text."""
    return rows


def mean_state(rows: Array, config: ModelConfig) -> Array:
    """(hidden,): the mean of the last hidden states of one text, special tokens included."""
    mean: Array = rows.mean(0)
    return mean


TASKS.add("feature-extraction", Task(head=None, field="last_hidden_state", by_token=True, answer=states))
TASKS.add("sentence-embedding", Task(head=None, field="last_hidden_state", by_token=True, answer=mean_state))


def _check_texts(texts: Sequence[Any]) -> None:
    """Raise DataError for an entry that is neither a string nor a pair, and for a mixture of the two."""
    for place, text in enumerate(texts):
        parts = text if isinstance(text, tuple) else (text,)
        if not all(isinstance(part, str) for part in parts) or (isinstance(text, tuple) and len(text) != 2):
            raise DataError(f"text {place}: expected a string or a pair of strings, got {text!r:.80}")
        if isinstance(text, tuple) != isinstance(texts[0], tuple):
            kinds = ("a pair", "single texts") if isinstance(text, tuple) else ("a single text", "pairs")
            raise DataError(f"text {place}: is {kinds[0]} among {kinds[1]}; all or none must be pairs")
