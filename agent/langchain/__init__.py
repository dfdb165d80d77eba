"""The recommender as LangChain parts."""
