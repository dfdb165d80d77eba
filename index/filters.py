"""Hard conditions on items: ``year>=1990``, ``genres has Comedy``, ``id not in 1,2``, ``brand == "Acme"``.

Grammar: ``FIELD OP VALUE``. ``OP`` is one of ``== != < <= > >= has lacks in "not in"`` (``=`` is read as
``==``). A value may stand in double quotes, where ``\\"`` and ``\\\\`` are the quote and the backslash;
``in`` and ``not in`` take a list separated by commas.

Meaning, for an attribute that holds one value or several:

- ``==`` and ``in``: one of its values is (one of) the given; ``!=`` and ``not in``: none of them is;
- ``has``: one of several values is the given, or a single text contains it;
- ``< <= > >=``: it is one number, or a text that reads as one, and compares so;
- ``lacks``: the words stand in none of its values, whole words with or without a plural s; the field
  ``anything`` stands for title, description and every text of the item;
- an item without the attribute fails every condition but ``lacks``, ``!=`` and ``not in`` too.

Text is compared without regard to case, numbers by value (``1990`` is ``1990.0``), ids exactly.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Literal

from tastemaker.errors import FilterError
from tastemaker.types import AttributeValue, Filter, FilterOp, Item

if TYPE_CHECKING:
    import pyarrow as pa

FieldKind = Literal["number", "text", "values"]
"""What a field holds over the catalogue: numbers, single texts, or several texts per item."""

_ORDER: Mapping[str, Callable[[float, float], bool]] = {
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
}
_SHAPE = re.compile(
    r"""\s*(?P<field>[^\s<>=!"',]+)
        (?:\s*(?P<sign>==|!=|<=|>=|<|>|=)\s*|\s+(?P<word>not\s+in|in|has|lacks)(?=[\s"])\s*)
        (?P<value>.*?)\s*""",
    re.VERBOSE | re.IGNORECASE | re.DOTALL,
)
_LIST_PART = re.compile(r'\s*("(?:[^"\\]|\\.)*"|[^",]*)\s*(,|$)', re.DOTALL)
_CJK = re.compile("[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]")
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"', re.DOTALL)
_EXAMPLES = 'year>=1990, genres has Comedy, anything lacks zombies, id not in 1,2, brand == "Acme"'
ANYTHING = "anything"
"""The field of all texts of an item together; only ``lacks`` and ``has`` ask for it."""


def field_kinds(schema: pa.Schema) -> dict[str, FieldKind]:
    """What each column of ``Dataset.items`` holds."""
    import pyarrow as pa

    def kind(type_: pa.DataType) -> FieldKind:
        if pa.types.is_list(type_):
            return "values"
        return "text" if pa.types.is_string(type_) else "number"

    return {field.name: kind(field.type) for field in schema}


def parse_filter(expression: str, fields: Mapping[str, FieldKind] | None = None) -> Filter:
    """Read one condition.

    Args:
        fields: the fields of the catalogue (``field_kinds``); None accepts any name.

    Raises:
        FilterError: the text is no condition, the field is unknown, or an order comparison is asked of
            something that is no number. The message says what was found and what would do.
    """
    match = _SHAPE.fullmatch(expression)
    if match is None or not match["value"]:
        raise FilterError(f"filter {expression!r} is not FIELD OP VALUE", hint=f"write it like {_EXAMPLES}")
    op = _operator(match["sign"] or match["word"])
    field = match["field"] if fields is None else _known_field(match["field"], fields)
    if field == ANYTHING and op not in ("lacks", "has"):
        raise FilterError(
            f"filter {expression!r}: {ANYTHING} has no one value",
            hint=f"use {ANYTHING} lacks, or {ANYTHING} has",
        )
    if op in ("in", "not in"):
        return Filter(field=field, op=op, value=_list(match["value"], expression))
    text, quoted = _scalar(match["value"], expression)
    number = None if quoted or (field == "id" and op not in _ORDER) else as_number(text)
    if op in _ORDER:
        if number is None:
            raise FilterError(f"filter {expression!r} compares with {text!r}, which is no number")
        if fields is not None and fields[field] != "number":
            raise FilterError(
                f"filter {expression!r}: {field} holds {_holds_what(fields[field])}, which has no order",
                hint=f"use ==, !=, has, in or 'not in' with {field}",
            )
    return Filter(field=field, op=op, value=text if number is None or op in ("has", "lacks") else number)


def parse_filters(expressions: Iterable[str], schema: pa.Schema | None = None) -> tuple[Filter, ...]:
    """Read several conditions on the items of ``schema``; all of them must hold.

    Raises:
        FilterError: as ``parse_filter`` does.
    """
    fields = None if schema is None else field_kinds(schema)
    return tuple(parse_filter(expression, fields) for expression in expressions)


def format_filter(condition: Filter) -> str:
    """Write a condition so that ``parse_filter`` reads the same one back."""
    value = condition.value
    if isinstance(value, tuple):
        written = ", ".join(_quote(part) for part in value)
    else:
        # repr reads back exactly; a whole number is written without ".0".
        written = _quote(value) if isinstance(value, str) else repr(value).removesuffix(".0")
    return f"{condition.field} {condition.op} {written}"


def holds(item: Item, condition: Filter) -> bool:
    """True when ``item`` meets ``condition``. The reference that the column-wise mask is tested against."""
    value = field_value(item, condition.field)
    return condition.op == "lacks" if value is None else value_holds(value, condition)


def field_value(item: Item, field: str) -> AttributeValue | None:
    """The value of a filter field: an attribute, or id, title, description; None when missing or empty."""
    if field == "id":
        return item.id
    if field == ANYTHING:
        return all_texts(item)
    value = item.attributes.get(field)
    if value is None and field in ("title", "description"):
        value = item.title if field == "title" else item.description
    if value is None or value == "" or value == () or (isinstance(value, float) and math.isnan(value)):
        return None
    return value


def value_holds(value: AttributeValue, condition: Filter) -> bool:
    """Apply a condition to one present value."""
    op, wanted = condition.op, condition.value
    if op == "lacks":
        said = word_pattern(str(wanted))
        return not any(
            said.search(str(one).casefold()) for one in (value if isinstance(value, tuple) else (value,))
        )
    if op in _ORDER:
        left = None if isinstance(value, tuple) else as_number(value)
        right = None if isinstance(wanted, tuple) else as_number(wanted)
        return left is not None and right is not None and _ORDER[op](left, right)
    if op == "has" and isinstance(value, str):
        return str(wanted).casefold() in value.casefold()
    values = value if isinstance(value, tuple) else (value,)
    targets = wanted if isinstance(wanted, tuple) else (wanted,)
    same = _same_id if condition.field == "id" else _same
    found = any(same(one, target) for one in values for target in targets)
    return found if op in ("==", "in", "has") else not found


def all_texts(item: Item) -> str:
    """Title, description and every text among the attributes, one a line."""
    texts = [item.title, item.description]
    for value in item.attributes.values():
        texts += value if isinstance(value, tuple) else [value] if isinstance(value, str) else []
    return "\n".join(texts)


@lru_cache(maxsize=1_024)
def word_pattern(words: str) -> re.Pattern[str]:
    """Finds the words in lower case, whole, the last one with or without its plural s.

    Chinese has no spaces between words, so there any place counts.
    """
    text = " ".join(words.casefold().split())
    if _CJK.search(text):
        return re.compile(re.escape(text))
    stem = text[:-1] if len(text) > 3 and text.endswith("s") and not text.endswith("ss") else text
    return re.compile(rf"(?<!\w){re.escape(stem)}(?:'?e?s)?(?!\w)")


def as_number(value: str | float) -> float | None:
    """``value`` as a finite float, or None. Text counts when it is plain decimal: no nan, inf or 1_000."""
    if isinstance(value, str):
        try:
            value = math.nan if "_" in value else float(value)
        except ValueError:
            return None
    number = float(value)
    return number if math.isfinite(number) else None


def _same(one: str | float, other: str | float) -> bool:
    left, right = as_number(one), as_number(other)
    if left is not None and right is not None:
        return left == right
    return str(one).casefold() == str(other).casefold()


def _same_id(one: str | float, other: str | float) -> bool:
    return str(one) == str(other)


def _operator(written: str) -> FilterOp:
    name = " ".join(written.lower().split())
    ops: dict[str, FilterOp] = {
        "=": "==", "==": "==", "!=": "!=", "<": "<", "<=": "<=", ">": ">", ">=": ">=",
        "has": "has", "lacks": "lacks", "in": "in", "not in": "not in",
    }  # fmt: skip
    return ops[name]


def _known_field(name: str, fields: Mapping[str, FieldKind]) -> str:
    if name in fields or name == ANYTHING:
        return name
    folded = {known.casefold(): known for known in fields}
    if name.casefold() in folded:
        return folded[name.casefold()]
    near = difflib.get_close_matches(name.casefold(), folded, n=1)
    raise FilterError(
        f"no item has a field {name!r}; known are {', '.join(sorted(fields))}",
        hint=f"did you mean {folded[near[0]]}?" if near else None,
    )


def _scalar(written: str, expression: str) -> tuple[str, bool]:
    quoted = _QUOTED.fullmatch(written)
    if quoted is not None:
        return _unescape(quoted[1]), True
    if written.startswith('"'):
        raise FilterError(f"filter {expression!r}: a double quote is not closed")
    if written[0] in "<>=!":
        raise FilterError(f"filter {expression!r} has two operators", hint=f"write it like {_EXAMPLES}")
    return written, False


def _list(written: str, expression: str) -> tuple[str, ...]:
    parts: list[str] = []
    at = 0
    while True:
        match = _LIST_PART.match(written, at)
        if match is None:
            raise FilterError(
                f"filter {expression!r}: the list breaks at {written[at:]!r}",
                hint="separate values by commas, and quote those that hold a comma or a quote",
            )
        part = match[1].strip()
        if not part:
            raise FilterError(f"filter {expression!r}: the list has an empty place")
        quoted = _QUOTED.fullmatch(part)
        parts.append(part if quoted is None else _unescape(quoted[1]))
        if match[2] != ",":
            return tuple(parts)
        at = match.end()


def _quote(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _unescape(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text, flags=re.DOTALL)


def _holds_what(kind: FieldKind) -> str:
    return "several texts per item" if kind == "values" else "text"
