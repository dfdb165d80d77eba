"""What a service allows: keys, limits, deadlines."""

from __future__ import annotations

import hashlib
import hmac
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tastemaker.errors import ConfigError

SCOPES = ("recommend", "feedback", "admin")
"""``recommend``: lists, chat, reranking, sessions of known ids. ``feedback``: events. ``admin``: all."""

MAX_NAME = 100
KEYS_VARIABLE = "TASTEMAKER_API_KEYS"


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKey:
    """A key by its SHA-256, with a name for messages and what it may do.

    ``client``: whose conversations are its own: those of all keys of one name, so that a key can be replaced.
    """

    name: str
    sha256: str
    scopes: frozenset[str]
    client: str

    @classmethod
    def of(cls, name: str, key: str, scopes: Sequence[str], *, client: str | None = None) -> ApiKey:
        if unknown := set(scopes) - set(SCOPES):
            raise ConfigError(f"key {name!r} has scope {sorted(unknown)[0]!r}; known are {', '.join(SCOPES)}")
        if len(key) < 16:
            raise ConfigError(f"key {name!r} has {len(key)} characters; at least 16 are wanted")
        if not name.strip() or len(name) > MAX_NAME:
            raise ConfigError(f"a key is named {name[:40]!r}; a text of 1 to {MAX_NAME} characters is wanted")
        sha256 = hashlib.sha256(key.encode()).hexdigest()
        return cls(name=name, sha256=sha256, scopes=frozenset(scopes), client=client or f"named {name}")

    def fits(self, key: str) -> bool:
        return hmac.compare_digest(hashlib.sha256(key.encode()).hexdigest(), self.sha256)

    def may(self, scope: str) -> bool:
        return scope in self.scopes or "admin" in self.scopes


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceConfig:
    """Limits of one service.

    ``deadline`` and ``body_seconds`` in seconds; ``queue``: questions that may wait; ``batch``: those in
    one forward pass; ``per_minute``: requests of one key or address, 0 for no limit. ``hosts``: names that
    the service answers to, beside addresses in numbers; None: any name (``guard.answers_to``).
    """

    keys: tuple[ApiKey, ...] = ()
    deadline: float = 30.0
    batch: int = 16
    queue: int = 64
    per_minute: int = 0
    max_body: int = 2 * 2**20
    body_seconds: float = 20.0
    hosts: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        if self.deadline <= 0 or self.batch < 1 or self.queue < 1 or self.per_minute < 0:
            raise ConfigError("deadline, batch and queue must be positive, per_minute 0 or more")


def load_keys(path: Path | None) -> tuple[ApiKey, ...]:
    """Keys from a YAML file, ``- {name: shop, key: …, scopes: [recommend, feedback]}``, and the environment.

    ``TASTEMAKER_API_KEYS="KEY:recommend+feedback,KEY:admin"``.

    Raises:
        ConfigError: the file cannot be read, or an entry is incomplete.
    """
    found = []
    if path is not None:
        try:
            entries = yaml.safe_load(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            raise ConfigError(f"cannot read the keys of {path}: {' '.join(str(error).split())}") from error
        if not isinstance(entries, list):
            raise ConfigError(f"{path} holds a {type(entries).__name__}; a list of keys is wanted")
        if not entries:
            raise ConfigError(f"{path} holds no key", hint="leave --keys out to serve without keys")
        found = [_key(entry, path) for entry in entries]
    for number, text in enumerate(filter(None, os.environ.get(KEYS_VARIABLE, "").split(",")), start=1):
        key, colon, scopes = text.strip().partition(":")
        if not colon:
            raise ConfigError(f"{KEYS_VARIABLE}: entry {number} is not KEY:SCOPE+SCOPE")
        # Places in the list change; such a key is nobody but itself.
        itself = f"key {hashlib.sha256(key.encode()).hexdigest()[:32]}"
        found.append(ApiKey.of(f"environment {number}", key, scopes.split("+"), client=itself))
    return tuple(found)


def _key(entry: Any, path: Path) -> ApiKey:
    if not isinstance(entry, Mapping) or not {"name", "key", "scopes"} <= set(entry):
        raise ConfigError(f"{path}: a key is not {{name: …, key: …, scopes: […]}}")
    return ApiKey.of(str(entry["name"]), str(entry["key"]), [str(one) for one in entry["scopes"]])
