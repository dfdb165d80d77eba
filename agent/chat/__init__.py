"""Conversations: a turn is recognised, changes a state that people can see and edit, and becomes one request."""
