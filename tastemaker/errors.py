"""Every error a user can meet, as one small tree.

::

    TastemakerError            exit code 1
    ├── InputError             exit code 2: what was typed, sent or handed over cannot be used
    │   ├── ConfigError        an unknown key or an impossible value in the configuration
    │   ├── DataError          an input file that is missing, unreadable or lacks columns
    │   ├── FilterError        a filter expression that does not parse or names an unknown field
    │   ├── RequestError       a recommend or rerank request that is malformed
    │   ├── UnknownSessionError  a conversation that the store does not hold
    │   ├── UnknownUserError   a user id that the workspace does not hold
    │   └── WorkspaceError     a folder that is no workspace, or lacks a part that is needed
    ├── ArtifactError          a stored artefact that is corrupt or was made for something else
    ├── WeightsError           model files that cannot be fetched or do not have their checksum
    ├── ModelError             a language model or embedding model that fails or refuses
    ├── MissingExtraError      an optional dependency is not installed
    └── StorageError           the disk is full, read-only or forbidden

A message says what was found and what was wanted; ``hint`` says what to type. Errors of other
libraries are wrapped where they enter, with ``raise ... from``.
"""

from __future__ import annotations


class TastemakerError(Exception):
    """Base of the tree. ``str(error)`` is one line; ``error.hint`` is what to do, or None."""

    exit_code = 1

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} ({self.hint})" if self.hint else self.message


class InputError(TastemakerError):
    exit_code = 2


class ConfigError(InputError):
    pass


class DataError(InputError):
    pass


class FilterError(InputError):
    pass


class RequestError(InputError):
    pass


class UnknownUserError(InputError):
    pass


class UnknownSessionError(InputError):
    pass


class WorkspaceError(InputError):
    pass


class ArtifactError(TastemakerError):
    pass


class WeightsError(TastemakerError):
    pass


class ModelError(TastemakerError):
    pass


class StorageError(TastemakerError):
    pass


class MissingExtraError(TastemakerError):
    """An optional dependency is missing; the message names the extra that brings it."""

    def __init__(self, *, package: str, extra: str) -> None:
        super().__init__(f"{package} is not installed", hint=f"pip install 'tastemaker[{extra}]'")
        self.package = package
        self.extra = extra
