"""Prompts to texts that go on: `pipeline("text-generation", folder)`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from plm.errors import BackendUnavailable, ConfigError
from plm.generation import GenerationConfig, Generator
from plm.pipelines.source import TASKS, Source


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
        if source.backend != "torch":
            raise BackendUnavailable(f'backend {source.backend!r} does not write texts: use "torch"')
        if isinstance(source.model, Path):
            return TextGeneration(Generator.from_pretrained(source.model, dtype=source.dtype))
        return TextGeneration(Generator(source.model, source.tokenizer))


TASKS.add("text-generation", GenerationTask())
