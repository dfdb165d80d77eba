"""What libraries say at import that means nothing to a user."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def quiet_quantiser() -> Iterator[None]:
    """While peft is imported, which sentence-transformers does too: bitsandbytes then warns that a processor
    kernel for 4-bit weights, which is optional, is not installed.
    """
    quantiser = logging.getLogger("bitsandbytes")
    level = quantiser.level
    quantiser.setLevel(logging.ERROR)
    try:
        yield
    finally:
        quantiser.setLevel(level)
