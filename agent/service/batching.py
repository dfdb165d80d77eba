"""Concurrent questions are answered together: one forward pass for many."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Generic, TypeVar

from tastemaker.errors import TastemakerError

Asked = TypeVar("Asked")
Answered = TypeVar("Answered")


class QueueFullError(TastemakerError):
    """More is waiting than may wait; ``retry_after`` seconds are worth waiting before the next try."""

    def __init__(self, waiting: int, retry_after: int) -> None:
        super().__init__(f"{waiting} requests are waiting already", hint=f"try again in {retry_after} s")
        self.retry_after = retry_after


@dataclass(slots=True)
class _Waiting(Generic[Asked, Answered]):
    asked: Asked
    answer: asyncio.Future[Answered]


@dataclass(slots=True)
class BatchStats:
    """``batches`` done and ``asked`` in them; ``seconds`` of the last one."""

    batches: int = 0
    asked: int = 0
    seconds: float = 0.0


class Batcher(Generic[Asked, Answered]):
    """Collects what is asked while the worker is busy, and asks it as one batch.

    No time is spent waiting for more: an idle worker starts at once, and while it works the next batch grows
    by itself. So one question alone is as fast as without batches.

    Args:
        work: answers a batch, in order; runs in ``executor``.
        most: questions in one batch.
        bound: questions that may wait; more are refused with ``QueueFullError``.
    """

    def __init__(
        self,
        work: Callable[[Sequence[Asked]], Sequence[Answered]],
        executor: Executor,
        *,
        most: int,
        bound: int,
    ) -> None:
        self._work, self._executor = work, executor
        self._most, self._bound = most, bound
        self._waiting: list[_Waiting[Asked, Answered]] = []
        self._runner: asyncio.Task[None] | None = None
        self.stats = BatchStats()

    def __len__(self) -> int:
        return len(self._waiting)

    async def ask(self, asked: Asked) -> Answered:
        """Wait for the answer. Who stops waiting (a deadline, a cut connection) is taken out of the queue.

        Raises:
            QueueFullError: too many wait already. Whatever ``work`` raises for this question alone.
        """
        if len(self._waiting) >= self._bound:
            # What waits is done in so many batches of the length of the last one.
            ahead = len(self._waiting) / self._most
            raise QueueFullError(len(self._waiting), max(1, round(ahead * self.stats.seconds)))
        one = _Waiting[Asked, Answered](asked, asyncio.get_running_loop().create_future())
        self._waiting.append(one)
        if self._runner is None or self._runner.done():
            self._runner = asyncio.create_task(self._run())
        try:
            return await one.answer
        finally:
            if one in self._waiting:
                self._waiting.remove(one)

    async def drain(self) -> None:
        """Wait until nothing waits any more."""
        while self._runner is not None and not self._runner.done():
            await asyncio.wait([self._runner])

    async def _run(self) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting[: self._most], self._waiting[self._most :]
            batch = [one for one in batch if not one.answer.done()]
            if batch:
                await self._answer(batch)

    async def _answer(self, batch: list[_Waiting[Asked, Answered]]) -> None:
        loop = asyncio.get_running_loop()
        begun = loop.time()
        try:
            answers = await loop.run_in_executor(self._executor, self._work, [one.asked for one in batch])
            if len(answers) != len(batch):
                raise RuntimeError(f"{len(answers)} answers to {len(batch)} questions")
        except Exception as error:
            if len(batch) > 1:
                # One bad question must not fail the others.
                for one in batch:
                    await self._answer([one])
                return
            if not batch[0].answer.done():
                batch[0].answer.set_exception(error)
            return
        self.stats.batches += 1
        self.stats.asked += len(batch)
        self.stats.seconds = loop.time() - begun
        for one, answer in zip(batch, answers, strict=True):
            if not one.answer.done():
                one.answer.set_result(answer)
