"""Locks by key: one at a time for a key, and nothing is kept for keys that nobody uses."""

from __future__ import annotations

import threading
import time

import pytest

from tastemaker.agent.locks import KeyedLocks


def test_one_at_a_time_for_a_key_and_nothing_left() -> None:
    locks = KeyedLocks(threading.Lock)
    inside: dict[str, int] = {"a": 0, "b": 0}
    most: dict[str, int] = {"a": 0, "b": 0}

    def work(key: str) -> None:
        with locks.of(key) as lock, lock:
            inside[key] += 1
            most[key] = max(most[key], inside[key])
            time.sleep(0.002)
            inside[key] -= 1

    threads = [threading.Thread(target=work, args=("ab"[number % 2],)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == {"a": 1, "b": 1}
    assert len(locks) == 0


def test_a_lock_is_dropped_after_an_error_too() -> None:
    locks = KeyedLocks(threading.Lock)

    def fail() -> None:
        with locks.of("a") as lock, lock:
            assert len(locks) == 1
            raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        fail()
    assert len(locks) == 0


def test_keys_do_not_wait_for_each_other() -> None:
    locks = KeyedLocks(threading.Lock)
    with locks.of("a") as one, one, locks.of("b") as other:
        assert other.acquire(blocking=False)
        other.release()
