"""Texts of different requests share batches, within the budget, in order; what nobody waits for is not computed."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from plm.errors import DataError
from plm.serving.batcher import Batcher, stop_where_nobody_waits
from plm.serving.errors import ServiceError


class Note:
    """A Watch that remembers."""

    def __init__(self) -> None:
        self.lengths: list[int] = []
        self.batches: list[tuple[int, int]] = []

    def queued(self, texts: int) -> None:
        """See Watch."""
        self.lengths.append(texts)

    def computed(self, *, texts: int, tokens: int, seconds: float) -> None:
        """See Watch."""
        assert seconds >= 0
        self.batches.append((texts, tokens))


class Slow:
    """Work that waits for its gate and notes its batches; "bad" fails the batch it is in."""

    def __init__(self) -> None:
        self.gate, self.started = threading.Event(), threading.Event()
        self.batches: list[list[str]] = []

    def __call__(self, values: list[str]) -> list[str]:
        self.batches.append(values)
        self.started.set()
        assert self.gate.wait(10)
        if "bad" in values:
            raise DataError("is bad")
        return [value.upper() for value in values]


@asynccontextmanager
async def batching(*, tokens: int = 10, wait: float = 0.01, room: int = 8) -> Any:
    """A batcher, its work and its notes."""
    note = Note()
    batcher = Batcher("m", tokens=tokens, wait=wait, room=room, watch=note)
    slow = Slow()

    def submit(*values: str, group: str = "g") -> asyncio.Task[list[str]]:
        costs = [len(value) for value in values]
        return asyncio.ensure_future(batcher.submit(values, tokens=costs, work=slow, group=group))

    try:
        yield submit, slow, note
    finally:
        slow.gate.set()
        await batcher.close()


def run(test: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(asyncio.wait_for(test(), 20))  # type: ignore[arg-type]


async def begun(slow: Slow) -> None:
    """Wait until the thread works on something."""
    await asyncio.to_thread(slow.started.wait, 10)


def test_requests_that_come_together_are_computed_together() -> None:
    async def test() -> None:
        async with batching() as (submit, slow, note):
            slow.gate.set()
            assert await asyncio.gather(submit("ab"), submit("cde", "f")) == [["AB"], ["CDE", "F"]]
            assert slow.batches == [["ab", "cde", "f"]]
            assert note.batches == [(3, 6)]

    run(test)


def test_a_batch_holds_no_more_tokens_than_the_budget_unless_one_text_does() -> None:
    async def test() -> None:
        async with batching(tokens=5) as (submit, slow, _note):
            slow.gate.set()
            assert (await submit("abc", "de", "f", "ghijklm", "n"))[3] == "GHIJKLM"
            assert slow.batches == [["abc", "de"], ["f"], ["ghijklm"], ["n"]]

    run(test)


def test_a_full_batch_does_not_wait_for_company_and_a_single_text_does_not_wait_forever() -> None:
    async def test() -> None:
        async with batching(tokens=4, wait=5.0) as (submit, slow, _note):
            slow.gate.set()
            await asyncio.wait_for(submit("abcd"), 2)
        async with batching(wait=0.05) as (submit, slow, _note):
            slow.gate.set()
            await asyncio.wait_for(submit("a"), 2)

    run(test)


def test_while_the_thread_is_busy_the_next_batch_gathers() -> None:
    async def test() -> None:
        async with batching(wait=0.0) as (submit, slow, _note):
            first = submit("a")
            await begun(slow)
            later = [submit("b"), submit("c"), submit("d")]
            await asyncio.sleep(0.02)
            slow.gate.set()
            await asyncio.gather(first, *later)
            assert slow.batches == [["a"], ["b", "c", "d"]]

    run(test)


def test_groups_do_not_mix_and_nobody_is_overtaken_by_a_later_batch_of_the_same_group() -> None:
    async def test() -> None:
        async with batching(wait=0.0) as (submit, slow, _note):
            first = submit("a")
            await begun(slow)
            later = [submit("b", group="x"), submit("c", group="y"), submit("d", group="x")]
            await asyncio.sleep(0.02)
            slow.gate.set()
            await asyncio.gather(first, *later)
            assert slow.batches == [["a"], ["b", "d"], ["c"]]

    run(test)


def test_one_bad_text_fails_its_own_request_alone() -> None:
    async def test() -> None:
        async with batching() as (submit, slow, _note):
            slow.gate.set()
            good, bad, other = await asyncio.gather(
                submit("a"), submit("b", "bad"), submit("c"), return_exceptions=True
            )
            assert (good, other) == (["A"], ["C"])
            assert isinstance(bad, DataError)

    run(test)


def test_a_full_queue_refuses_with_a_time_to_wait() -> None:
    async def test() -> None:
        async with batching(room=2, wait=0.0) as (submit, slow, _note):
            first = submit("a")
            await begun(slow)
            waiting = submit("b", "c")
            await asyncio.sleep(0)
            with pytest.raises(ServiceError, match="2 texts are waiting, and 1 more would be above 2") as caught:
                await submit("d")
            assert caught.value.status == 429
            assert caught.value.retry_after is not None
            assert caught.value.retry_after >= 1
            slow.gate.set()
            assert await asyncio.gather(first, waiting) == [["A"], ["B", "C"]]

    run(test)


def test_what_is_cancelled_leaves_the_queue_and_makes_room() -> None:
    async def test() -> None:
        async with batching(room=2, wait=0.0) as (submit, slow, note):
            first = submit("a")
            await begun(slow)
            given_up = submit("b", "c")
            await asyncio.sleep(0)
            given_up.cancel()
            await asyncio.gather(given_up, return_exceptions=True)
            assert note.lengths[-1] == 0
            later = submit("d", "e")
            await asyncio.sleep(0)
            slow.gate.set()
            assert await asyncio.gather(first, later) == [["A"], ["D", "E"]]
            assert slow.batches == [["a"], ["d", "e"]]

    run(test)


def test_nobody_waits_for_company_after_a_batch_of_one_request() -> None:
    async def test() -> None:
        async with batching(wait=5.0) as (submit, slow, _note):
            slow.gate.set()
            for text in ("a", "b", "cd"):
                await asyncio.wait_for(submit(text), 2)
            await asyncio.wait_for(submit("e", "f"), 2)
            await asyncio.gather(submit("g"), submit("h"))
            waiting = submit("i")
            await asyncio.sleep(0.05)
            assert not waiting.done()
            assert await asyncio.wait_for(asyncio.gather(waiting, submit("1234567890")), 2) == [["I"], ["1234567890"]]

    run(test)


def test_work_that_nobody_waits_for_any_more_stops_at_its_next_step() -> None:
    steps: list[int] = []
    begun, goes_on = threading.Event(), threading.Event()

    def work(values: list[str]) -> list[str]:
        for step in range(100):
            stop_where_nobody_waits()
            steps.append(step)
            begun.set()
            assert goes_on.wait(10)
        return values

    async def test() -> None:
        batcher = Batcher("m", tokens=10, wait=0.0, room=8, watch=Note())
        asked = [asyncio.ensure_future(batcher.submit([text], tokens=[1], work=work, group="steps")) for text in "ab"]
        await asyncio.to_thread(begun.wait, 10)
        for one in asked:
            one.cancel()
        await asyncio.gather(*asked, return_exceptions=True)
        goes_on.set()
        await batcher.close()
        assert steps == [0]

    run(test)
