"""What every route asks: batches, deadlines and the store, away from HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from functools import partial
from threading import Lock
from typing import Any, TypeVar

from tastemaker.agent.chat.chat import Asker, Reply
from tastemaker.agent.conversations import Begun, Conversations, sessions_of
from tastemaker.agent.feedback import forget_user
from tastemaker.agent.locks import KeyedLocks
from tastemaker.agent.pipeline import Pipeline, Ranked
from tastemaker.agent.recommender import Recommender
from tastemaker.agent.rerank import RetrievalReranker
from tastemaker.agent.service.batching import Batcher, QueueFullError
from tastemaker.agent.service.config import ServiceConfig
from tastemaker.agent.store import Impression, Store, StoredEvent, StoredSession
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
        """The replies of ``Conversations.stream``; turns of one session wait for each other."""
        self.refuse_forgotten(asker.user_id)
        async with self._alone(session_id):
            begun: Begun = await self.aside(self.talk.begin, session_id, text, asker)
            request = begun.step.request
            if request is None:
                yield await self.aside(self._end, begun)
                return
            if begun.step.question != "list":
                yield await self.with_models(self._end, begun)
                return
            answer: Recommendation | None = None
            ended = False
            try:
                async for answer in self.steps(request):
                    yield self.talk.chat.finish(begun.step, answer)
                reply = await self.aside(self._end, begun, answer)
                ended = True
            finally:
                # Who has seen the list and went away may come back and speak of its second item.
                if answer is not None and not ended:
                    await asyncio.shield(self.aside(self._end, begun, answer))
            yield reply

    def _end(self, begun: Begun, answer: Recommendation | None = None) -> Reply:
        self.refuse_forgotten(begun.session.user_id)
        return self.talk.end(begun, answer)

    def refuse_forgotten(self, user_id: str | None) -> None:
        """UnknownUserError for a user who was deleted since the service was started."""
        if user_id is not None and user_id in self.forgotten:
            raise UnknownUserError("no user has this id")

    async def current(self, session_id: str, asker: Asker, *, explain: bool = True) -> Recommendation:
        """The list that a session's present state stands for, which becomes the list last shown."""
        self.refuse_forgotten(asker.user_id)
        async with self._alone(session_id):
            session = await self.aside(self.talk.session, session_id, asker.user_id)
            asker = replace(asker, user_id=asker.user_id or session.user_id)
            request = await self.aside(self.talk.request, session, asker)
            answer = await self.recommend(request, explain=explain)
            await self.aside(self.talk.show, session, answer)
            return answer

    async def feedback(self, events: Sequence[StoredEvent]) -> list[bool]:
        """``Conversations.feedback``, while no turn of these sessions is under way."""
        whole = await self.aside(self.talk.joined, events)
        for one in whole:
            self.refuse_forgotten(one.user_id)
        async with AsyncExitStack() as stack:
            for session_id in sessions_of(whole):
                await stack.enter_async_context(self._alone(session_id))
            return await self.aside(self.talk.keep_events, whole)

    @asynccontextmanager
    async def _alone(self, session_id: str) -> AsyncIterator[None]:
        """While nothing else changes this session."""
        with self._locks.of(session_id) as lock:
            async with lock:
                yield

    async def edit(self, session_id: str, changes: Mapping[str, Any]) -> StoredSession:
        async with self._alone(session_id):
            return await self.aside(self.talk.edit, session_id, changes)

    async def forget_session(self, session_id: str) -> None:
        """Delete a session with what was shown and said in it; UnknownSessionError where there is none."""
        async with self._alone(session_id):
            await self.aside(self.talk.known_session, session_id)
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


def _degraded(answer: Recommendation, reason: str) -> Recommendation:
    told = "; ".join(filter(None, (answer.trace.degraded, reason)))
    return replace(answer, trace=replace(answer.trace, degraded=told))
