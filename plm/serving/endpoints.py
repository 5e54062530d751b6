"""What stands below /v1: from requests, which are checked, to questions that a model takes, and back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Sequence
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from plm.errors import optional_import
from plm.generation.config import GenerationConfig
from plm.poetry.request import PoemRequest as Wish
from plm.serving.attending import attended, events
from plm.serving.errors import ServiceError
from plm.serving.limits import Limits
from plm.serving.schemas import (
    AnswerRequest,
    ClassifyRequest,
    EmbedRequest,
    FillMaskRequest,
    GenerateRequest,
    Passage,
    PoemRequest,
    TagRequest,
)
from plm.serving.served import Answered, ServedModel, Shelf, characters

if TYPE_CHECKING:
    import fastapi
    import fastapi.responses
else:
    fastapi = optional_import("fastapi", extra="serve", purpose="plm serve")
    optional_import("fastapi.responses", extra="serve", purpose="plm serve")

Result = TypeVar("Result")

# Fields of a request for generation that are not those of GenerationConfig.
_BESIDES = {"model", "inputs", "stream"}

# Proxies are asked to hand on each event as it comes.
_UNBUFFERED = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}


def _as_it_is(answer: Any) -> Any:
    return answer


def _without_scores(answer: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in answer.items() if name != "scores"}


class Endpoints:
    """The handlers of one service."""

    def __init__(self, shelf: Shelf, limits: Limits) -> None:
        self._shelf, self._limits = shelf, limits

    async def models(self) -> Any:
        """Names of the models, and what each can be asked."""
        if not self._shelf.is_ready:
            raise ServiceError("not_ready", "the models are being loaded; ask again later", retry_after=1)
        return fastapi.responses.JSONResponse({"models": [model.card() for model in self._shelf.models()]})

    async def classify(self, asked: ClassifyRequest, request: fastapi.Request) -> Any:
        """A class and its probability for each text or pair: {"label", "score"}; {"labels"} where several may apply.

        With "scores": true also {"scores": {label: probability}} of all classes, the likeliest first.
        """
        return await self._ask(
            request,
            "classify",
            asked.model,
            _passages(asked.inputs),
            truncate=asked.truncate,
            tell=_as_it_is if asked.scores else _without_scores,
        )

    async def embed(self, asked: EmbedRequest, request: fastapi.Request) -> Any:
        """A vector for each text or pair: the mean of its last hidden states."""

        def tell(states: Any) -> list[float]:
            length = float(np.linalg.norm(states)) if asked.normalize else 1.0
            vector: list[float] = (states / length if length else states).tolist()
            return vector

        return await self._ask(
            request, "embed", asked.model, _passages(asked.inputs), truncate=asked.truncate, tell=tell
        )

    async def tag(self, asked: TagRequest, request: fastapi.Request) -> Any:
        """The entities of each text, [{"type", "text", "start", "end", "score"}, ...], with places in characters.

        For a list of words {"tags", "scores", "entities"}, with places in words.
        """
        return await self._ask(request, "tag", asked.model, asked.inputs)

    async def answer(self, asked: AnswerRequest, request: fastapi.Request) -> Any:
        """The words of each context that answer its question: {"answer", "start", "end", "score"}."""
        questions = [(one.question, one.context) for one in asked.inputs]
        return await self._ask(request, "answer", asked.model, questions)

    async def fill_mask(self, asked: FillMaskRequest, request: fastapi.Request) -> Any:
        """For each text, for each of its masks, [{"token", "score"}, ...], the likeliest first."""
        return await self._ask(
            request, "fill-mask", asked.model, asked.inputs, tell=lambda masks: [mask[: asked.top_k] for mask in masks]
        )

    async def generate(self, asked: GenerateRequest, request: fastapi.Request) -> Any:
        """Texts that go on with each prompt: [{"text", "score", "ending"}, ...].

        With "stream": true a text/event-stream of `data: {"text": piece}`, and at the end `data: [DONE]`.
        """
        wanted = {name: getattr(asked, name) for name in type(asked).model_fields if name not in _BESIDES}
        config = GenerationConfig(**wanted | {"stop_strings": tuple(asked.stop_strings)})
        self._check_texts(asked.inputs)
        if asked.stream:
            return await self._stream(request, asked, config)
        return await self._lent(request, "generate", asked.model, lambda model: model.write(asked.inputs, config))

    async def poem(self, asked: PoemRequest, request: fastapi.Request) -> Any:
        """Poems: {"lines", "form", "title", "score", "report"} each."""
        if asked.n > self._limits.poems:
            raise ServiceError("invalid_request", f"n: {asked.n} poems at once are more than {self._limits.poems}")
        wished = {name: getattr(asked, name) for name in type(asked).model_fields if name != "model"}
        wish = Wish(**wished | {"licences": tuple(asked.licences)})
        return await self._lent(
            request, "poem", asked.model, lambda model: model.compose(wish), tell=lambda told: {"poems": told.answers}
        )

    async def _ask(
        self,
        request: fastapi.Request,
        ability: str,
        name: str | None,
        values: Sequence[Any],
        *,
        truncate: bool = False,
        tell: Callable[[Any], Any] = _as_it_is,
    ) -> Any:
        self._check_texts(values)

        def told(answered: Answered) -> dict[str, Any]:
            return vars(answered) | {"answers": [tell(answer) for answer in answered.answers]}

        return await self._lent(
            request, ability, name, lambda model: model.ask(ability, values, truncate=truncate), tell=told
        )

    async def _lent(
        self,
        request: fastapi.Request,
        ability: str,
        name: str | None,
        work: Callable[[ServedModel], Coroutine[Any, Any, Answered]],
        *,
        tell: Callable[[Answered], dict[str, Any]] = vars,
    ) -> Any:
        """Let a model work, and tell what it answered."""
        async with self._shelf.lend(ability, name) as model:
            answered = await self._attended(request, work(model))
            return fastapi.responses.JSONResponse({"model": model.name, **tell(answered)})

    async def _attended(self, request: fastapi.Request, work: Coroutine[Any, Any, Result]) -> Result:
        return await attended(work, receive=request.receive, timeout=self._limits.timeout)

    async def _stream(self, request: fastapi.Request, asked: GenerateRequest, config: GenerationConfig) -> Any:
        """What goes wrong before the first piece still is an answer with a status of its own."""
        if len(asked.inputs) != 1 or config.num_return_sequences > 1 or config.num_beams > 1:
            raise ServiceError("invalid_request", "stream: one prompt, one text and no beams, please")
        until = asyncio.get_running_loop().time() + self._limits.timeout
        pieces = self._pieces(asked, config)
        try:
            first = await self._attended(request, _first(pieces))
        except BaseException:
            await pieces.aclose()
            raise

        async def told() -> AsyncIterator[str]:
            async with aclosing(pieces):
                async for event in events(first, pieces, until=until):
                    yield event

        return fastapi.responses.StreamingResponse(told(), media_type="text/event-stream", headers=_UNBUFFERED)

    async def _pieces(self, asked: GenerateRequest, config: GenerationConfig) -> AsyncGenerator[str, None]:
        async with (
            self._shelf.lend("generate", asked.model) as model,
            aclosing(model.stream(asked.inputs[0], config)) as pieces,
        ):
            async for piece in pieces:
                yield piece

    def _check_texts(self, values: Sequence[Any]) -> None:
        """Raise ServiceError for too many values, and for one with too many characters."""
        if len(values) > self._limits.inputs:
            raise ServiceError("invalid_request", f"inputs: {len(values)} are more than {self._limits.inputs} at once")
        for place, value in enumerate(values):
            size = characters(value)
            if size > self._limits.text_characters:
                raise ServiceError(
                    "invalid_request",
                    f"inputs[{place}]: has {size} characters, more than {self._limits.text_characters}; split it",
                )


def _passages(inputs: Sequence[Passage]) -> list[str | tuple[str, str]]:
    return [one.text if one.pair is None else (one.text, one.pair) for one in inputs]


async def _first(pieces: AsyncIterator[str]) -> str | None:
    """The first piece; None when there is none."""
    return await anext(pieces, None)
