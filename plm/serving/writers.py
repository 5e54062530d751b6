"""Who writes: what the service needs of a generator of texts and of a poet."""

from __future__ import annotations

from collections.abc import Generator as Pieces
from collections.abc import Sequence
from typing import Any, Protocol

from plm.generation.config import GenerationConfig
from plm.generation.generator import Generator
from plm.generation.poet import Poet
from plm.heads.engine import CausalEngine
from plm.heads.model import Model
from plm.poetry.request import PoemRequest
from plm.tokenizers import Tokenizer


class TextWriter(Protocol):
    """Goes on with texts."""

    def count(self, prompt: str) -> int:
        """Tokens of a prompt. Called in another thread than the rest."""
        ...

    def write(self, prompts: Sequence[str], config: GenerationConfig) -> list[list[dict[str, Any]]]:
        """For each prompt its texts: [{"text", "score", "ending"}, ...]. Raises PlmError for what cannot be done."""
        ...

    def stream(self, prompt: str, config: GenerationConfig) -> Pieces[str, None, None]:
        """One text in pieces. Closing it ends the work."""
        ...


class PoemWriter(Protocol):
    """Writes poems."""

    def write_all(self, requests: Sequence[PoemRequest]) -> list[list[dict[str, Any]]]:
        """For each request its poems, as JSON has them. Raises PlmError for a wish that cannot be met."""
        ...


class ModelWriter:
    """The TextWriter of a causal model, or of a backend's engine. counting: a tokenizer for the thread that counts."""

    def __init__(self, model: Model | CausalEngine, tokenizer: Tokenizer, counting: Tokenizer) -> None:
        self._generator = Generator(model, tokenizer)
        self._counting = Generator(model, counting)

    def count(self, prompt: str) -> int:
        """See TextWriter."""
        return len(self._counting.encode(prompt))

    def write(self, prompts: Sequence[str], config: GenerationConfig) -> list[list[dict[str, Any]]]:
        """See TextWriter."""
        return [
            [{"text": one.text, "score": one.score, "ending": one.ending} for one in texts]
            for texts in self._generator(prompts, config)
        ]

    def stream(self, prompt: str, config: GenerationConfig) -> Pieces[str, None, None]:
        """See TextWriter."""
        yield from self._generator.stream(prompt, config)


class ModelPoet:
    """The PoemWriter of a model of poems."""

    def __init__(self, poet: Poet) -> None:
        self._poet = poet

    def write_all(self, requests: Sequence[PoemRequest]) -> list[list[dict[str, Any]]]:
        """See PoemWriter."""
        return [[poem.to_dict() for poem in poems] for poems in self._poet.write_all(requests)]
