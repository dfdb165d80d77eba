"""Delimited text to a table of strings: which delimiter, quotes or none, header or none, ragged rows.

Knows nothing of what a column means; names of columns without a header are ``column_1``, ``column_2`` ...
"""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.csv as pacsv

DELIMITERS = ("::", "\t", ";", ",", "|")
_STAND_IN = "\x1f"
_LINE_END = re.compile(r"\r\n|\n|\r")
_SAMPLE_LINES = 60
_SAMPLE_CHARS = 200_000
_NUMBER = re.compile(r"[-+]?(\d+([.,]\d*)?|\.\d+)([eE][-+]?\d+)?|\d{4}[-/]\d\d[-/]\d\d.*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Delimited:
    """``table``: strings, null where a field is empty. ``ragged``: rows of another width, left out."""

    table: pa.Table
    delimiter: str
    header: bool
    ragged: int = 0
    ragged_example: str = ""


def parse_delimited(text: str, *, is_known: Callable[[str], bool], prefer: str | None = None) -> Delimited:
    """Parse ``text`` (not blank). ``is_known`` says whether a header cell is a usual column name.

    ``prefer`` is the delimiter that the file's name promises; it is taken when it splits the first line.
    """
    text = text.replace(_STAND_IN, "").lstrip("\r\n")
    lines = [line for line in _LINE_END.split(text[:_SAMPLE_CHARS])[:_SAMPLE_LINES] if line.strip()]
    if len(text) > _SAMPLE_CHARS and len(lines) > 1:
        lines = lines[:-1]
    delimiter = prefer if prefer and prefer in lines[0] else sniff_delimiter(lines, is_known)
    if delimiter == "::":
        text = text.replace("::", _STAND_IN)
        lines = [line.replace("::", _STAND_IN) for line in lines]
    mark = _STAND_IN if delimiter == "::" else delimiter
    sound, quoted = _quoting(text, mark)
    sample = _sample_rows(lines, mark, quoted, sound)
    header = _has_header(sample, is_known)
    names = _names(sample, header)
    if sound:
        table, ragged, example = _parse_arrow(text, mark, quoted, names, header)
    else:
        table, ragged, example = _parse_line_by_line(text, mark, names, header)
    return Delimited(
        table=table,
        delimiter=delimiter,
        header=header,
        ragged=ragged,
        ragged_example=example.replace(_STAND_IN, "::"),
    )


def sniff_delimiter(lines: list[str], is_known: Callable[[str], bool]) -> str:
    """The delimiter that finds most usual names in the first line, then cuts most lines alike.

    Of equals the first in ``DELIMITERS`` wins. A single column of text gives a comma.
    """
    best, best_score = ",", 0.0
    for delimiter in DELIMITERS:
        widths = Counter(_width(line, delimiter) for line in lines)
        width, count = max(widths.items(), key=lambda pair: (pair[1], pair[0]))
        if width < 2:
            continue
        cells = [cell.strip(' "') for cell in lines[0].split(delimiter)]
        score = sum(map(is_known, cells)) + count / len(lines)
        if delimiter in ",|" and _width(lines[0], delimiter) != width:
            score -= 0.5  # commas and bars also stand inside texts and lists
        if score > best_score + 1e-9:
            best, best_score = delimiter, score
    return best


def _width(line: str, delimiter: str) -> int:
    if '"' not in line or len(delimiter) > 1:
        return line.count(delimiter) + 1
    return len(next(csv.reader([line], delimiter=delimiter)))


def _quoting(text: str, mark: str) -> tuple[bool, bool]:
    """(whether Arrow can parse the text as it stands, whether quotes enclose fields)."""
    if '"' not in text:
        return True, False
    cut = re.escape(mark)
    field = rf'(?:"(?:[^"]++|"")*+"|[^"{cut}\r\n][^{cut}\r\n]*+|)'
    sound = re.fullmatch(rf"(?:{field}(?:{cut}|\r\n|\n|\r))*+{field}", text) is not None
    if mark in ",;":
        return sound, True
    # Tab and bar files mostly carry bare quotes: "Great" Cats (1998).
    return True, sound


def _sample_rows(lines: list[str], mark: str, quoted: bool, sound: bool) -> list[list[str]]:
    if not quoted:
        return [[cell.strip() for cell in line.split(mark)] for line in lines]
    if sound:
        rows = list(csv.reader((f"{line}\n" for line in lines), delimiter=mark))
    else:
        rows = [next(csv.reader([line], delimiter=mark)) for line in lines]
    return [[cell.strip() for cell in row] for row in rows]


def _is_number(cell: str) -> bool:
    return _NUMBER.fullmatch(cell) is not None


def _has_header(rows: list[list[str]], is_known: Callable[[str], bool]) -> bool:
    first, rest = rows[0], rows[1:]
    known = sum(is_known(cell) for cell in first)
    numbers = sum(_is_number(cell) for cell in first)
    if known:
        return numbers == 0 or known > 1
    # A row of unknown words is taken for names: as data it would pass without a question.
    return numbers == 0 and bool(rest)


def _names(rows: list[list[str]], header: bool) -> list[str]:
    body = rows[1:] if header and len(rows) > 1 else rows
    width = Counter(map(len, body)).most_common(1)[0][0]
    names = list(rows[0]) if header else [""] * width
    while len(names) > width and not names[-1]:
        names.pop()
    names += [""] * (width - len(names))
    return unique_names(names)


def unique_names(names: list[str]) -> list[str]:
    """Names without blanks or repetitions: ``["", "a", "a"]`` -> ``["column_1", "a", "a_2"]``."""
    found: list[str] = []
    for place, name in enumerate(names, start=1):
        plain = "_".join(name.split()) or f"column_{place}"
        fresh, number = plain, 2
        while fresh in found:
            fresh, number = f"{plain}_{number}", number + 1
        found.append(fresh)
    return found


def _parse_arrow(
    text: str, mark: str, quoted: bool, names: list[str], header: bool
) -> tuple[pa.Table, int, str]:
    ragged: list[str] = []
    count = 0

    def skip(row: pacsv.InvalidRow) -> str:
        nonlocal count
        count += 1
        if not ragged:
            ragged.append(row.text[:120])
        return "skip"

    content = text.encode("utf-8", "replace")
    table = pacsv.read_csv(
        pa.BufferReader(content),
        # One block: a row may not straddle two.
        read_options=pacsv.ReadOptions(
            use_threads=False,
            block_size=min(len(content) + 1, 2**31 - 1),
            column_names=names,
            skip_rows=int(header),
        ),
        parse_options=pacsv.ParseOptions(
            delimiter=mark,
            quote_char='"' if quoted else False,
            newlines_in_values=quoted,
            invalid_row_handler=skip,
        ),
        convert_options=pacsv.ConvertOptions(
            column_types=dict.fromkeys(names, pa.string()),
            strings_can_be_null=True,
            null_values=[""],
        ),
    )
    return table, count, ragged[0] if ragged else ""


def _parse_line_by_line(text: str, mark: str, names: list[str], header: bool) -> tuple[pa.Table, int, str]:
    """For files with a stray quote, which would swallow all that follows: every line is a row of its own."""
    columns: list[list[str | None]] = [[] for _ in names]
    count, example = 0, ""
    for line in _LINE_END.split(text)[int(header) :]:
        if not line:
            continue
        try:
            row = next(csv.reader([line], delimiter=mark))
        except csv.Error:
            row = []
        if len(row) != len(names):
            count, example = count + 1, example or line[:120]
            continue
        for column, cell in zip(columns, row, strict=True):
            column.append(cell or None)
    arrays = [pa.array(column, pa.string()) for column in columns]
    return pa.table(dict(zip(names, arrays, strict=True))), count, example
