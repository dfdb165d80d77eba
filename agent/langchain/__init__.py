"""The recommender as LangChain parts: retriever, compressor, tools, chat models and an agent.

Example::

    from tastemaker.agent.langchain import RecommenderRetriever

    retriever = RecommenderRetriever(recommender=Recommender.demo(), question={"user_id": "196", "k": 5})
    documents = retriever.invoke("something light for a Friday night")
"""

from __future__ import annotations

from tastemaker.agent.langchain.chat_model import ChatRecommender
from tastemaker.agent.langchain.documents import RecommenderCompressor, RecommenderRetriever
from tastemaker.agent.langchain.model import ChatLanguageModel
from tastemaker.agent.langchain.tools import recommender_agent, recommender_tools

__all__ = [
    "ChatLanguageModel",
    "ChatRecommender",
    "RecommenderCompressor",
    "RecommenderRetriever",
    "recommender_agent",
    "recommender_tools",
]
