"""Columns as found to columns as wanted: ids, numbers, prices, times, lists, and guessed types.

Every function takes a chunked array of any type and returns one of the same length; what cannot be read
becomes null. Parsing runs once per distinct value.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tastemaker.data.records import text_of
from tastemaker.data.texts import clean_text

MISSING_IDS = frozenset(["", "nan", "NaN", "null", "NULL", "None", "\\N", "<NA>"])
MISSING = MISSING_IDS | frozenset(["NA", "N/A", "n/a", "none", "-"])

# What clean_text would leave as it is, found at Arrow's speed.
_NEEDS_CLEANING = r"[^ -~]|^ | $|  "
_CURRENCY_NUMBER = re.compile(r"[-+]?\d[\d.,' \u00a0\u202f]*")
_PRICE_CHARS = 40
_DATE_FORMATS = (
    "%Y/%m/%d %H:%M:%S", "%Y/%m/%d %H:%M", "%Y/%m/%d", "%d-%b-%Y", "%m %d, %Y", "%b %d, %Y", "%B %d, %Y",
    "%d.%m.%Y %H:%M:%S", "%d.%m.%Y %H:%M", "%d.%m.%Y", "%Y年%m月%d日", "%a %b %d %H:%M:%S %z %Y",
)  # fmt: skip
_UNITS = (("seconds", 1e11, 1.0), ("ms", 1e14, 1e3), ("us", 1e17, 1e6), ("ns", float("inf"), 1e9))
EARLIEST_CLOCK = 1e8
"""Numbers below (March 1973) are no clock unless the column's name says so."""

_SEPARATORS = ("|", ";", "、", "，", ",")


def map_distinct(column: pa.ChunkedArray, parse: Callable[[Any], Any], kind: pa.DataType) -> pa.ChunkedArray:
    """``parse`` of every non-null value; None becomes null."""
    if not len(column):
        return pa.chunked_array([pa.nulls(0, kind)])
    if pa.types.is_nested(column.type):
        return pa.chunked_array(
            [pa.array([None if v is None else parse(v) for v in column.to_pylist()], kind)]
        )
    encoded = column.combine_chunks().dictionary_encode()
    if isinstance(encoded, pa.ChunkedArray):
        encoded = encoded.combine_chunks()
    parsed = pa.array(
        [None if value is None else parse(value) for value in encoded.dictionary.to_pylist()], kind
    )
    return pa.chunked_array([parsed.take(encoded.indices)])


def is_listed(kind: pa.DataType) -> bool:
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind))


def to_strings(column: pa.ChunkedArray, joiner: str = " ") -> pa.ChunkedArray:
    """Raw texts: lists joined, whole floats without ``.0``, times in ISO form, booleans in lower case."""
    kind = column.type
    if pa.types.is_dictionary(kind):
        return to_strings(column.cast(kind.value_type), joiner)
    if pa.types.is_string(kind):
        return column
    if is_listed(kind):
        return map_distinct(column, lambda parts: joiner.join(map(text_of, filter(None, parts))), pa.string())
    if pa.types.is_floating(kind):
        return map_distinct(column, _float_text, pa.string())
    if pa.types.is_struct(kind) or pa.types.is_map(kind):
        return map_distinct(column, text_of, pa.string())
    return column.cast(pa.string())


def _float_text(value: float) -> str | None:
    if not np.isfinite(value):
        return None
    return str(int(value)) if value == int(value) and abs(value) < 2**53 else repr(value)


def cleaned(column: pa.ChunkedArray) -> tuple[pa.ChunkedArray, pa.ChunkedArray]:
    """(texts without invisible characters, mask of rows that lost one); an empty text becomes null."""
    dirty = pc.fill_null(pc.match_substring_regex(column, _NEEDS_CLEANING), False)
    if not pc.any(dirty).as_py():
        return column, pa.chunked_array([pc.equal(pa.nulls(len(column), pa.int8()), 0).fill_null(False)])
    raw = column.filter(dirty)
    better = map_distinct(raw, lambda text: clean_text(text) or None, pa.string())
    lost = map_distinct(raw, lambda text: clean_text(text) != " ".join(text.split()), pa.bool_())
    mask = dirty.combine_chunks()
    fresh = pc.replace_with_mask(column.combine_chunks(), mask, better.combine_chunks())
    losses = pc.replace_with_mask(pa.array(np.zeros(len(column), bool)), mask, lost.combine_chunks())
    return pa.chunked_array([fresh]), pa.chunked_array([losses])


