"""Where files that many workspaces share are kept, and whether the network may be used."""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs

from tastemaker.errors import ConfigError

_YES = ("1", "true", "yes", "on")
_NO = ("", "0", "false", "no", "off")


def home() -> Path:
    """``TASTEMAKER_HOME``, or the platform's cache folder for this user. Nothing is created."""
    given = os.environ.get("TASTEMAKER_HOME", "").strip()
    if given:
        return Path(given).expanduser().absolute()
    return platformdirs.user_cache_path("tastemaker")


def offline() -> bool:
    """True when ``TASTEMAKER_OFFLINE`` forbids the network.

    Raises:
        ConfigError: the variable is neither a yes nor a no.
    """
    value = os.environ.get("TASTEMAKER_OFFLINE", "").strip().lower()
    if value in _YES:
        return True
    if value in _NO:
        return False
    raise ConfigError(f"TASTEMAKER_OFFLINE is {value!r}; 1 or 0 is wanted")
