"""`pipeline`: the door to all pipelines."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from plm.auto.tokenizer import AutoTokenizer
from plm.checkpoints.hub import resolve
from plm.errors import DataError
from plm.heads.model import Model
from plm.pipelines.batching import TOKENS_PER_BATCH
from plm.pipelines.source import TASKS, Source
from plm.tasks import AnyTask
from plm.tokenizers import Tokenizer


def pipeline(
    task: str,
    model: str | Path | Model,
    *,
    tokenizer: Tokenizer | None = None,
    settings: AnyTask | None = None,
    backend: str = "torch",
    dtype: str = "float32",
    max_length: int | None = None,
    tokens_per_batch: int = TOKENS_PER_BATCH,
) -> Callable[..., list[Any]]:
    """A function from texts to answers, one for each, in order; a single text gives a list of one.

    task: a name in TASKS:
        "text-classification": texts, or pairs as tuples, to {"label", "score"}, or {"labels"} where several may apply;
        "feature-extraction", "sentence-embedding": the same to arrays, (tokens, hidden) and (hidden,);
        "token-classification" ("ner"): a text to its entities, [{"type", "text", "start", "end", "score"}, ...], with
            places in characters; a list of words to {"tags", "scores", "entities"}, with places in words;
        "question-answering": {"question", "context"}, or a tuple of both, to {"answer", "start", "end", "score"}; for a
            model that may say that there is no answer ("", None, None) also "null_score";
        "text-generation": prompts, and a GenerationConfig, to [{"text", "score", "ending"}, ...] each.
    model: a folder, a hub name, or a loaded model (then with its tokenizer).
    settings: of the last two tasks, how the model is to be asked and understood: a plm.tasks.Tagging with its scheme,
        a plm.tasks.QuestionAnswering(version_2=True). None = as its folder says, if `plm train` wrote it; of other
        models it is guessed from the names of the classes, and every question has an answer.
    backend: who computes a model that is loaded here: "torch", or another name in BACKENDS; "text-generation" needs one
        that goes on with texts.
    dtype: "float32", or what else the backend knows: "bfloat16", "float16"; "int8" = weights of eight bits, which of
        "torch" means the backend "int8".
    max_length: tokens a text is cut to, or of a window where long texts are read in several (entities, questions); by
        default what the model and its tokenizer allow, or what it was trained with.
    tokens_per_batch: real tokens, about, that are computed at once.
    Raises CheckpointError when the checkpoint lacks the head of the task, ConfigError when a loaded model does.

    >>> classify = pipeline("text-classification", "folder")  # doctest: +SKIP
    >>> classify(["a good day", "a bad day"])  # doctest: +SKIP
    [{'label': 'positive', 'score': 0.98}, {'label': 'negative', 'score': 0.97}]
    """
    row = TASKS.get(task)
    if isinstance(model, Model):
        if tokenizer is None:
            raise DataError("a loaded model needs its tokenizer: pipeline(task, model, tokenizer=...)")
        place: Path | Model = model
    else:
        place = resolve(model)
        tokenizer = tokenizer or AutoTokenizer.from_pretrained(place)
    return row.open(
        Source(
            task=task,
            model=place,
            tokenizer=tokenizer,
            backend=backend,
            dtype=dtype,
            settings=settings,
            max_length=max_length,
            tokens_per_batch=tokens_per_batch,
        )
    )
