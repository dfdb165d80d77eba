"""What every route asks: batches, deadlines and the store, away from HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from functools import partial
from threading import Lock
from typing import Any, TypeVar

from tastemaker.agent.chat.chat import Asker, Reply
from tastemaker.agent.conversations import Begun, Conversations, Counted, replayed, sessions_of
from tastemaker.agent.feedback import forget_user
from tastemaker.agent.locks import KeyedLocks
from tastemaker.agent.pipeline import Pipeline, Ranked
from tastemaker.agent.recommender import Recommender
from tastemaker.agent.rerank import RetrievalReranker
from tastemaker.agent.service.batching import Batcher, QueueFullError
from tastemaker.agent.service.config import ServiceConfig
from tastemaker.agent.store import Impression, SessionConflictError, Store, StoredEvent, StoredSession
from tastemaker.answers import Recommendation
from tastemaker.errors import UnknownUserError
from tastemaker.types import Request
from tastemaker.workspace import Workspace

Value = TypeVar("Value")


class Engine:
    """Answers for many clients at once over one recommender.

    The models run in one thread, since two would only take turns; what is asked meanwhile becomes the next
    batch. Storage and whatever else blocks runs in threads of its own.
    """

    def __init__(
        self,
        recommender: Recommender,
        store: Store,
        config: ServiceConfig,
        workspace: Workspace | None = None,
    ) -> None:
        """``workspace``: whose data a deleted user is deleted from; None leaves them."""
        self._workspace = workspace
        self._writing_data = Lock()
        self.recommender, self.store, self.config = recommender, store, config
        self.talk = Conversations(recommender, store)
        self._models = ThreadPoolExecutor(1, thread_name_prefix="models")
        self._others = ThreadPoolExecutor(8, thread_name_prefix="others")
        pipeline = recommender.parts.pipeline
        bounds = {"most": config.batch, "bound": config.queue}
        self.ranking = Batcher[Request, Ranked](pipeline.ranked_batch, self._models, **bounds)
        self.explaining = Batcher[Ranked, Ranked](pipeline.explained_batch, self._models, **bounds)
        self._retrieval = Pipeline(
            retriever=recommender.parts.retriever,
            reranker=RetrievalReranker(f"the retriever's order: {self._late()}"),
            explainer=None,
            candidates=recommender.settings.candidates,
            index=recommender.parts.index.fingerprint,
        )
        self._locks = KeyedLocks(asyncio.Lock)
        self.forgotten: set[str] = set()
        self.direct = 0
        self.degraded = 0

    async def close(self) -> None:
        """Answer what waits, then stop."""
        await self.ranking.drain()
        await self.explaining.drain()
        self._models.shutdown()
        self._others.shutdown()
        self.store.close()

    async def aside(self, work: Callable[..., Value], *args: object, **more: object) -> Value:
        """Run something that blocks in another thread."""
        return await asyncio.get_running_loop().run_in_executor(self._others, partial(work, *args, **more))

    async def with_models(self, work: Callable[..., Value], *args: object, **more: object) -> Value:
        """Run something that asks the models where they run.

        Raises:
            QueueFullError: as many wait as may wait, or the deadline passed before it was done.
        """
        if self.direct >= self.config.queue:
            raise QueueFullError(self.direct, round(self.config.deadline))
        self.direct += 1
        try:
            async with asyncio.timeout(self.config.deadline):
                loop = asyncio.get_running_loop()
                return await loop.run_in_executor(self._models, partial(work, *args, **more))
        except TimeoutError as error:
            raise QueueFullError(self.direct, round(self.config.deadline)) from error
        finally:
            self.direct -= 1

    async def steps(self, request: Request, *, explain: bool = True) -> AsyncIterator[Recommendation]:
        """The list, then the list with its words; past the deadline the retriever's order, and it says so."""
        loop = asyncio.get_running_loop()
        end = loop.time() + self.config.deadline
        try:
            async with asyncio.timeout_at(end):
                ranked = await self.ranking.ask(request)
        except TimeoutError:
            yield await self._in_time(request)
            return
        yield ranked[0]
        if not explain or self.recommender.parts.pipeline.explainer is None:
            return
        try:
            async with asyncio.timeout_at(end):
                yield (await self.explaining.ask(ranked))[0]
        except (TimeoutError, QueueFullError) as error:
            self.degraded += 1
            why = self._late() if isinstance(error, TimeoutError) else error.message
            yield _degraded(ranked[0], f"no explanations: {why}")

    async def recommend(self, request: Request, *, explain: bool = True) -> Recommendation:
        *_, answer = [answer async for answer in self.steps(request, explain=explain)]
        return answer

    async def _in_time(self, request: Request) -> Recommendation:
        self.degraded += 1
        [(answer, _)] = await self.aside(self._retrieval.ranked_batch, [request])
        return answer

    def _late(self) -> str:
        return f"the deadline of {self.config.deadline:g} s passed"

    # Conversations

    async def chat(self, session_id: str, text: str, asker: Asker) -> AsyncIterator[Reply]:
        """The replies of ``Conversations.stream``; turns of one session wait for each other.

        Nothing is held while a reply is sent: who has seen the list and went away may come back and speak of
        its second item, and who reads slowly keeps nobody waiting.
        """
        self.refuse_forgotten(asker.user_id)
        async with self._alone(session_id):
            begun, reply, later = await _at_most_twice(partial(self._begin, session_id, text, asker))
        yield reply
        told = reply
        async for answer in later:
            told = self.talk.chat.finish(begun.step, answer)
            yield told
        if told is not reply:
            async with self._alone(session_id):
                await self.aside(self.talk.retell, session_id, told)

    async def _begin(
        self, session_id: str, text: str, asker: Asker
    ) -> tuple[Begun, Reply, AsyncIterator[Recommendation]]:
        """A turn up to its list, which is kept; and what follows the list."""
        begun: Begun = await self.aside(self.talk.begin, session_id, text, asker)
        request = begun.step.request
        if request is None:
            return begun, await self.aside(self._end, begun), _nothing()
        if begun.step.question != "list":
            return begun, await self.with_models(self._end, begun), _nothing()
        steps = self.steps(request)
        answer = await anext(steps)
        return begun, await self.aside(self._end, begun, answer), steps

    async def replay(self, session_id: str, texts: Sequence[str], asker: Asker) -> None:
        """``Conversations.replay``: turns that were said elsewhere, without reasons that nobody reads."""
        self.refuse_forgotten(asker.user_id)
        async with self._alone(session_id):
            for text in replayed(texts):
                begun: Begun = await self.aside(self.talk.begin, session_id, text, asker)
                request, answer = begun.step.request, None
                if request is not None and begun.step.question == "list":
                    answer = await self.recommend(request, explain=False)
                ending = self.aside if answer is not None or request is None else self.with_models
                await ending(self._end, begun, answer, replays=True)

    def _end(self, begun: Begun, answer: Recommendation | None = None, *, replays: bool = False) -> Reply:
        self.refuse_forgotten(begun.session.user_id)
        return self.talk.end(begun, answer, replays=replays)

    def refuse_forgotten(self, user_id: str | None) -> None:
        """UnknownUserError for a user who was deleted since the service was started."""
        if user_id is not None and user_id in self.forgotten:
            raise UnknownUserError("no user has this id")

    async def current(self, session_id: str, asker: Asker, *, explain: bool = True) -> Recommendation:
        """The list that a session's present state stands for, which becomes the list last shown."""
        self.refuse_forgotten(asker.user_id)
        async with self._alone(session_id):
            return await _at_most_twice(partial(self._current, session_id, asker, explain))

    async def _current(self, session_id: str, asker: Asker, explain: bool) -> Recommendation:
        session = await self.aside(self.talk.session, session_id, asker.user_id, asker.client)
        asker = replace(asker, user_id=asker.user_id or session.user_id)
        request = await self.aside(self.talk.request, session, asker)
        answer = await self.recommend(request, explain=explain)
        await self.aside(self.talk.show, session, answer)
        return answer

    async def feedback(self, events: Sequence[StoredEvent], client: str | None = None) -> Counted:
        """``Conversations.feedback``, while no turn of these sessions is under way."""
        whole = await self.aside(self.talk.joined, events, client)
        for one in whole:
            self.refuse_forgotten(one.user_id)
        async with AsyncExitStack() as stack:
            for session_id in sessions_of(whole):
                await stack.enter_async_context(self._alone(session_id))
            return await self.aside(self.talk.keep_events, events, whole, client)

    @asynccontextmanager
    async def _alone(self, session_id: str) -> AsyncIterator[None]:
        """While nothing else changes this session."""
        with self._locks.of(session_id) as lock:
            async with lock:
                yield

    async def edit(
        self, session_id: str, changes: Mapping[str, Any], client: str | None = None
    ) -> StoredSession:
        async with self._alone(session_id):
            return await self.aside(self.talk.edit, session_id, changes, client)

    async def forget_session(self, session_id: str, client: str | None = None) -> None:
        """Delete a session with what was shown and said in it; UnknownSessionError where there is none."""
        async with self._alone(session_id):
            await self.aside(self.talk.known_session, session_id, None, client)
            await self.aside(self.store.delete_session, session_id)

    async def forget(self, user_id: str) -> dict[str, int]:
        """Delete a user from the store and from the workspace's data; what of each was deleted."""
        self.forgotten.add(user_id)
        async with AsyncExitStack() as stack:
            # Turns that are under way are waited for, and no longer kept.
            for session in sorted(await self.aside(self.store.sessions_of, user_id), key=lambda one: one.id):
                await stack.enter_async_context(self._alone(session.id))
            gone = await self.aside(self.store.delete_user, user_id)
        gone["interactions"] = await self.aside(self._forget_in_data, user_id)
        return gone

    def _forget_in_data(self, user_id: str) -> int:
        if self._workspace is None:
            return 0
        with self._writing_data:
            return forget_user(self._workspace, self.recommender.parts.embedder, user_id)

    async def keep(self, answer: Recommendation) -> None:
        self.refuse_forgotten(answer.request.history.user_id)
        await self.aside(self.store.add_impressions, [Impression.of(answer)])


async def _at_most_twice(work: Callable[[], Awaitable[Value]]) -> Value:
    """``at_most_twice`` for what is waited for."""
    try:
        return await work()
    except SessionConflictError:
        return await work()


async def _nothing() -> AsyncIterator[Recommendation]:
    return
    yield


def _degraded(answer: Recommendation, reason: str) -> Recommendation:
    told = "; ".join(filter(None, (answer.trace.degraded, reason)))
    return replace(answer, trace=replace(answer.trace, degraded=told))
