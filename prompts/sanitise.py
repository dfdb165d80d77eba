"""Foreign text (titles, wishes, context values) made safe to put into a prompt.

Such text is data. Beyond what ``tastemaker.data.texts`` does at ingest (invisible, control and bidi
characters out, white space folded to single blanks), it cannot end the turn of a chat template or close
the field of the line it stands in.
"""

from __future__ import annotations

import re

from tastemaker.data.texts import clean_text as visible_text

FIELD_SEPARATOR = " | "
"""Stands between the fields of one prompt line; no inserted field can hold it."""

ELLIPSIS = "…"

# Tokenizers read <|im_end|>, <end_of_turn>, </s> or [INST] inside plain text as control tokens; a served
# model tokenises on its own side, so the text itself must not hold them.
_ANGLE = re.compile(r"<(?=[^\s\d])")
_BRACKETED = re.compile(
    r"\[(/?(?:INST|SYSTEM_PROMPT|AVAILABLE_TOOLS|TOOL_CALLS|TOOL_RESULTS|TOOL_CONTENT|THINK|ARGS|CALL_ID|IMG"
    r"|PREFIX|SUFFIX|MIDDLE))\]",
    re.IGNORECASE,
)


def clean_text(text: str, limit: int | None = None) -> str:
    """Return ``text`` as one line of visible characters, at most ``limit`` long (a cut ends in "…").

    Whatever a tokenizer could take for a control token loses its bracket. Cleaning twice changes nothing.
    """
    line = _BRACKETED.sub(r"(\1)", _ANGLE.sub("‹", visible_text(text)))
    return line if limit is None else shorten(line, limit)


def clean_field(text: str, limit: int | None = None) -> str:
    """``clean_text`` for a field of a line: it cannot hold the field separator."""
    return clean_text(text.replace("|", "/"), limit)


def shorten(text: str, limit: int) -> str:
    """Return ``text``, or its first ``limit`` characters at most, ending in "…" and never in a blank."""
    if len(text) <= limit:
        return text
    return text[: max(limit - 1, 0)].rstrip() + ELLIPSIS
