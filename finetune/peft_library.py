"""peft as everything here imports it: in silence."""

from __future__ import annotations

from tastemaker.quiet import quiet_quantiser

with quiet_quantiser():
    import peft

__all__ = ["peft"]
