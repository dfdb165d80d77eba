"""peft as everything here imports it: without what bitsandbytes says of an optional processor kernel."""

from __future__ import annotations

import logging

_quantiser = logging.getLogger("bitsandbytes")
_level = _quantiser.level
_quantiser.setLevel(logging.ERROR)
try:
    import peft
finally:
    _quantiser.setLevel(_level)

__all__ = ["peft"]
