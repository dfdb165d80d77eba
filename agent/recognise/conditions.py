"""Hard conditions on numbers: comparisons, ranges, decades, "the last five years"."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from tastemaker.agent.recognise.amounts import SECONDS, Amount, amounts
from tastemaker.agent.recognise.lexicon import Words
from tastemaker.prompts.domains import Domain
from tastemaker.types import Filter, FilterOp

_NEAR = 30
"""Characters between two numbers of one clause."""

_MOST_YEARS = 500
"""The last thousand years are no condition."""

_TURNED: dict[str, FilterOp] = {"<": ">=", "<=": ">", ">": "<=", ">=": "<"}
_RANGE = re.compile(r"\s*(?:-|–|—|~|to|through|thru|and|至|到)\s*")
_BETWEEN = re.compile(r"(?:between|from|anywhere from|anywhere between|在|从|介于|是|要)\s*$")
_RANGE_END = re.compile(r"\s*(?:之间|年?间|年?的|range)?")
_DECADE = re.compile(
    r"(?:(?<!\w)(?:the|early|late|mid|in|from|of|made|released|a|an|some|good|'|upper)[\s-]+)*"
    r"(?<![\w.])(?:'?(\d)0'?s|(19|20)(\d)0'?s)(?!\w)"
)
_DECADE_ZH = re.compile(
    r"(?:上(?:个)?世纪|二十世纪|20世纪)?(?:(19|20)?(\d)0|([二三四五六七八九])[十零〇])(?:年代)(?:的)?"
)
_YEAR_IN = re.compile(r"(?:from|in|of|made in|released in|out in|circa|year|year of|shot in)\s*$")
_OR = re.compile(r"\s*(?:-|–|—|~|/|to|and|or|until|till|through|至|到|或者?|和|、)\s*")
_OUT_IN = r"(?<!\w)(?:from|of|made|released|out|made in|released in|came out)"
_YEAR_JOINT = re.compile(r"\s*(?:in|out|year|shot|released)(?!\w)")
_THIS_YEAR = re.compile(
    rf"{_OUT_IN} this year(?!\w)|(?<!\w)this year's|今年(?:的|出的|上映的?)(?=.{{0,3}}(?:片|电影|新))"
)
_LAST_YEAR = re.compile(
    rf"{_OUT_IN} last year(?!\w)|(?<!\w)last year's|去年(?:的|出的|上映的?)(?=.{{0,3}}(?:片|电影|新))"
)
_STYLE = re.compile(
    r"\s*(?:-?\s*(?:vibes?|style|feel|inspired|themed|nostalgia|aesthetic|like|sound|风|风格|味道|感觉))"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """``text[start:end]`` asks for these; the field is a role of the domain."""

    start: int
    end: int
    filters: tuple[Filter, ...]


def conditions(text: str, words: Words, domain: Domain, now: datetime) -> list[Condition]:
    """Conditions that a text in lower case states, without overlap."""
    finder = _Finder(text, words, domain, now)
    found: list[Condition] = []
    for one in (*finder.spans_of_years(), *finder.decades(), *finder.ranges(), *finder.comparisons()):
        if all(one.end <= other.start or one.start >= other.end for other in found):
            found.append(one)
    return sorted(found, key=lambda one: one.start)


def contradictions(filters: Sequence[Filter], exclude: Sequence[str]) -> list[str]:
    """What no item can be, in words: a value that must be there and must not, limits that leave nothing."""
    ruled_out = {thing.casefold() for thing in exclude}
    notes = [
        f"the wish asks for {one.value} and rules it out"
        for one in filters
        if one.op == "has" and str(one.value).casefold() in ruled_out
    ]
    for field in dict.fromkeys(one.field for one in filters):
        limits = [one for one in filters if one.field == field and one.op in (*_TURNED, "==")]
        least = max((one for one in limits if one.op in (">", ">=", "==")), key=_number, default=None)
        most = min((one for one in limits if one.op in ("<", "<=", "==")), key=_number, default=None)
        if least is None or most is None or _number(least) < _number(most):
            continue
        if _number(least) > _number(most) or least.op == ">" or most.op == "<":
            notes.append(f"the wish asks for {least} and for {most}, which nothing is")
    return notes


def _number(one: Filter) -> float:
    return float(str(one.value))


class _Finder:
    def __init__(self, text: str, words: Words, domain: Domain, now: datetime) -> None:
        self._text = text
        self._words = words
        self._now = now
        self._roles: dict[str, str] = {}
        for name, role in domain.fields.items():
            self._roles.setdefault(role.unit, name)
        self._amounts = amounts(text, words)

    def spans_of_years(self) -> Iterator[Condition]:
        """ "the last five years", "this year"."""
        if "year" not in self._roles:
            return
        for pattern in self._words.last_years:
            for amount in self._amounts:
                number = re.escape(self._text[amount.start : amount.end])
                for match in re.finditer(pattern.replace("<N>", number), self._text):
                    if match.start() <= amount.start < match.end() and amount.value <= _MOST_YEARS:
                        yield self._years(match, ">=", self._now.year - amount.value)
            if "<N>" not in pattern:
                for match in re.finditer(pattern, self._text):
                    yield self._years(match, ">=", self._now.year - 10)
        # "I saw it last year" asks for no film of last year.
        for known, back in ((_THIS_YEAR, 0), (_LAST_YEAR, 1)):
            for match in known.finditer(self._text):
                yield self._years(match, "==", self._now.year - back)

    def _years(self, match: re.Match[str], op: FilterOp, year: float) -> Condition:
        wanted = Filter(field=self._roles["year"], op=op, value=float(year))
        return Condition(start=match.start(), end=match.end(), filters=(wanted,))

    def decades(self) -> Iterator[Condition]:
        """ "from the 90s", "before the eighties"; a decade that is only a style is none."""
        if "year" not in self._roles:
            return
        for start, end, first, last in self._joined_decades():
            if _STYLE.match(self._text, end):
                continue
            found = self._comparison(start, end, year=True)
            if found is None and (whole := self._ruled_out(start, end)) is not None:
                years = tuple(str(year) for year in range(first, last + 1))
                wanted = Filter(field=self._roles["year"], op="not in", value=years)
                yield Condition(start=whole[0], end=whole[1], filters=(wanted,))
                continue
            if found is None:
                limits: tuple[tuple[FilterOp, int], ...] = ((">=", first), ("<=", last))
            else:
                start, end, op = found
                limits = ((op, first if op in ("<", ">=") else last),)
            filters = tuple(self._filter("year", op, float(year)) for op, year in limits)
            yield Condition(start=start, end=end, filters=filters)

    def _ruled_out(self, start: int, end: int) -> tuple[int, int] | None:
        """Where "not the 70s", "no films from 1994" or "the 70s are out" begins and ends; None where nothing
        says no.
        """
        for match in self._words.negation.finditer(self._text[:start]):
            harmless = self._words.harmless.finditer(self._text)
            if self._says_nothing(match.end(), start) and not any(
                one.start() < match.end() and match.start() < one.end() for one in harmless
            ):
                return match.start(), end
        behind = self._words.turns_behind.match(self._text, end)
        return None if behind is None else (start, behind.end())

    def _says_nothing(self, start: int, end: int) -> bool:
        """Nothing but articles, "from" and words for what is sought stands between."""
        while self._text[start:end].strip():
            for pattern in (self._words.fillers, self._words.generic_before, _YEAR_JOINT):
                match = pattern.match(self._text, start, end)
                if match is not None and match.end() > start:
                    start = match.end()
                    break
            else:
                return False
        return True

    def _joined_decades(self) -> Iterator[tuple[int, int, int, int]]:
        """Decades with their first and last year; "the 30s or 40s" are one stretch."""
        found: list[tuple[int, int, int, int]] = []
        for start, end, first in sorted(self._decade_words()):
            if found and _OR.fullmatch(self._text[found[-1][1] : start]):
                begun, _, low, high = found.pop()
                found.append((begun, end, min(low, first), max(high, first + 9)))
            elif not found or start >= found[-1][1]:
                found.append((start, end, first, first + 9))
        yield from found

    def _decade_words(self) -> Iterator[tuple[int, int, int]]:
        for match in _DECADE.finditer(self._text):
            short, century, tens = match.groups()
            first = (
                int(f"{century}{tens}0") if century else int(f"{'20' if int(short) < 3 else '19'}{short}0")
            )
            yield match.start(), match.end(), first
        for match in _DECADE_ZH.finditer(self._text):
            century, digit, spelled = match.groups()
            tens = int(digit) if digit else "零一二三四五六七八九".index(spelled)
            yield match.start(), match.end(), int(century or 19) * 100 + tens * 10
        for name, value in self._words.decade_names.items():
            for match in re.finditer(
                rf"(?:(?<!\w)(?:the|early|late|mid|in|from)[\s-]+)*(?<!\w){name}(?!\w)", self._text
            ):
                yield match.start(), match.end(), value if value > 99 else 1900 + value

    def ranges(self) -> Iterator[Condition]:
        """ "between 20 and 50 dollars", "90-120 minutes", "2000到2010年"."""
        for low, high in zip(self._amounts, self._amounts[1:], strict=False):
            joint = _RANGE.fullmatch(self._text[self._past_unit(low) : high.start])
            if joint is None or self._is_vague(low.start, high.end):
                continue
            opened = _BETWEEN.search(self._text[: low.start])
            if joint[0].strip() == "and" and (opened is None or "from" in opened[0]):
                continue
            unit = high.unit or low.unit
            end = self._past_unit(high)
            behind = _RANGE_END.match(self._text, end)
            told = opened is not None or (behind is not None and "之间" in behind[0])
            role = self._role(unit) if unit else self._bare_role(low, high, told)
            if role is None:
                continue
            least = self._in_unit(low.value, low.unit or unit, role)
            most = self._in_unit(high.value, unit, role)
            start = opened.start() if opened is not None else low.start
            yield Condition(
                start=start,
                end=behind.end() if behind is not None else end,
                filters=(
                    # "Between 1990 and 1980" is said the wrong way round.
                    self._filter(role, ">=", min(least, most)),
                    self._filter(role, "<=", max(least, most)),
                ),
            )

    def comparisons(self) -> Iterator[Condition]:
        for amount in self._amounts:
            end = self._past_unit(amount)
            year = self._is_year(amount)
            if self._is_vague(amount.start, end) and not self._words.after["<="].match(self._text, end):
                continue
            found = self._comparison(amount.start, end, year=year) or self._time_left(amount)
            if found is None:
                if year:
                    yield from self._one_year(amount, end)
                continue
            start, stop, op = found
            unit = amount.unit or self._unit_before(amount)
            role = "year" if year else self._role(unit)
            # "At least 4 stars" is no price.
            if role is None or not (year or unit or self._words.counted.match(self._text, end) is None):
                continue
            value = self._year_value(amount) if year else self._in_unit(amount.value, unit, role)
            yield Condition(start=start, end=stop, filters=(self._filter(role, op, value),))

    def _time_left(self, amount: Amount) -> tuple[int, int, FilterOp] | None:
        """ "I've only got 90 minutes"."""
        said = self._words.time_left.search(self._text[: amount.start])
        return (said.start(), amount.end, "<=") if said is not None and amount.unit in SECONDS else None

    def _one_year(self, amount: Amount, end: int) -> Iterator[Condition]:
        """ "From 1985", "1985年的", "not 1985"; a bare year may be a title's or a place in a list."""
        said = _YEAR_IN.search(self._text[: amount.start])
        start, year = said.start() if said else amount.start, self._year_value(amount)
        if (whole := self._ruled_out(start, end)) is not None:
            wanted = Filter(field=self._roles["year"], op="not in", value=(str(int(year)),))
            yield Condition(start=whole[0], end=whole[1], filters=(wanted,))
        elif said is not None or end > amount.end:
            yield Condition(start=start, end=end, filters=(self._filter("year", "==", year),))

    def _unit_before(self, amount: Amount) -> str:
        """ "At least 5 hours but no more than 20": a bare number has the unit of the one before it."""
        for other in reversed(self._amounts):
            between = self._text[other.end : amount.start]
            if other.end <= amount.start and other.unit:
                near = len(between) <= _NEAR and not set(between) & set(".;!?。；！？")
                return other.unit if near else ""
        return ""

    def _comparison(self, start: int, end: int, *, year: bool) -> tuple[int, int, FilterOp] | None:
        """Start, end and operator of the comparison around ``text[start:end]``."""
        before, behind = self._said_before(start, year), self._said_behind(end, year)
        if before is None and behind is None:
            return None
        first, op = before if before is not None else (start, behind[1] if behind is not None else "==")
        last = behind[0] if behind is not None else end
        turned = self._words.turns.search(self._text[:first])
        if turned is not None and op in (("<", ">") if before is not None else _TURNED):
            return turned.start(), last, _TURNED[op]
        out = self._words.turns_behind.match(self._text, last)
        if out is not None and op in _TURNED:
            # "Before 1985 is out".
            return first, out.end(), _TURNED[op]
        return first, last, op

    def _said_before(self, start: int, year: bool) -> tuple[int, FilterOp] | None:
        """Where the words that compare begin before a number, and what they say; the longest count."""
        head = self._text[:start]
        if self._words.language == "en":
            head = re.sub(r"(?:(?:the|a|of|that|is)\s*|(?<=\w)-)$", "", head)
        found: list[tuple[int, FilterOp]] = [
            (match.start(), op)
            for table in ([self._words.year_before] if year else []) + [self._words.before]
            for op, pattern in table.items()
            if (match := pattern.search(head)) is not None
        ]
        return min(found, key=lambda one: one[0], default=None)

    def _said_behind(self, end: int, year: bool) -> tuple[int, FilterOp] | None:
        """Where the words that compare end behind a number, and what they say; the longest count."""
        found = [
            (match.end(), op)
            for table in ([self._words.year_after] if year else []) + [self._words.after]
            for op, pattern in table.items()
            if (match := pattern.match(self._text, end)) is not None
        ]
        return max(found, key=lambda one: one[0], default=None)

    def _is_vague(self, start: int, end: int) -> bool:
        """ "about two hours" is no limit; "at most about two hours" is one all the same."""
        near = self._words.around_before.search(self._text[:start])
        # 最多 ends with a word for "about" and says a limit.
        said = near is not None and self._said_before(start, year=False) is None
        return said or self._words.around_after.match(self._text, end) is not None

    def _past_unit(self, amount: Amount) -> int:
        """Behind the word for a year, which an amount does not know."""
        behind = re.compile(r"年(?!代)").match(self._text, amount.end)
        return behind.end() if behind is not None and not amount.unit else amount.end

    def _is_year(self, amount: Amount) -> bool:
        value = self._year_value(amount)
        named = self._text.startswith("年", amount.end) or self._text[: amount.start].endswith("'")
        whole = amount.value == int(amount.value) and not amount.unit and "year" in self._roles
        return whole and 1_880 <= value <= 2_100 and (named or amount.value >= 1_880)

    def _year_value(self, amount: Amount) -> float:
        """98年 is 1998, 05年 is 2005."""
        short = self._text.startswith("年", amount.end) or self._text[: amount.start].endswith("'")
        if amount.value < 100 and len(amount.digits) == 2 and short:
            return amount.value + (2_000 if amount.value < 30 else 1_900)
        return amount.value

    def _role(self, unit: str) -> str | None:
        if unit in SECONDS:
            return next((self._roles[one] for one in SECONDS if one in self._roles), None)
        # "Under 50" in a shop is a price; elsewhere nobody knows.
        return self._roles.get("money")

    def _bare_role(self, low: Amount, high: Amount, opened: bool) -> str | None:
        if self._is_year(low) and self._is_year(high):
            return self._roles["year"]
        # "Between 75 and 100" in a shop is a price; where there are lengths too, nobody knows.
        return self._roles.get("money") if opened and not self._roles.keys() & SECONDS.keys() else None

    def _in_unit(self, value: float, unit: str, role: str) -> float:
        own = next((name for name, known in self._roles.items() if known == role), "")
        if unit in SECONDS and own in SECONDS:
            return round(value * SECONDS[unit] / SECONDS[own], 4)
        return value

    def _filter(self, role: str, op: FilterOp, value: float) -> Filter:
        return Filter(field=self._roles["year"] if role == "year" else role, op=op, value=value)