def first_texts(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Cleaned texts; of a list its first."""
    if is_listed(column.type):
        column = map_distinct(column, lambda parts: text_of(parts[0]) if parts else None, pa.string())
    return cleaned(to_strings(column))[0]


def to_ids(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Ids as strings: surrounding blanks gone, ``12.0`` is ``12`` when all are whole, missing marks null."""
    texts = cleaned(to_strings(column))[0]
    held = map_distinct(texts, lambda text: None if text in MISSING_IDS else text, pa.string())
    whole = pc.match_substring_regex(held, r"^\d+\.0$")
    if pc.any(whole).as_py() and pc.all(pc.fill_null(whole, True)).as_py():
        return map_distinct(held, lambda text: text.removesuffix(".0"), pa.string())
    return held


def to_floats(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Finite numbers as double; a decimal comma is understood."""
    return _numbers(column, _parse_float)


def to_prices(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Prices as double, with any currency: ``"$1,299.00"``, ``"1.299,00 €"``; the lower end of a range."""
    return _numbers(column, _parse_price)


def _numbers(column: pa.ChunkedArray, parse: Callable[[str], float | None]) -> pa.ChunkedArray:
    kind = column.type
    if pa.types.is_boolean(kind):
        column, kind = column.cast(pa.int8()), pa.int8()
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        numbers = column.cast(pa.float64())
        return pc.if_else(pc.is_finite(numbers), numbers, pa.scalar(None, pa.float64()))
    return map_distinct(to_strings(column), parse, pa.float64())


def _parse_float(text: str) -> float | None:
    plain = text.strip()
    if "," in plain and "." not in plain:
        plain = plain.replace(",", ".")
    if "_" in plain:
        return None
    try:
        number = float(plain)
    except ValueError:
        return None
    return number if np.isfinite(number) else None


def _parse_price(text: str) -> float | None:
    match = _CURRENCY_NUMBER.search(text)
    # Scraped prices hold style sheets; no price is that long.
    if match is None or len(text) > _PRICE_CHARS:
        return None
    digits = re.sub(r"[' \u00a0\u202f]", "", match.group()).rstrip(".,")
    point = max(digits.rfind("."), digits.rfind(","))
    if point >= 0:
        whole, part = re.sub(r"[.,]", "", digits[:point]), digits[point + 1 :]
        grouped = len(part) == 3 and (digits[point] == "," or digits.count(".") > 1)
        digits = f"{whole}{part}" if grouped else f"{whole}.{part}"
    return _parse_float(digits)


def to_times(column: pa.ChunkedArray) -> tuple[pa.ChunkedArray, str]:
    """(seconds since 1970 as double, the unit or form that was found).

    Numbers are seconds, ms, us or ns by the size of their median; texts ISO 8601 or another usual form,
    without an offset taken as UTC.
    """
    kind = column.type
    if pa.types.is_temporal(kind):
        zone = getattr(kind, "tz", None)
        micros = column.cast(pa.timestamp("us", zone), safe=False).cast(pa.int64())
        return pc.divide(micros.cast(pa.float64()), 1e6), "timestamps"
    numbers = to_floats(column)
    held = pc.sum(pc.is_valid(column)).as_py() or 0
    if len(column) - numbers.null_count < held / 2:
        return map_distinct(to_strings(column), _parse_date, pa.float64()), "dates"
    middle = pc.quantile(numbers, 0.5)[0].as_py() if held else 0.0
    size = abs(middle or 0.0)
    if _is_calendar(size):
        return map_distinct(numbers, lambda day: _parse_date(f"{day:.0f}"), pa.float64()), "YYYYMMDD"
    unit, _, scale = next(entry for entry in _UNITS if size < entry[1])
    return pc.divide(numbers, scale), unit


def _is_calendar(number: float) -> bool:
    return 19_000_101 <= number <= 21_001_231 and _parse_date(f"{number:.0f}") is not None


def _parse_date(text: str) -> float | None:
    plain = text.strip()
    moment: datetime | None = None
    try:
        moment = datetime.fromisoformat(plain)
    except ValueError:
        for form in _DATE_FORMATS:
            try:
                moment = datetime.strptime(plain, form)
                break
            except ValueError:
                continue
    if moment is None:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def to_lists(column: pa.ChunkedArray, *, separator: str | None = None) -> pa.ChunkedArray:
    """Lists of cleaned texts, each once; an empty one is null.

    ``separator`` None: the first of ``| ; 、 ， ,`` that occurs.
    """
    target = pa.list_(pa.string())
    if is_listed(column.type):
        return map_distinct(column, _distinct_parts, target)
    texts = to_strings(column)
    mark = separator or _separator(texts)
    return map_distinct(texts, lambda text: _distinct_parts(_split(text, mark)), target)


def _separator(texts: pa.ChunkedArray) -> str:
    for mark in _SEPARATORS:
        if pc.any(pc.match_substring(texts, mark)).as_py():
            return mark
    return "|"


def _split(text: str, mark: str) -> list[str]:
    plain = text.strip()
    if plain.startswith("[") and plain.endswith("]"):
        try:
            literal = ast.literal_eval(plain)  # literals only: nothing is executed
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            literal = None
        if isinstance(literal, list):
            return [str(part) for part in literal]
    return plain.split(mark)


def _distinct_parts(parts: Sequence[Any]) -> list[str] | None:
    tidy = (clean_text(text_of(part)) for part in parts if part is not None)
    held = (part for part in tidy if part and part not in MISSING and part != "(no genres listed)")
    return list(dict.fromkeys(held)) or None


def to_years(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Years (1000..2999) as int64, out of numbers or of dates in any order."""
    return map_distinct(to_strings(column), _parse_year, pa.int64())


def _parse_year(text: str) -> int | None:
    match = re.search(r"(?<!\d)([12]\d{3})(?:\.0)?(?!\d)", text)
    return int(match.group(1)) if match else None


def guess(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """An attribute in its likeliest type: int64, double, list of texts or text.

    Digits with a leading zero (zip codes) stay text; texts with bars in a tenth of the rows are lists.
    """
    kind = column.type
    if is_listed(kind):
        return to_lists(column)
    if pa.types.is_integer(kind):
        return column.cast(pa.int64(), safe=False)
    if pa.types.is_floating(kind):
        return _whole_or_float(to_floats(column))
    texts = map_distinct(
        cleaned(to_strings(column))[0], lambda text: None if text in MISSING else text, pa.string()
    )
    held = len(texts) - texts.null_count
    if not held:
        return texts
    if pc.all(pc.fill_null(pc.match_substring_regex(texts, r"^-?(0|[1-9]\d{0,17})$"), True)).as_py():
        return texts.cast(pa.int64())
    if pc.all(
        pc.fill_null(pc.match_substring_regex(texts, r"^-?(0|[1-9]\d*)?\.?\d+([eE][-+]?\d+)?$"), True)
    ).as_py():
        return _float_or_text(texts)
    barred = pc.sum(pc.match_substring(texts, "|")).as_py() or 0
    return to_lists(texts, separator="|") if barred * 10 >= held else texts


def _float_or_text(texts: pa.ChunkedArray) -> pa.ChunkedArray:
    if pc.any(pc.match_substring_regex(texts, r"^-?0\d")).as_py():
        return texts
    return _whole_or_float(to_floats(texts))


def _whole_or_float(numbers: pa.ChunkedArray) -> pa.ChunkedArray:
    """int64 when every number is whole (pandas turns integers with gaps into floats), else double."""
    whole = pc.all(pc.fill_null(pc.equal(pc.floor(numbers), numbers), True)).as_py()
    small = pc.all(pc.fill_null(pc.less(pc.abs(numbers), 2.0**53), True)).as_py()
    held = len(numbers) > numbers.null_count
    return numbers.cast(pa.int64()) if whole and small and held else numbers
