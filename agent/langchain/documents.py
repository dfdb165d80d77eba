"""Documents: a retriever that recommends, and a compressor that reranks what other retrievers found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from langchain_core.callbacks import CallbackManagerForRetrieverRun, Callbacks
from langchain_core.documents import BaseDocumentCompressor, Document
from langchain_core.retrievers import BaseRetriever
from pydantic import ConfigDict, Field

from tastemaker.agent.conversations import Conversations
from tastemaker.agent.recommender import Recommender
from tastemaker.agent.reranker import MAX_CANDIDATES, Reranker
from tastemaker.agent.store import Impression
from tastemaker.answers import RecommendedItem
from tastemaker.errors import RequestError
from tastemaker.index.text import item_text


class RecommenderRetriever(BaseRetriever):
    """Recommendations as documents, best first; the query is the wish.

    The text of a document is the item's, its metadata are ``id``, ``title``, ``rank``, ``score`` (0..1) and,
    where explanations are made, ``explanation`` and ``verified``; ``request_id`` names the list in feedback,
    if ``conversations`` is given, whose store then knows the list.

    Args:
        recommender: whose catalogue is recommended from.
        question: further arguments of ``Recommender.recommend``: ``user_id``, ``context``, ``k`` … Those that
            ``invoke`` is given replace them.

    Raises, when invoked:
        InputError: something in the question cannot be used.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True)
    recommender: Recommender
    conversations: Conversations | None = None
    question: Mapping[str, Any] = Field(default_factory=dict)

    def _get_relevant_documents(
        self, query: str, *, run_manager: CallbackManagerForRetrieverRun, **question: Any
    ) -> list[Document]:
        answer = self.recommender.recommend(**{**self.question, **question, "wish": query})
        if self.conversations is not None and answer.items:
            self.conversations.store.add_impressions([Impression.of(answer)])
        return [_document(row, answer.request.request_id) for row in answer.items]


def _document(row: RecommendedItem, request_id: str) -> Document:
    metadata: dict[str, Any] = {
        "id": row.id,
        "title": row.title,
        "rank": row.ranked.rank,
        "score": row.ranked.score,
        "request_id": request_id,
    }
    if row.explanation is not None:
        metadata |= {"explanation": row.explanation.text, "verified": row.explanation.verified}
    return Document(page_content=item_text(row.ranked.item), id=row.id, metadata=metadata)


class RecommenderCompressor(BaseDocumentCompressor):
    """Reranks documents for a person and a moment; those beyond ``top_n`` fall away.

    Documents of any source will do. What comes back are copies with ``relevance_score`` (0..1, a softmax over
    the candidates) in their metadata; those that were given stay as they are.

    Args:
        reranker: ``Reranker.load()``, or ``Recommender.reranker()`` for the models of a workspace.
        history: texts or mappings that tell what the person liked, oldest first.
        context: the situation, ``{"time": …, "company": …}``.
        top_n: how many come back.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True)
    reranker: Reranker
    history: Sequence[Any] = ()
    context: Mapping[str, Any] = Field(default_factory=dict)
    top_n: int = Field(default=10, ge=1)

    def compress_documents(
        self, documents: Sequence[Document], query: str, callbacks: Callbacks | None = None
    ) -> Sequence[Document]:
        del callbacks  # The reranker runs in this process and reports nothing on its way.
        if not documents:
            return []
        if len(documents) > MAX_CANDIDATES:
            raise RequestError(
                f"{len(documents):,} documents are given; at most {MAX_CANDIDATES:,} are ranked"
            )
        ranked = self.reranker.rerank(
            candidates=[document.page_content for document in documents],
            history=list(self.history),
            context=dict(self.context),
            wish=query,
            top_n=self.top_n,
        )
        return [
            documents[row.index].model_copy(
                update={"metadata": {**documents[row.index].metadata, "relevance_score": row.score}}
            )
            for row in ranked
        ]
