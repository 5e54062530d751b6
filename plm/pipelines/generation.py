"""Prompts to texts that go on: `pipeline("text-generation", folder)`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from plm.auto.choosing import TORCH, open_engine
from plm.checkpoints.hub import resolve
from plm.errors import ConfigError
from plm.generation import GenerationConfig, Generator
from plm.generation.poem_judge import PoemJudge
from plm.generation.poet import EMBEDDED, Poet
from plm.pipelines.source import TASKS, Source
from plm.poetry.known_lines import KnownLines
from plm.tokenizers import load_tokenizer


def open_generator(
    name_or_path: str | Path, *, backend: str = TORCH, dtype: str = "float32", rows: int = 32
) -> Generator:
    """A Generator whose model a backend computes; of "torch" as Generator.from_pretrained.

    Raises BackendUnavailable for a backend that does not go on with texts, CheckpointError and ConfigError for a model
    that cannot.
    """
    folder = resolve(name_or_path)
    return Generator(open_engine(folder, backend=backend, dtype=dtype), load_tokenizer(folder), rows=rows)


def open_poet(
    name_or_path: str | Path = EMBEDDED,
    *,
    backend: str = TORCH,
    dtype: str = "float32",
    judge: PoemJudge | None = None,
    judge_weight: float = 1.0,
) -> Poet:
    """A Poet whose model a backend computes; errors as of open_generator."""
    folder = resolve(name_or_path)
    return Poet(
        open_engine(folder, backend=backend, dtype=dtype),
        load_tokenizer(folder),
        known=KnownLines.load(folder),
        judge=judge,
        judge_weight=judge_weight,
    )


class TextGeneration:
    """Goes on with prompts, as a GenerationConfig says. generator: what it asks, which can also `stream`."""

    def __init__(self, generator: Generator) -> None:
        self.generator = generator

    def __call__(
        self, prompts: str | Sequence[str], config: GenerationConfig | None = None
    ) -> list[list[dict[str, Any]]]:
        """For each prompt its texts, [{"text", "score", "ending"}, ...], see plm.generation.Generated."""
        return [
            [{"text": one.text, "score": one.score, "ending": one.ending} for one in texts]
            for texts in self.generator(prompts, config)
        ]


class GenerationTask:
    """The row of TASKS."""

    def open(self, source: Source) -> TextGeneration:
        """See PipelineTask."""
        if source.settings is not None:
            raise ConfigError(f"settings: {source.task} takes none; give each call a GenerationConfig")
        if source.max_length is not None:
            raise ConfigError(f"max_length: {source.task} takes none; a call has max_new_tokens in its config")
        return TextGeneration(Generator(source.engine(), source.tokenizer))


TASKS.add("text-generation", GenerationTask())
