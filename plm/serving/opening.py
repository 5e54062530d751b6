"""A folder becomes a model that can be served: loaded once, with a door for each thing that it can do."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from plm.auto.choosing import TORCH
from plm.auto.tokenizer import AutoTokenizer
from plm.backends.eager import TorchRunner
from plm.checkpoints.hub import resolve
from plm.errors import CheckpointError, ConfigError
from plm.generation.poet import Poet
from plm.heads.engine import CausalEngine
from plm.heads.model import Model
from plm.pipelines.source import TASKS, PipelineTask, Source, checked_length
from plm.poetry.known_lines import KnownLines
from plm.poetry.prompt import FORM_TOKENS
from plm.serving.batcher import Work
from plm.serving.fill_mask import FillMask
from plm.serving.parts import Parts
from plm.serving.scores import classification
from plm.serving.stopping import StoppingEngine, StoppingRunner
from plm.serving.writers import ModelPoet, ModelWriter, PoemWriter, TextWriter
from plm.tasks import AnyTask, Classification, Gpt1Classification, QuestionAnswering, Tagging
from plm.tasks.saving import SavedTask, load_tasks
from plm.tokenizers import Tokenizer

# Tokens that a mask may be asked for.
MASK_CHOICES = 50


@dataclass(frozen=True, kw_only=True)
class Door:
    """How a model answers one kind of request.

    work: from several values to as many answers, in the model's thread. count: tokens of each of several values.
    cuts_at: tokens beyond which a text is cut; None = it is read whole, in windows if need be.
    """

    work: Work
    count: Callable[[Sequence[Any]], list[int]]
    cuts_at: int | None = None


@dataclass(frozen=True, kw_only=True)
class Opened:
    """A loaded model.

    doors: by ability, "classify", "tag", "answer", "embed" and "fill-mask". writer, poet: who answers "generate" and
    "poem"; None = nobody. max_tokens: of a text; None = no limit. mask_token: of "fill-mask", if it answers that.
    """

    family: str = ""
    parameters: int = 0
    max_tokens: int | None = None
    mask_token: str | None = None
    doors: Mapping[str, Door]
    writer: TextWriter | None = None
    poet: PoemWriter | None = None

    @property
    def abilities(self) -> tuple[str, ...]:
        """What it can be asked, as the paths below /v1 say it."""
        writers = {"generate": self.writer, "poem": self.poet}
        return (*self.doors, *(name for name, writer in writers.items() if writer is not None))


# Ability -> how it is answered: a row of the pipelines' TASKS.
ROWS: Mapping[str, PipelineTask] = {
    "classify": classification(),
    "tag": TASKS.get("token-classification"),
    "answer": TASKS.get("question-answering"),
    "embed": TASKS.get("sentence-embedding"),
}

# Kind of a stored head -> what it lets a model do, for folders that do not say what they were trained for.
_BY_HEAD: Mapping[str, str] = {
    "sequence_classification": "classify",
    "token_classification": "tag",
    "crf_token_classification": "tag",
    "question_answering": "answer",
}
_BY_TASK: Mapping[type[AnyTask], str] = {
    Classification: "classify",
    Gpt1Classification: "classify",
    Tagging: "tag",
    QuestionAnswering: "answer",
}


def open_folder(
    folder: str | Path, *, backend: str = TORCH, dtype: str = "float32", batch_tokens: int = 2048
) -> Opened:
    """Load a folder, or a model of the Hugging Face hub, for serving.

    backend: who computes. By "torch" all abilities share the model; others open the folder for each of them.
    dtype: "float32", "bfloat16", "float16", or "int8" = weights of eight bits, of backends that know it.
    Raises PlmError kin for what cannot be loaded, ConfigError for a folder with two tasks of one kind, and
    BackendUnavailable for a folder that writes texts where the backend does not.
    """
    place = resolve(folder)
    parts = Parts.of(place, backend=backend, dtype=dtype)
    tokenizer, counting = (AutoTokenizer.from_pretrained(place) for _ in range(2))  # of two threads, one each
    source = functools.partial(parts.source, tokenizer=tokenizer, tokens_per_batch=batch_tokens)
    open_pipeline = functools.partial(_door, source, counting=counting)
    doors: dict[str, Door] = {}
    for ability, head, saved in _asked(place, parts):
        if ability in doors:
            raise ConfigError(
                f"{place}: was trained for several tasks that answer /v1/{ability}; save the one to serve alone, with "
                "AutoModelForTasks.from_pretrained(folder).with_head(name).save_pretrained(other_folder)"
            )
        doors[ability] = open_pipeline(ability, head, saved=saved)
    try:
        doors["embed"] = open_pipeline("embed", None, saved=None)
    except CheckpointError:
        if not parts.is_program:  # a program that was exported for one head may give no hidden states
            raise
    if (masked := parts.head("masked_lm")) is not None:
        doors["fill-mask"] = _filling(source("fill-mask", masked), counting=counting)
    causal = parts.head("causal_lm")
    writing = None if causal is None else StoppingEngine(source("generate", causal).engine())
    is_poet = set(FORM_TOKENS.values()) <= tokenizer.get_vocab().keys()
    return Opened(
        family=parts.config.model_type,
        parameters=parts.parameters,
        max_tokens=checked_length(None, parts.config, tokenizer),
        mask_token=tokenizer.mask_token if "fill-mask" in doors else None,
        doors=doors,
        writer=None if writing is None or is_poet else ModelWriter(writing, tokenizer, counting),
        poet=None if writing is None or not is_poet else open_poet(writing, tokenizer, place),
    )


def open_poet(model: Model | CausalEngine, tokenizer: Tokenizer, place: Path) -> PoemWriter:
    """A model of poems, which knows what it learned from where its folder says it."""
    return ModelPoet(Poet(model, tokenizer, known=KnownLines.load(place)))


def _asked(place: Path, parts: Parts) -> list[tuple[str, str, SavedTask | None]]:
    """Abilities, names of heads, and what the folder says about the task, if it does."""
    tasks = load_tasks(place)
    named = [
        (ability, name if name in parts.plans else saved.task.head, saved)
        for name, saved in tasks.items()
        for kind, ability in _BY_TASK.items()
        if type(saved.task) is kind
    ]
    if named:
        return [(ability, head, saved) for ability, head, saved in named]
    return [
        (_BY_HEAD[plan.kind], name, None)
        for name, plan in parts.plans.items()
        if plan.kind is not None and plan.kind in _BY_HEAD
    ]


def _door(
    source: Callable[..., Source], ability: str, head: str | None, *, saved: SavedTask | None, counting: Tokenizer
) -> Door:
    """The pipeline that plm.pipeline opens for the folder."""
    is_classifier = saved is None or isinstance(saved.task, Classification)
    plain = source(ability, head)
    if not is_classifier and saved is not None:
        positions = checked_length(None, plain.config, plain.tokenizer)
        length = min(saved.max_length, positions or saved.max_length)
        plain = dataclasses.replace(plain, settings=saved.task, max_length=length)
    ask: Any = ROWS[ability].open(plain)
    ask.runner = StoppingRunner(ask.runner)
    work, count = (_each_kind(ask), count_passages) if ability in ("classify", "embed") else (ask, count_texts)
    return Door(
        work=work,
        count=functools.partial(count, counting),
        cuts_at=ask.max_length if ability in ("classify", "embed") else None,
    )


def _filling(source: Source, *, counting: Tokenizer) -> Door:
    """The door of a masked language model."""
    runner = source.runner("masked_lm")
    fill = functools.partial(
        FillMask,
        StoppingRunner(runner),
        choices=MASK_CHOICES,
        tokens_per_batch=source.tokens_per_batch,
        takes_labels=isinstance(runner, TorchRunner),
    )
    reader = fill(counting)
    return Door(work=fill(source.tokenizer), count=lambda texts: [len(reader.encode(text)) for text in texts])


def _each_kind(ask: Callable[[Any], list[Any]]) -> Work:
    """A pipeline that is asked about texts and pairs apart, as it wants it."""

    def work(values: list[Any]) -> list[Any]:
        answers: list[Any] = [None] * len(values)
        for kind in (str, tuple):
            places = [place for place, value in enumerate(values) if isinstance(value, kind)]
            for place, answer in zip(places, ask([values[place] for place in places]), strict=True):
                answers[place] = answer
        return answers

    return work


def count_passages(tokenizer: Tokenizer, values: Sequence[str | tuple[str, str]]) -> list[int]:
    """Tokens of texts and pairs, special tokens included, before anything is cut."""
    parts = [value if isinstance(value, tuple) else (value,) for value in values]
    flat = tokenizer.encode_batch_ids([part for pair in parts for part in pair], add_special_tokens=False)[0]
    lengths = iter([len(ids) for ids in flat])
    specials = [tokenizer.num_special_tokens_to_add(is_pair) for is_pair in (False, True)]
    return [sum(next(lengths) for _ in pair) + specials[len(pair) > 1] for pair in parts]


def count_texts(tokenizer: Tokenizer, values: Sequence[Any]) -> list[int]:
    """The same for texts, lists of words, and questions with their contexts."""
    return count_passages(tokenizer, [" ".join(value) if isinstance(value, list) else value for value in values])
