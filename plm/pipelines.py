"""`pipeline`: from texts to answers, in batches without padding, in the order given."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from plm.auto.tokenizer import AutoTokenizer
from plm.backends.eager import TorchRunner
from plm.backends.runner import BACKENDS, Arrays, Runner
from plm.checkpoints.hub import resolve
from plm.data.collate import pad_sequences
from plm.errors import ConfigError, DataError
from plm.heads.model import Model
from plm.models.config import ModelConfig
from plm.registry import Registry
from plm.tokenizers import Tokenizer
from plm.tokenizers.requests import UNKNOWN_LENGTH

Text = str | tuple[str, str]
Array = np.ndarray[Any, Any]

# Rows that keep the matrix kernels busy and the activations of a BERT-base block in the caches of one core.
TOKENS_PER_BATCH = 2048


@dataclass(frozen=True, kw_only=True)
class Task:
    """One row of TASKS.

    head: name in HEADS, or None for the backbone alone. field: of its output.
    by_token: True = an answer is made from a row for each token, (tokens, size); False = from one row, (size,).
    answer: (output of one text, config) -> what the caller gets for it.
    """

    head: str | None
    field: str
    by_token: bool
    answer: Callable[[Array, ModelConfig], Any]


TASKS: Registry[Task] = Registry("pipeline task")


@dataclass(frozen=True)
class Encoded:
    """Texts as rows of ids. types: token types alike, or None for models without."""

    ids: list[list[int]]
    types: list[list[int]] | None

    def lengths(self, places: Sequence[int]) -> list[int]:
        """Tokens of some texts."""
        return [len(self.ids[place]) for place in places]

    def packed(self, places: Sequence[int]) -> Arrays:
        """Some texts, one after the other, as Runner.run takes them."""
        batch = {"input_ids": _joined(self.ids, places), "lengths": np.array(self.lengths(places), dtype=np.int64)}
        return batch if self.types is None else batch | {"token_type_ids": _joined(self.types, places)}

    def padded(self, places: Sequence[int], pad: int) -> Arrays:
        """Some texts, one below the other, filled up with `pad`."""
        lengths = np.array(self.lengths(places))
        batch = {
            "input_ids": pad_sequences([self.ids[place] for place in places], value=pad).numpy(),
            "attention_mask": (np.arange(lengths.max()) < lengths[:, None]).astype(np.int64),
        }
        if self.types is not None:
            batch["token_type_ids"] = pad_sequences([self.types[place] for place in places], value=0).numpy()
        return batch


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
        self.max_length = _checked_length(max_length, runner.config, tokenizer)
        self.tokens_per_batch = tokens_per_batch

    def __call__(self, texts: Text | Sequence[Text]) -> list[Any]:
        """One answer for each text, in order; a single text gives a list of one.

        texts: strings, or pairs of strings as tuples. Longer ones are cut to `max_length` tokens.
        Raises DataError for an entry that is neither, or that has no tokens, naming its place.
        """
        listed = [texts] if isinstance(texts, (str, tuple)) else list(texts)
        if not listed:
            return []
        encoded = self._encode(listed)
        answers: list[Any] = [None] * len(listed)
        with tqdm(total=len(listed), unit="text", disable=None, delay=2, leave=False) as bar:
            for places in batches_by_length(encoded.lengths(range(len(listed))), self.tokens_per_batch):
                for place, row in zip(places, self._run(encoded, places), strict=True):
                    answers[place] = self.task.answer(row, self.runner.config)
                bar.update(len(places))
        return answers

    def _encode(self, texts: list[Text]) -> Encoded:
        _check_texts(texts)
        first = [text if isinstance(text, str) else text[0] for text in texts]
        second = [text[1] for text in texts if not isinstance(text, str)] or None
        encoded = Encoded(*self.tokenizer.encode_batch_ids(first, second, max_length=self.max_length))
        for place, row in enumerate(encoded.ids):
            if not row:
                raise DataError(f"text {place}: has no tokens ({texts[place]!r:.80})")
        return encoded

    def _run(self, encoded: Encoded, places: list[int]) -> Iterator[Array]:
        """The output of each text, in the order of `places`."""
        lengths = encoded.lengths(places)
        if self.runner.takes_packed:
            output = self.runner.run(encoded.packed(places))[self.task.field]
            return iter(np.split(output, np.cumsum(lengths)[:-1]) if self.task.by_token else output)
        output = self.runner.run(encoded.padded(places, self.tokenizer.pad_token_id or 0))[self.task.field]
        return (row[:length] if self.task.by_token else row for row, length in zip(output, lengths, strict=True))


def pipeline(
    task: str,
    model: str | Path | Model,
    *,
    tokenizer: Tokenizer | None = None,
    backend: str = "torch",
    dtype: str = "float32",
    max_length: int | None = None,
    tokens_per_batch: int = TOKENS_PER_BATCH,
) -> Pipeline:
    """A function from texts to answers.

    task: a name in TASKS: "text-classification", "feature-extraction", "sentence-embedding".
    model: a folder, a hub name, or a loaded model (then with its tokenizer).
    backend: a name in BACKENDS. dtype: "float32", "bfloat16" or "float16", for a model that is loaded here.
    max_length: tokens a text is cut to; by default what the model and its tokenizer allow.
    Raises CheckpointError when the checkpoint lacks the head of the task, ConfigError when a loaded model does.

    >>> classify = pipeline("text-classification", "folder")  # doctest: +SKIP
    >>> classify(["a good day", "a bad day"])  # doctest: +SKIP
    [{'label': 'positive', 'score': 0.98}, {'label': 'negative', 'score': 0.97}]
    """
    row = TASKS.get(task)
    if isinstance(model, Model):
        if tokenizer is None:
            raise DataError("a loaded model needs its tokenizer: pipeline(task, model, tokenizer=...)")
        runner: Runner = TorchRunner(_with_head(model, row.head, task))
    else:
        folder = resolve(model)
        tokenizer = tokenizer or AutoTokenizer.from_pretrained(folder)
        runner = BACKENDS.get(backend).load(folder, row.head, dtype)
    return Pipeline(runner, tokenizer, row, max_length=max_length, tokens_per_batch=tokens_per_batch)


def batches_by_length(lengths: Sequence[int], tokens: int) -> Iterator[list[int]]:
    """Places of texts, longest first, in batches of about `tokens` tokens; a longer text is a batch of its own.

    Equal lengths end up side by side, which packed attention computes as one rectangle.
    """
    batch: list[int] = []
    total = 0
    for place in sorted(range(len(lengths)), key=lambda place: -lengths[place]):
        if batch and total + lengths[place] > tokens:
            yield batch
            batch, total = [], 0
        batch.append(place)
        total += lengths[place]
    if batch:
        yield batch


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


TASKS.add(
    "text-classification",
    Task(head="sequence_classification", field="logits", by_token=False, answer=label_and_score),
)
TASKS.add("feature-extraction", Task(head=None, field="last_hidden_state", by_token=True, answer=states))
TASKS.add("sentence-embedding", Task(head=None, field="last_hidden_state", by_token=True, answer=mean_state))


def _joined(rows: list[list[int]], places: Sequence[int]) -> Array:
    return np.concatenate([np.array(rows[place], dtype=np.int64) for place in places])


def _check_texts(texts: Sequence[Any]) -> None:
    """Raise DataError for an entry that is neither a string nor a pair, and for a mixture of the two."""
    for place, text in enumerate(texts):
        parts = text if isinstance(text, tuple) else (text,)
        if not all(isinstance(part, str) for part in parts) or (isinstance(text, tuple) and len(text) != 2):
            raise DataError(f"text {place}: expected a string or a pair of strings, got {text!r:.80}")
        if isinstance(text, tuple) != isinstance(texts[0], tuple):
            kinds = ("a pair", "single texts") if isinstance(text, tuple) else ("a single text", "pairs")
            raise DataError(f"text {place}: is {kinds[0]} among {kinds[1]}; all or none must be pairs")


def _with_head(model: Model, head: str | None, task: str) -> Model:
    """The same model with the head of a task alone."""
    if head is None:
        return Model(model.config, model.backbone, {})
    if head not in model.heads:
        raise ConfigError(f"{task} needs the head {head!r}; this model has: {', '.join(model.heads) or 'none'}")
    return Model(model.config, model.backbone, {head: model.heads[head]})


def _checked_length(wanted: int | None, config: ModelConfig, tokenizer: Tokenizer) -> int | None:
    """Tokens that texts are cut to; None = none is cut, for models of relative positions without a limit."""
    positions = config.longest_text or UNKNOWN_LENGTH
    if wanted is not None:
        if wanted < 1 or wanted > positions:
            most = "" if config.longest_text is None else f" of at most {positions}, as the model has"
            raise ConfigError(f"max_length: expected a positive number{most}, got {wanted}")
        return wanted
    longest = min(positions, tokenizer.model_max_length)
    return longest if longest < UNKNOWN_LENGTH else None
