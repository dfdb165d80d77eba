"""Conversations: a turn is recognised, changes a state that people see, and becomes one request."""
