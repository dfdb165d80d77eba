"""What is true of items, of a history and of a situation, as the second checker sees it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime

from tastemaker.eval.second_checker.titles import Shelf, labels_of, norms_of, values_of
from tastemaker.eval.second_checker.words import FUNCTION_WORDS, MEASURES, PLAIN_CONTEXT, ROLES, SAME_CONTEXT
from tastemaker.types import Context, HistoryEntry, Item, Request, UserHistory

LOVED_SHARE = 0.9
DISLIKED_SHARE = 0.4
_SILENT = frozenset({"", "interaction", "rating", "rate"})
_LIKING = frozenset({"like", "love", "favourite", "favorite"})
# What one may say of an event; a silent event allows all.
_SAID_OF: dict[str, frozenset[str]] = {
    "bought": frozenset({"buy", "purchase", "order"}),
    "viewed": frozenset({"view", "click", "watch"}),
    "watched": frozenset({"watch", "view", "play"}),
    "read": frozenset({"read"}),
    "listened": frozenset({"listen", "play"}),
    "saved": frozenset({"save", "wishlist", "cart", "add_to_cart"}),
}
_RECENT_DAYS = {"yesterday": 2, "week": 14, "month": 62, "recently": 31, "year": 731}
_OTHER_FIELD_NAMES = {
    "time_of_day": "part",
    "daytype": "weekend",
    "day": "weekday",
    "location": "place",
    "social": "company",
}
_DAY = 86_400.0
_YEAR_IN_TITLE = re.compile(r"\(((?:1[89]|20)\d\d)\)\s*$")


def year_of(item: Item) -> int | None:
    """The year of the attribute, else the one behind the title."""
    if item.year is not None:
        return item.year
    match = _YEAR_IN_TITLE.search(item.title)
    return None if match is None else int(match[1])


def role_values(item: Item, role: str) -> frozenset[str]:
    """Normalised values of the attributes that play ``role`` ("director", "brand" …)."""
    names = [name for name in item.attributes if ROLES.get(name.casefold()) == role]
    return frozenset(_key(one) for name in names for value in values_of(item, name) for one in _parts(value))


def all_values(item: Item) -> frozenset[str]:
    """Normalised values of all attributes."""
    return frozenset(
        _key(one) for name in item.attributes for value in values_of(item, name) for one in _parts(value)
    )


def _parts(value: str) -> set[str]:
    return {value, *value.split(", ")}


def _key(value: str) -> str:
    return " ".join(norms_of(value))


def has_name(item: Item, name: str, roles: Iterable[str]) -> bool:
    """Whether ``name`` is a value of one of ``roles``, or of any attribute when no role is told."""
    wanted = _key(name)
    told = tuple(roles)
    if not told:
        return wanted in all_values(item)
    return any(wanted in role_values(item, role) for role in told)


def measure_of(item: Item, measure: str) -> float | None:
    """The "year", "price" or "length" of ``item``; None where the item lacks it."""
    if measure == "year":
        return year_of(item)
    for name in MEASURES[measure]:
        value = item.attributes.get(name)
        if isinstance(value, (int, float)):
            return float(value)
    return None


def numbers_of(item: Item) -> frozenset[float]:
    values = item.attributes.values()
    return frozenset(float(value) for value in values if isinstance(value, (int, float)))


def overlap(left: Item, right: Item, aspect: str) -> bool:
    """Whether two items share an aspect: "label", "year", "decade", a role, or "any" of labels and roles."""
    if aspect == "label":
        return bool(labels_of(left) & labels_of(right))
    if aspect in ("year", "decade"):
        years = [year_of(left), year_of(right)]
        if None in years:
            return False
        step = 1 if aspect == "year" else 10
        return len({year // step for year in years if year is not None}) == 1
    if aspect == "any":
        return overlap(left, right, "label") or any(
            overlap(left, right, role) for role in set(ROLES.values())
        )
    return bool(role_values(left, aspect) & role_values(right, aspect))


def described_words(item: Item) -> frozenset[str]:
    """Normalised words of title, description and attribute values: what may be said of the item freely."""
    texts = [item.title, item.description]
    texts += [value for name in item.attributes for value in values_of(item, name)]
    return frozenset(word for text in texts for word in norms_of(text))


class Past:
    """The history of a request, by item. Entries that the catalogue lacks get an item of their own."""

    def __init__(self, history: UserHistory, shelf: Shelf) -> None:
        self._history = history
        self.items: dict[str, Item] = {}
        self.entries: dict[str, list[HistoryEntry]] = {}
        for position, entry in enumerate(history.entries):
            item = shelf.items.get(entry.item_id) if entry.item_id is not None else None
            item_id = item.id if item is not None else f"typed title {position}"
            self.items[item_id] = item if item is not None else Item(id=item_id, title=entry.title)
            self.entries.setdefault(item_id, []).append(entry)

    def share(self, entry: HistoryEntry) -> float | None:
        """Where the rating lies between the ends of its scale, 0..1; None without a rating."""
        if entry.value is None or self._history.value_range is None:
            return None
        low, high = self._history.value_range
        return (entry.value - low) / (high - low) if high > low else 1.0

    @property
    def top(self) -> float | None:
        return None if self._history.value_range is None else self._history.value_range[1]

    def fits(self, entry: HistoryEntry, stance: str) -> bool:
        """Whether "you STANCE it" fits the entry: liked, loved, disliked, rated, met, bought, watched …"""
        event = entry.event.casefold()
        share = self.share(entry)
        if stance == "liked":
            rated = self._history.is_liked(entry) if share is not None else event in _SILENT
            return rated or event in _LIKING
        if stance == "loved":
            return event == "love" or (share is not None and share >= LOVED_SHARE)
        if stance == "disliked":
            return event == "dislike" or (share is not None and share < DISLIKED_SHARE)
        if stance == "rated":
            return share is not None
        if stance == "met" or event in _SAID_OF.get(stance, frozenset()):
            return True
        # Who rated a thing has met it, but need not have bought or saved it.
        return event in _SILENT and (share is None or stance in ("watched", "read", "listened"))

    def holds(self, item_id: str, stance: str) -> bool:
        return any(self.fits(entry, stance) for entry in self.entries.get(item_id, ()))

    def with_stance(self, stance: str) -> list[Item]:
        return [item for item_id, item in self.items.items() if self.holds(item_id, stance)]

    def values(self, item_id: str) -> set[float]:
        return {entry.value for entry in self.entries.get(item_id, ()) if entry.value is not None}

    def is_recent(self, item_id: str, word: str, now: datetime | None) -> bool:
        """Whether an entry is as recent as ``word`` says (``_RECENT_DAYS``, "last"); False if unknown."""
        if word == "last":
            return bool(self._history.entries) and self._history.entries[-1] in self.entries.get(item_id, ())
        times = [entry.timestamp for entry in self.entries.get(item_id, ()) if entry.timestamp is not None]
        if not times or now is None:
            return False
        moment = now if now.tzinfo is not None else now.replace(tzinfo=UTC)
        return 0 <= moment.timestamp() - max(times) <= _RECENT_DAYS.get(word, 0) * _DAY


def situation_of(context: Context) -> Mapping[str, frozenset[str]]:
    """Values of ``PLAIN_CONTEXT`` that are true now, by field; an hour near a border fits both parts."""
    out: dict[str, set[str]] = {}
    if context.time is not None:
        out.update(_moment(context.time))
    for name, value in context.as_mapping().items():
        if name == "time":
            continue
        words = {value.casefold(), *norms_of(value)}
        values = {SAME_CONTEXT.get(word, word) for word in words}
        field = _field_of(name)
        # What the request says of season and weekend replaces what its clock would.
        out[field] = values if field in ("season", "weekend") else out.get(field, set()) | values
    return {name: frozenset(values) for name, values in out.items()}


def _field_of(name: str) -> str:
    folded = name.casefold()
    return folded if folded in PLAIN_CONTEXT else _OTHER_FIELD_NAMES.get(folded, folded)


def _moment(moment: datetime) -> dict[str, set[str]]:
    days = list(PLAIN_CONTEXT["weekday"])
    weekend = moment.weekday() >= 5 or (moment.weekday() == 4 and moment.hour >= 17)
    seasons = ("winter", "spring", "summer", "autumn")
    out = {
        "weekday": {days[moment.weekday()]},
        "weekend": {"yes" if weekend else "no"},
        "season": {seasons[moment.month % 12 // 3]},
        "month": {str(moment.month)},
    }
    # A bare date is midnight sharp and tells no part of the day.
    if (moment.hour, moment.minute, moment.second) != (0, 0, 0):
        bounds = {"morning": (4, 12), "noon": (11, 14), "afternoon": (12, 18), "evening": (17, 24)}
        out["part"] = {part for part, (low, high) in bounds.items() if low <= moment.hour < high}
        if moment.hour >= 20 or moment.hour < 5:
            out["part"].add("night")
        if moment.hour >= 17:
            out["part"].add("tonight")
    return out


_NOT_WISHED = re.compile(r"\b(?:not|no|never|without|nothing|isn.?t|don.?t)\b|不|没|别|无", re.I)
_ENDINGS = re.compile(r"(?:ies|es|s|ed|ing|ly|y)$")


def stem(word: str) -> str:
    short = _ENDINGS.sub("", word)
    return short if len(short) >= 3 else word


class Wish:
    """The words of a wish, and those that it rules out."""

    def __init__(self, request: Request) -> None:
        self.text = request.wish
        self._norm = _key(request.wish)
        self._stems: set[str] = set()
        self._refused: set[str] = set()
        asked = []
        for part in re.split(r"[,;.!?，；。！？]|\bbut\b|但", request.wish):
            refusal = _NOT_WISHED.search(part)
            kept = part if refusal is None else part[: refusal.start()]
            asked.append(kept)
            self._stems |= set(map(stem, norms_of(kept)))
            self._refused |= set(map(stem, norms_of(part[len(kept) :])))
        self.asked = ", ".join(asked)

    def __bool__(self) -> bool:
        return bool(self._norm)

    def quotes(self, text: str) -> bool:
        """Whether ``text`` stands in the wish."""
        wanted = _key(text)
        return bool(wanted) and f" {wanted} " in f" {self._norm} "

    def has(self, word: str, *, negated: bool = False) -> bool:
        """Whether the wish asks for ``word`` (or, negated, rules it out). Function words always pass."""
        if word in FUNCTION_WORDS or word.isdigit():
            return True
        return stem(word) in (self._refused if negated else self._stems)
