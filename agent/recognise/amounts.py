"""Numbers with units as people write them: "an hour and a half", "$1,200", "90 mins", "一个半小时"."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from tastemaker.agent.recognise.lexicon import Words

SECONDS = {"seconds": 1.0, "minutes": 60.0, "hours": 3_600.0}
_DIGITS = re.compile(r"\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?")
_CURRENCY = re.compile(r"(?:us)?[$＄€£]\s*$")
_HALF_BEHIND = re.compile(r"\s*(?:and a half|½|\.5)")
_HALF_UNIT = re.compile(r"(?<!\w)half an? hour(?!\w)")
_UNIT_AND_HALF = re.compile(r"\s+and a half(?!\w)")
_CLOCK = re.compile(r"(?<![\w:])(\d{1,2})\s?h\s?(\d{1,2})(?:\s?m(?:in)?s?)?(?!\w)")
_MOST = 1e12
"""No year, length or price is more; 309 digits are not even a number."""

_ZH = "零〇一二两俩三四五六七八九十百千万"
_ZH_NUMBER = re.compile(rf"[{_ZH}]+|半")
_ZH_DIGITS = dict(zip("零〇一二两俩三四五六七八九", (0, 0, 1, 2, 2, 2, 3, 4, 5, 6, 7, 8, 9), strict=True))
_ZH_PLACES = {"十": 10, "百": 100, "千": 1_000, "万": 10_000}


@dataclass(frozen=True, slots=True, kw_only=True)
class Amount:
    """``text[start:end]`` says ``value`` of ``unit``: minutes, hours, seconds, money, or "" for a number.

    ``digits``: how the number was written, for years ("98").
    """

    start: int
    end: int
    value: float
    unit: str = ""
    digits: str = ""


def amounts(text: str, words: Words) -> list[Amount]:
    """All amounts of a text in lower case, in order, without overlap; joined ones ("1 hour 20") are one."""
    found: list[Amount] = []
    for one in _raw(text, words):
        before = found[-1] if found else None
        if before is not None and one.start < before.end:
            continue
        if before is not None and _goes_on(text, before, one):
            found[-1] = replace(before, end=one.end, value=before.value * 60 + one.value, unit="minutes")
            continue
        found.append(one)
    return found


def _goes_on(text: str, hours: Amount, minutes: Amount) -> bool:
    """ "1 hour (and) 20 (minutes)"."""
    between = text[hours.end : minutes.start].strip()
    return (
        hours.unit == "hours"
        and minutes.unit in ("minutes", "")
        and minutes.value < 60
        and between in ("", "and", "零")
        and (minutes.unit == "minutes" or between == "" or minutes.value >= 10)
    )


def _raw(text: str, words: Words) -> Iterator[Amount]:
    found = list(_clocks(text))
    taken = {place for one in found for place in range(one.start, one.end)}
    for start, end, value, digits in _numbers(text, words):
        if start in taken or value > _MOST:
            continue
        found.append(_with_unit(text, start, end, value, digits, words))
    yield from sorted(found, key=lambda one: one.start)


def _clocks(text: str) -> Iterator[Amount]:
    for match in _CLOCK.finditer(text):
        minutes = int(match[1]) * 60.0 + int(match[2])
        yield Amount(start=match.start(), end=match.end(), value=minutes, unit="minutes")
    for match in _HALF_UNIT.finditer(text):
        yield Amount(start=match.start(), end=match.end(), value=30.0, unit="minutes")


def _with_unit(text: str, start: int, end: int, value: float, digits: str, words: Words) -> Amount:
    currency = _CURRENCY.search(text[:start])
    if half := _HALF_BEHIND.match(text, end):
        value, end = value + 0.5, half.end()
    if words.language == "zh" and (half := re.compile(r"个?半(?=个?(?:小时|钟头|钟))").match(text, end)):
        value, end = value + 0.5, half.end()
    if currency is not None:
        return Amount(start=currency.start(), end=end, value=value, unit="money")
    edge = r"(?!\w)" if words.language == "en" else ""
    for name in sorted(words.units, key=len, reverse=True):
        match = re.compile(rf"[\s-]*{re.escape(name)}{edge}").match(text, end)
        if match is None:
            continue
        end = match.end()
        if half := _UNIT_AND_HALF.match(text, end):
            value, end = value + 0.5, half.end()
        if words.language == "zh" and text.startswith("半", end):
            value, end = value + 0.5, end + 1
        return Amount(start=start, end=end, value=value, unit=words.units[name])
    return Amount(start=start, end=end, value=value, digits=digits)


def _numbers(text: str, words: Words) -> Iterator[tuple[int, int, float, str]]:
    for match in _DIGITS.finditer(text):
        # A part of a word ("mp3", "4k") is no number, nor is one of a version or a time ("10:30").
        if words.language == "en" and text[max(match.start() - 1, 0) : match.start()].isalpha():
            continue
        value, end = float(match[0].replace(",", "")), match.end()
        if text[end : end + 1] == "k" and not text[end + 1 : end + 2].isalnum():
            value, end = value * 1_000, end + 1
        if words.language == "zh" and text[end : end + 1] in _ZH_PLACES and text[end : end + 1] != "":
            value, end = value * _ZH_PLACES[text[end]], end + 1
        yield match.start(), end, value, match[0]
    if words.language == "zh":
        for match in _ZH_NUMBER.finditer(text):
            spelled = 0.5 if match[0] == "半" else chinese_number(match[0])
            yield match.start(), match.end(), spelled, match[0]
    else:
        yield from _spelled(text, words.numbers)


def _spelled(text: str, names: Mapping[str, int]) -> Iterator[tuple[int, int, float, str]]:
    """ "ninety", "twenty-five", "two hundred", "a couple of"; a lone "a" counts before an hour only."""
    listed = "|".join(sorted(names, key=len, reverse=True))
    # "A" is a number before a word for one only: "a hundred", "an hour".
    run = re.compile(
        rf"(?<!\w)(?:an?(?=\s+(?:hour|minute|hundred|thousand|couple|dozen))|{listed})"
        rf"(?:(?:[\s-]+|\s+and\s+)(?:{listed}))*(?!\w)(?:\s+of(?!\w))?"
    )
    for match in run.finditer(text):
        parts = re.findall(rf"(?<!\w)(?:{listed})(?!\w)", match[0]) or ["one"]
        total, current = 0, 0
        for part in parts:
            number = names[part]
            if number >= 100 or part in ("couple", "dozen"):
                current = max(current, 1) * number
                if number == 1_000:
                    total, current = total + current, 0
            else:
                current += number
        yield match.start(), match.end(), float(total + current), ""


def chinese_number(text: str) -> float:
    """The value of Chinese numerals: 九十 = 90, 一百五 = 150, 二〇一五 = 2015, 两千 = 2000."""
    if not set(text) & set(_ZH_PLACES):
        return float("".join(str(_ZH_DIGITS[one]) for one in text))
    total, section, current, place = 0, 0, 0, 1
    for one in text:
        if one in _ZH_DIGITS:
            current = _ZH_DIGITS[one]
        else:
            place = _ZH_PLACES[one]
            if place == 10_000:
                total, section, current = total + (section + current) * place, 0, 0
            else:
                section, current = section + (current or 1) * place, 0
    # 一百五: what stands last and alone counts tens there.
    if current and place >= 100 and text[-2] not in "零〇":
        current *= place // 10
    return float(total + section + current)
