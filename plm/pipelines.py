"""`pipeline`: from texts to answers, in batches without padding, in the order given."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from plm.auto.model import PretrainedModel
from plm.auto.tokenizer import AutoTokenizer
from plm.backends.eager import TorchRunner
from plm.backends.runner import BACKENDS, Arrays, Runner
from plm.checkpoints.hub import resolve
from plm.data.collate import pad_sequences
from plm.errors import DataError
from plm.registry import Registry
from plm.tokenizers import Tokenizer
from plm.tokenizers.requests import UNKNOWN_LENGTH

Text = str | tuple[str, str]
Array = np.ndarray[Any, Any]

# Rows that keep the matrix kernels busy and the activations of a BERT-base block in the caches of one core.
TOKENS_PER_BATCH = 2048


class Pipeline:
    """Encodes texts, runs them by length, and turns outputs into answers.

    answer: (output of one text, config) -> what the caller gets for it.
    by_token: True = the answer is made from token states, False = from one row a text.
    """

    def __init__(
        self,
        runner: Runner,
        tokenizer: Tokenizer,
        *,
        field: str,
        by_token: bool,
        answer: Callable[[Array, Any], Any],
        max_length: int | None = None,
        tokens_per_batch: int = TOKENS_PER_BATCH,
    ) -> None:
        self.runner = runner
        self.tokenizer = tokenizer
        self.field = field
        self.by_token = by_token
        self.answer = answer
        self.max_length = max_length or _limit(runner, tokenizer)
        self.tokens_per_batch = tokens_per_batch

    def __call__(self, texts: Text | Sequence[Text]) -> list[Any]:
        """One answer for each text, in order; a single text gives a list of one.

        texts: strings, or pairs of strings as tuples. Longer ones are cut to `max_length` tokens.
        Raises DataError for an entry that is neither, naming its place.
        """
        listed = [texts] if isinstance(texts, (str, tuple)) else list(texts)
        ids, types = self._encode(listed)
        lengths = [len(row) for row in ids]
        answers: list[Any] = [None] * len(listed)
        with tqdm(total=len(listed), unit="text", disable=None, delay=2, leave=False) as bar:
            for places in batches_by_length(lengths, self.tokens_per_batch):
                for place, row in zip(places, self._run(places, ids, types), strict=True):
                    answers[place] = self.answer(row, self.runner.config)
                bar.update(len(places))
        return answers

    def _encode(self, texts: list[Text]) -> tuple[list[list[int]], list[list[int]] | None]:
        for place, text in enumerate(texts):
            if not isinstance(text, str) and not (
                isinstance(text, tuple) and len(text) == 2 and all(isinstance(part, str) for part in text)
            ):
                raise DataError(f"text {place}: expected a string or a pair of strings, got {text!r:.80}")
        paired = [isinstance(text, tuple) for text in texts]
        if any(paired) and not all(paired):
            raise DataError(f"text {paired.index(False)}: is a single text among pairs; all or none must be pairs")
        first = [text if isinstance(text, str) else text[0] for text in texts]
        second = [text[1] for text in texts if not isinstance(text, str)] or None
        return self.tokenizer.encode_batch_ids(first, second, max_length=self.max_length)

    def _run(self, places: list[int], ids: list[list[int]], types: list[list[int]] | None) -> Iterator[Array]:
        """The rows of `field` for some texts, in the order of `places`."""
        lengths = [len(ids[place]) for place in places]
        if self.runner.takes_packed:
            output = self.runner.run(_packed(places, ids, types, lengths))[self.field]
            return iter(np.split(output, np.cumsum(lengths)[:-1])) if self.by_token else iter(output)
        output = self.runner.run(self._padded(places, ids, types, lengths))[self.field]
        return (row[:length] if self.by_token else row for row, length in zip(output, lengths, strict=True))

    def _padded(
        self, places: list[int], ids: list[list[int]], types: list[list[int]] | None, lengths: list[int]
    ) -> Arrays:
        pad = self.tokenizer.pad_token_id or 0
        batch = {"input_ids": pad_sequences([ids[place] for place in places], value=pad).numpy()}
        batch["attention_mask"] = (np.arange(max(lengths)) < np.array(lengths)[:, None]).astype(np.int64)
        if types is not None:
            batch["token_type_ids"] = pad_sequences([types[place] for place in places], value=0).numpy()
        return batch


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


@dataclass(frozen=True, kw_only=True)
class Task:
    """One row of TASKS.

    head: name in HEADS, or None for the backbone alone. field: of the head's output. The rest as in Pipeline.
    """

    head: str | None
    field: str
    by_token: bool
    answer: Callable[[Array, Any], Any]


def label_and_score(logits: Array, config: Any) -> dict[str, Any]:
    """The best class and its probability; for several classes a text, those above one half; for a number, itself."""
    labels = config.labels
    if config.problem_type == "regression" or len(logits) == 1:
        return {"label": labels[0], "score": float(logits[0])}
    if config.problem_type == "multi_label_classification":
        chances = 1.0 / (1.0 + np.exp(-logits))
        return {"labels": {labels[i]: float(chances[i]) for i in np.argsort(-chances) if chances[i] > 0.5}}
    chances = np.exp(logits - logits.max())
    chances /= chances.sum()
    best = int(chances.argmax())
    return {"label": labels[best], "score": float(chances[best])}


def states(rows: Array, config: Any) -> Array:
    """(tokens, hidden): the last hidden states of one text."""
    return rows


def mean_state(rows: Array, config: Any) -> Array:
    """(hidden,): the mean of the last hidden states of one text, special tokens included."""
    return rows.mean(0)  # type: ignore[no-any-return]


TASKS: Registry[Task] = Registry("pipeline task")
TASKS.add(
    "text-classification",
    Task(head="sequence_classification", field="logits", by_token=False, answer=label_and_score),
)
TASKS.add("feature-extraction", Task(head=None, field="last_hidden_state", by_token=True, answer=states))
TASKS.add("sentence-embedding", Task(head=None, field="last_hidden_state", by_token=True, answer=mean_state))


def pipeline(
    task: str,
    model: str | Path | PretrainedModel,
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

    >>> classify = pipeline("text-classification", "folder")  # doctest: +SKIP
    >>> classify(["a good day", "a bad day"])  # doctest: +SKIP
    [{'label': 'positive', 'score': 0.98}, {'label': 'negative', 'score': 0.97}]
    """
    row = TASKS.get(task)
    if isinstance(model, PretrainedModel):
        if tokenizer is None:
            raise DataError("a loaded model needs its tokenizer: pipeline(task, model, tokenizer=...)")
        runner: Runner = TorchRunner(model)
    else:
        folder = resolve(model)
        tokenizer = tokenizer or AutoTokenizer.from_pretrained(folder)
        runner = BACKENDS.get(backend).load(folder, row.head, dtype)
    return Pipeline(
        runner,
        tokenizer,
        field=row.field,
        by_token=row.by_token,
        answer=row.answer,
        max_length=max_length,
        tokens_per_batch=tokens_per_batch,
    )


def _packed(
    places: list[int], ids: list[list[int]], types: list[list[int]] | None, lengths: list[int]
) -> dict[str, Array]:
    """The texts at `places`, one after the other."""
    batch = {
        "input_ids": np.concatenate([np.array(ids[place], dtype=np.int64) for place in places]),
        "lengths": np.array(lengths, dtype=np.int64),
    }
    if types is not None:
        batch["token_type_ids"] = np.concatenate([np.array(types[place], dtype=np.int64) for place in places])
    return batch


def _limit(runner: Runner, tokenizer: Tokenizer) -> int | None:
    """Tokens that both model and tokenizer take; None = any number, with relative positions."""
    if not hasattr(runner.config, "max_relative_position"):
        return min(runner.config.max_position_embeddings, tokenizer.model_max_length)
    return tokenizer.model_max_length if tokenizer.model_max_length < UNKNOWN_LENGTH else None
