"""A lock for each thing in use, and none for things that are not."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Generic, TypeVar

Lock = TypeVar("Lock")


class KeyedLocks(Generic[Lock]):
    """Locks by key, made when first asked for and dropped by the last who used them.

    Example::

        locks = KeyedLocks(threading.Lock)
        with locks.of("session-1") as lock, lock:
            ...
    """

    def __init__(self, make: Callable[[], Lock]) -> None:
        self._make = make
        self._guard = threading.Lock()
        self._used: dict[str, tuple[Lock, int]] = {}

    def __len__(self) -> int:
        return len(self._used)

    @contextmanager
    def of(self, key: str) -> Iterator[Lock]:
        """The key's lock, not yet taken; kept for as long as anybody is inside."""
        with self._guard:
            lock, users = self._used.get(key) or (self._make(), 0)
            self._used[key] = (lock, users + 1)
        try:
            yield lock
        finally:
            with self._guard:
                lock, users = self._used.pop(key)
                if users > 1:
                    self._used[key] = (lock, users - 1)
