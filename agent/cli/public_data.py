"""Settings of a command that reads a protocol's public data: one answer for fusion and evaluation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tastemaker.config import Settings
    from tastemaker.eval.protocols import Rules
    from tastemaker.workspace import Workspace


def protocol_settings(
    rules: Rules, place: Workspace | None, flags: Mapping[str, Any], *, public: bool
) -> Settings:
    """The settings of ``place`` and ``flags``, and those of the model that then ranks.

    On public data the domain is that of the data, unless file, environment or flag say otherwise.

    Raises:
        ConfigError: a setting is unknown or impossible.
    """
    from tastemaker.agent.rankers import ranking_settings
    from tastemaker.config import resolve
    from tastemaker.eval.benchmarks import BENCHMARKS

    settings, origins = resolve(place.config if place is not None else None, flags)
    if public and rules.benchmark is not None and origins["domain"] == "default":
        settings = settings.model_copy(update={"domain": BENCHMARKS[rules.benchmark].domain})
    return ranking_settings(settings, place)
