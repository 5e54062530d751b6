"""A folder becomes a model that can be served: loaded once, with a door for each thing that it can do."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from plm.auto.tokenizer import AutoTokenizer
from plm.backends.eager import TorchRunner
from plm.checkpoints.dtypes import as_dtype
from plm.checkpoints.hub import resolve
from plm.checkpoints.loading import load_model
from plm.checkpoints.store import open_checkpoint
from plm.errors import CheckpointError, ConfigError
from plm.generation.poet import Poet
from plm.heads.model import Model
from plm.pipelines.source import TASKS, PipelineTask, Source, checked_length
from plm.poetry.known_lines import KnownLines
from plm.poetry.prompt import FORM_TOKENS
from plm.serving.batcher import Work, stop_where_nobody_waits
from plm.serving.fill_mask import FillMask
from plm.serving.scores import classification
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


def open_folder(folder: str | Path, *, dtype: str = "float32", batch_tokens: int = 2048) -> Opened:
    """Load a folder, or a model of the Hugging Face hub, for serving.

    Raises PlmError kin for what cannot be loaded, and ConfigError for a folder with two tasks of one kind.
    """
    place = resolve(folder)
    model = _load(place, dtype)
    model.backbone.register_forward_pre_hook(stop_where_nobody_waits)
    tokenizer, counting = (AutoTokenizer.from_pretrained(place) for _ in range(2))  # of two threads, one each
    open_pipeline = functools.partial(_door, tokenizer=tokenizer, counting=counting, batch_tokens=batch_tokens)
    doors: dict[str, Door] = {}
    for ability, head, saved in _asked(place, model):
        if ability in doors:
            raise ConfigError(
                f"{place}: was trained for several tasks that answer /v1/{ability}; save the one to serve alone, with "
                "AutoModelForTasks.from_pretrained(folder).with_head(name).save_pretrained(other_folder)"
            )
        doors[ability] = open_pipeline(ability, model.with_head(head), saved=saved)
    doors["embed"] = open_pipeline("embed", Model(model.config, model.backbone, {}), saved=None)
    if (masked := _head(model, "masked_lm")) is not None:
        fill = functools.partial(FillMask, choices=MASK_CHOICES, tokens_per_batch=batch_tokens)
        runner = TorchRunner(model.with_head(masked))
        reader = fill(runner, counting)
        doors["fill-mask"] = Door(
            work=fill(runner, tokenizer), count=lambda texts: [len(reader.encode(text)) for text in texts]
        )
    causal = _head(model, "causal_lm")
    alone = None if causal is None else model.with_head(causal)
    is_poet = set(FORM_TOKENS.values()) <= tokenizer.get_vocab().keys()
    return Opened(
        family=model.config.model_type,
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        max_tokens=checked_length(None, model.config, tokenizer),
        mask_token=tokenizer.mask_token if "fill-mask" in doors else None,
        doors=doors,
        writer=None if alone is None or is_poet else ModelWriter(alone, tokenizer, counting),
        poet=None if alone is None or not is_poet else open_poet(alone, tokenizer, place),
    )


def open_poet(model: Model, tokenizer: Tokenizer, place: Path) -> PoemWriter:
    """A model of poems, which knows what it learned from where its folder says it."""
    return ModelPoet(Poet(model, tokenizer, known=KnownLines.load(place)))


def _load(place: Path, dtype: str) -> Model:
    """The model with all its heads; of the two that BERT was pretrained with, the one that fills in words."""
    checkpoint = open_checkpoint(place)
    kinds = ["masked_lm" if kind == "pretraining" else kind for kind in checkpoint.stored_heads()]
    model, report = load_model(place, heads=None if checkpoint.plans else kinds, dtype=as_dtype(dtype))
    random = [*report.missing, *report.mismatched]
    if random:
        raise CheckpointError(
            f"{report.source}: {', '.join(random[:3])} would be initialised, and answers be random; fine-tune it first"
        )
    return model


def _head(model: Model, kind: str) -> str | None:
    """The name of the first head of a kind."""
    return next((name for name, plan in model.plans.items() if plan.kind == kind), None)


def _asked(place: Path, model: Model) -> list[tuple[str, str, SavedTask | None]]:
    """Abilities, names of heads, and what the folder says about the task, if it does."""
    tasks = load_tasks(place)
    named = [
        (ability, name if name in model.heads else saved.task.head, saved)
        for name, saved in tasks.items()
        for kind, ability in _BY_TASK.items()
        if type(saved.task) is kind
    ]
    if named:
        return [(ability, head, saved) for ability, head, saved in named]
    return [
        (_BY_HEAD[plan.kind], name, None)
        for name, plan in model.plans.items()
        if plan.kind is not None and plan.kind in _BY_HEAD
    ]


def _door(
    ability: str, model: Model, *, saved: SavedTask | None, tokenizer: Tokenizer, counting: Tokenizer, batch_tokens: int
) -> Door:
    """The pipeline that plm.pipeline opens for the folder."""
    is_classifier = saved is None or isinstance(saved.task, Classification)
    positions = checked_length(None, model.config, tokenizer)
    source = Source(
        task=ability,
        model=model,
        tokenizer=tokenizer,
        backend="torch",
        dtype="float32",  # as the model is, which is loaded
        settings=None if is_classifier or saved is None else saved.task,
        max_length=None if is_classifier or saved is None else min(saved.max_length, positions or saved.max_length),
        tokens_per_batch=batch_tokens,
    )
    ask: Any = ROWS[ability].open(source)
    work, count = (_each_kind(ask), count_passages) if ability in ("classify", "embed") else (ask, count_texts)
    return Door(
        work=work,
        count=functools.partial(count, counting),
        cuts_at=ask.max_length if ability in ("classify", "embed") else None,
    )


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
