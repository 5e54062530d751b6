"""The models of a service: each with its queue, lent to requests, exchanged as a whole when they are read again."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Hashable, Mapping, Sequence
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, field
from typing import Any

from plm.errors import did_you_mean
from plm.generation.config import GenerationConfig
from plm.poetry.request import PoemRequest
from plm.serving.batcher import Batcher, Watch
from plm.serving.errors import ServiceError
from plm.serving.limits import Limits
from plm.serving.opening import Door, Opened

# Tokens of a poem with its title, about.
_POEM_TOKENS = 64

# Characters that are counted at once, in about a millisecond; a thread for them would take as long to begin.
_COUNTED_AT_ONCE = 4000

Opener = Callable[[], Opened]


@dataclass(frozen=True)
class Answered:
    """answers: one for each value. tokens: of all values, as computed. truncated: places of values that were cut."""

    answers: list[Any]
    tokens: int
    truncated: list[int] = field(default_factory=list)


def characters(value: str | Sequence[str]) -> int:
    """Of a text, or of all parts of a pair, a question or a list of words, a space after each included."""
    return len(value) if isinstance(value, str) else sum(len(part) + 1 for part in value)


class ServedModel:
    """A model with its queue. Made inside a running event loop."""

    def __init__(self, name: str, opened: Opened, *, limits: Limits, watch: Watch) -> None:
        self.name = name
        self.opened = opened
        self._limits = limits
        self._batcher = Batcher(
            name, tokens=limits.batch_tokens, wait=limits.batch_wait, room=limits.queue, watch=watch
        )
        self._counting = asyncio.Lock()  # a tokenizer is used by one thread at a time
        self._borrowers = 0
        self._is_free = asyncio.Event()
        self._is_free.set()

    def card(self) -> dict[str, Any]:
        """What /v1/models says."""
        opened = self.opened
        return {
            "name": self.name,
            "abilities": list(opened.abilities),
            "family": opened.family,
            "parameters": opened.parameters,
            "max_tokens": opened.max_tokens,
            "mask_token": opened.mask_token,
        }

    @asynccontextmanager
    async def lent(self) -> AsyncIterator[ServedModel]:
        """Keeps the model open inside."""
        self._borrowers += 1
        self._is_free.clear()
        try:
            yield self
        finally:
            self._borrowers -= 1
            if not self._borrowers:
                self._is_free.set()

    async def close(self) -> None:
        """Wait until nobody needs it any more, and end its thread."""
        await self._is_free.wait()
        await self._batcher.close()

    async def ask(self, ability: str, values: Sequence[Any], *, truncate: bool) -> Answered:
        """Answers of one of its doors.

        truncate: True = too long texts are cut, where the model cuts; False = they are errors.
        Raises ServiceError for too long texts and a full queue, and PlmError kin for texts that cannot be answered.
        """
        door = self.opened.doors[ability]
        tokens = await self._count(door.count, values)
        tokens, truncated = self._checked(door, tokens, truncate=truncate)
        answers = await self._batcher.submit(values, tokens=tokens, work=door.work, group=ability)
        return Answered(answers, sum(tokens), truncated)

    async def write(self, prompts: Sequence[str], config: GenerationConfig) -> Answered:
        """Texts that go on with prompts, all with one config."""
        writer = self.opened.writer
        assert writer is not None, "lent for another ability"
        tokens = await self._cost(prompts, config)
        group: Hashable = ("generate", config)
        answers = await self._batcher.submit(
            prompts, tokens=tokens, work=lambda some: writer.write(some, config), group=group
        )
        return Answered(answers, sum(tokens))

    async def stream(self, prompt: str, config: GenerationConfig) -> AsyncGenerator[str, None]:
        """One such text, in pieces; closing the iterator ends the work at the next piece."""
        writer = self.opened.writer
        assert writer is not None, "lent for another ability"
        loop, stopped = asyncio.get_running_loop(), threading.Event()
        pieces: asyncio.Queue[str | None] = asyncio.Queue()

        def work(prompts: list[str]) -> list[None]:
            with closing(writer.stream(prompts[0], config)) as written:
                for piece in written:
                    if stopped.is_set():
                        break
                    loop.call_soon_threadsafe(pieces.put_nowait, piece)
            return [None]

        tokens = await self._cost([prompt], config)
        task = loop.create_task(self._batcher.submit([prompt], tokens=tokens, work=work, group=work))
        task.add_done_callback(lambda _: pieces.put_nowait(None))
        try:
            while (piece := await pieces.get()) is not None:
                yield piece
            await task
        finally:
            stopped.set()
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def compose(self, wish: PoemRequest) -> Answered:
        """Poems. Wishes that wait together are met together."""
        poet = self.opened.poet
        assert poet is not None, "lent for another ability"
        cost = _POEM_TOKENS * max(wish.n, wish.candidates)
        poems = await self._batcher.submit([wish], tokens=[cost], work=poet.write_all, group="poem")
        return Answered(poems[0], 0)

    async def _count(self, count: Callable[[Sequence[Any]], list[int]], values: Sequence[Any]) -> list[int]:
        """Tokens of each value."""
        async with self._counting:
            if sum(map(characters, values)) <= _COUNTED_AT_ONCE:
                return count(values)
            return await asyncio.to_thread(count, values)

    async def _cost(self, prompts: Sequence[str], config: GenerationConfig) -> list[int]:
        writer = self.opened.writer
        assert writer is not None, "lent for another ability"
        read = await self._count(lambda texts: [writer.count(text) for text in texts], prompts)
        self._refuse_too_long(read, self._limits.text_tokens)
        ways = max(config.num_beams, config.num_return_sequences)
        asked = len(prompts) * ways * config.max_new_tokens
        if asked > self._limits.new_tokens:
            raise ServiceError(
                "invalid_request",
                f"asks for {asked} new tokens (prompts x texts or beams x max_new_tokens); "
                f"{self._limits.new_tokens} may be asked for at once",
            )
        return [(count + config.max_new_tokens) * ways for count in read]

    def _checked(self, door: Door, tokens: list[int], *, truncate: bool) -> tuple[list[int], list[int]]:
        """Costs after cutting, and the places of texts that are cut."""
        if door.cuts_at is None:
            self._refuse_too_long(tokens, self._limits.text_tokens)
            return tokens, []
        limit = min(door.cuts_at, self._limits.text_tokens)
        if not truncate:
            self._refuse_too_long(tokens, limit, ' or send "truncate": true')
        elif door.cuts_at > limit:
            self._refuse_too_long(tokens, limit)
        return [min(count, limit) for count in tokens], [i for i, count in enumerate(tokens) if count > limit]

    def _refuse_too_long(self, tokens: Sequence[int], limit: int, way_out: str = "") -> None:
        for place, count in enumerate(tokens):
            if count > limit:
                raise ServiceError(
                    "invalid_request",
                    f"inputs[{place}]: has {count} tokens, and {self.name} takes {limit}; shorten it{way_out}",
                )


class Shelf:
    """All models of a service by name.

    openers: name -> a function that loads the model, called in a thread, again at every reload.
    watch: name -> who wants to know what its batcher does.
    """

    def __init__(self, openers: Mapping[str, Opener], *, limits: Limits, watch: Callable[[str], Watch]) -> None:
        self._openers, self._limits, self._watch = dict(openers), limits, watch
        self._models: dict[str, ServedModel] = {}
        self._loading = asyncio.Lock()
        self._leaving: set[asyncio.Task[None]] = set()

    @property
    def is_ready(self) -> bool:
        """True once all models are loaded."""
        return bool(self._models)

    def models(self) -> list[ServedModel]:
        """In the order of the openers."""
        return list(self._models.values())

    async def load(self) -> None:
        """Load all models, put them in the place of those that were there, and let those finish their work.

        A failure changes nothing, and is raised.
        """
        async with self._loading:
            opened = {name: await asyncio.to_thread(opener) for name, opener in self._openers.items()}
            before = self.models()
            self._models = {
                name: ServedModel(name, one, limits=self._limits, watch=self._watch(name))
                for name, one in opened.items()
            }
        for model in before:
            task = asyncio.get_running_loop().create_task(model.close())
            self._leaving.add(task)
            task.add_done_callback(self._leaving.discard)

    async def close(self) -> None:
        """Wait for the work of all models."""
        models, self._models = self.models(), {}
        await asyncio.gather(*self._leaving, *(model.close() for model in models))

    @asynccontextmanager
    async def lend(self, ability: str, name: str | None) -> AsyncIterator[ServedModel]:
        """A model that can be asked so, kept open inside. name: None = the only one.

        Raises ServiceError when there is none, or when it is not clear which.
        """
        async with self._choose(ability, name).lent() as model:
            yield model

    def _choose(self, ability: str, name: str | None) -> ServedModel:
        if not self.is_ready:
            raise ServiceError("not_ready", "the models are being loaded; ask again later", retry_after=1)
        able = {model.name: model for model in self.models() if ability in model.opened.abilities}
        if name is None and len(able) == 1:
            return next(iter(able.values()))
        if name in able:
            return able[name]
        listed = ", ".join(able) or "none"
        if name is None:
            message = f'several models answer /v1/{ability}: say which, "model": one of {listed}'
            if not able:
                message = f"no model here answers /v1/{ability}"
            raise ServiceError("invalid_request" if able else "unknown_model", message)
        what = f"does not answer /v1/{ability}" if name in self._models else f"is not served{did_you_mean(name, able)}"
        raise ServiceError("unknown_model", f"model {name!r} {what} (those that answer: {listed})")
