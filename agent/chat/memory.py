"""How what a turn says joins what stands: what replaces what, what contradicts, what no longer counts."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from tastemaker.agent.chat.lexicon import ChatWords
from tastemaker.agent.chat.situations import Heard, Situations
from tastemaker.agent.chat.state import MAX_WISHES, ChatState, Doubt
from tastemaker.agent.recognise.fields import MAKERS
from tastemaker.agent.recognise.lexicon import load_words
from tastemaker.agent.recognise.recogniser import Recogniser, concept_places, plain_text
from tastemaker.agent.recognise.spelling import corrected
from tastemaker.data.dataset import Dataset
from tastemaker.prompts.domains import Domain
from tastemaker.types import Filter, FilterOp
from tastemaker.understanding import Understanding

_UPPER, _LOWER = ("<", "<="), (">", ">=")
_NAME = re.compile(r"[A-Za-z][\w'’&.-]*")
MIN_TOGETHER = 5
"""Items that two kinds must share for both to be asked for: of fewer the later one replaces the earlier."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Added:
    """The state after a wish, notes on what of it cannot be used, and whether it has to be asked about."""

    state: ChatState
    notes: tuple[str, ...] = ()


class Memory:
    """The rules for one language and catalogue."""

    def __init__(self, dataset: Dataset, recogniser: Recogniser, domain: Domain, words: ChatWords) -> None:
        self._dataset, self._recogniser, self._domain, self._words = dataset, recogniser, domain, words
        self._situations = Situations(recogniser.fields, domain, words)

    def add(
        self,
        state: ChatState,
        wish: str,
        said: str,
        now: datetime | None,
        lifted: Sequence[str] = (),
        asked: Collection[str] = (),
    ) -> Added:
        """Take a wish in.

        Args:
            said: the whole turn, whose "instead" and "also" count.
            lifted: what the turn has ended; named again, it is no demand: "comedy is fine after all".
            asked: fields of the situation that have just been asked about.
        """
        language, plain = self._words.language, plain_text(said)
        heard = self._situations.hear(said, state.context, now, asked)
        read = self._recogniser.read(wish, now=now, language=language)
        exclude = _ruled_out(read, self._recogniser.read(said, now=now, language=language), heard)
        instead = self._words.instead.search(plain) is not None
        also = self._words.also.search(plain) is not None
        ended = self._values(" ".join(lifted))
        kinds = tuple(
            one for one in self._kinds(read.wish, exclude) if str(one.value).casefold() not in ended
        )
        filters = (*read.filters, *(one for one in kinds if one not in read.filters))
        doubt = self._doubt(state, filters, exclude)
        if doubt is not None and self._words.on_purpose.search(plain) is None:
            state = replace(state, doubt=doubt)
        else:
            if doubt is not None:
                state = self.settled(state, replace(doubt, filters=(), exclude=()))
            state = self._merged(state, filters, exclude, instead=instead, also=also)
        state = self._situated(state, wish, said, now, heard)
        words = self._unsituated(read.wish, now) if heard.context else read.wish
        if words and not (instead and not kinds and read.filters):
            kept = () if instead and kinds else state.wishes
            state = replace(state, wishes=(*(one for one in kept if one != words), words)[-MAX_WISHES:])
        # What is asked about or corrected needs no note that the first of two values counts.
        notes = (one for one in read.notes if not any(f": {name} is " in one for name in heard.context))
        return Added(state=state, notes=tuple(notes))

    def _situated(
        self, state: ChatState, wish: str, said: str, now: datetime | None, heard: Heard
    ) -> ChatState:
        """The state with the situation of a turn, and with what of it has to be asked about."""
        language = self._words.language
        # Who is there may stand in a clause that wishes for nothing: "my husband and I fancy a thriller".
        context: dict[str, str | None] = {**state.context}
        for text in (said, wish):
            context |= self._recogniser.read(text, now=now, language=language).context
        context |= heard.context
        state = replace(state, context={name: one for name, one in context.items() if one is not None})
        if not heard.ends:
            return state
        doubt = state.doubt or Doubt()
        return replace(state, doubt=replace(doubt, context=heard.asks, ends_context=heard.ends))

    def _unsituated(self, wish: str, now: datetime | None) -> str:
        """A wish without the second of two situations, which a first reading leaves in it, and without words
        of correction that then stand alone.
        """
        left = self._recogniser.read(wish, now=now, language=self._words.language).wish
        bare = plain_text(left)
        for words in (self._words.corrects, self._words.on_purpose, self._words.fillers):
            bare = words.sub(" ", bare)
        return left if re.search(r"[^\W_]", bare) else ""

    def asks(self, text: str) -> tuple[bool, bool]:
        """Whether a text says what an item must be or not be, and whether it says a situation."""
        read = self._recogniser.read(text, language=self._words.language)
        conditions = read.filters or read.exclude or self._kinds(read.wish, read.exclude)
        return bool(conditions), bool(read.context)

    def _kinds(self, wish: str, excluded: Sequence[str]) -> tuple[Filter, ...]:
        """Kinds and makers that are plainly asked for: "a western", "Lumo cards"; not "something scary"."""
        words, fields = load_words(self._words.language), self._recogniser.fields
        plain = plain_text(wish)
        if self._words.language == "en":
            plain, _ = corrected(plain, words, self._domain)
        titles = fields.titles.spans(plain)
        found = []
        for start, end, value in concept_places(plain, words, self._domain):
            said = plain[start:end]
            noun = re.compile(self._words.nouns_of_kind.format(value=re.escape(said))).match(plain, start)
            if said in self._words.soft and noun is None:
                continue
            if any(first <= start and end <= last for first, last in titles) or value.casefold() in excluded:
                continue
            known = fields.value(value)
            if known is not None and known[0] in fields.columns:
                found.append(Filter(field=fields.columns[known[0]], op="has", value=known[1]))
        found += [one for one in self._makers(wish) if str(one.value).casefold() not in excluded]
        return tuple(dict.fromkeys(found))

    def _makers(self, wish: str) -> Iterator[Filter]:
        """Makers named by a capital inside a sentence, or behind a word for "brand"."""
        fields, plain = self._recogniser.fields, plain_text(wish)
        for word in _NAME.finditer(wish):
            known = fields.value_at(plain, word.start(), "en")
            if (
                known is None
                or known[0] not in MAKERS
                or not self._words.fillers.sub("", known[1].casefold()).strip()
            ):
                continue
            before = plain[: word.start()]
            capital = word[0][0].isupper() and re.search(r"[\w,，]\s*$", before) is not None
            behind = self._words.brand_behind.match(plain, known[2])
            if capital or behind is not None or self._words.brand_words.search(before) is not None:
                yield Filter(field=fields.columns[known[0]], op="has", value=known[1])

    def exclusion(self, thing: str) -> tuple[Filter, ...]:
        return self._recogniser.fields.exclusion(thing)

    def _against(self, thing: str, wanted: Filter) -> bool:
        """An exclusion of what a condition asks for."""
        ruled = self.exclusion(thing)[0]
        same = str(ruled.value).casefold() == str(wanted.value).casefold()
        return wanted.op in ("has", "==", "in") and ruled.field == wanted.field and same

    def _doubt(self, state: ChatState, filters: Sequence[Filter], exclude: Sequence[str]) -> Doubt | None:
        """What a wish says against what stands, with all else that it asks for: one answer settles both."""
        ends_filters = [
            one
            for one in state.filters
            if any(self._against(thing, one) for thing in exclude) or _leaves_nothing(one, filters)
        ]
        ends_exclude = [one for one in state.exclude if any(self._against(one, wanted) for wanted in filters)]
        if not ends_filters and not ends_exclude:
            return None
        return Doubt(
            filters=tuple(filters),
            exclude=tuple(exclude),
            ends_filters=tuple(ends_filters),
            ends_exclude=tuple(ends_exclude),
        )

    def settled(self, state: ChatState, doubt: Doubt) -> ChatState:
        """The state with the later word counting."""
        ended = {str(one.value).casefold() for one in doubt.ends_filters}
        left = replace(
            state,
            filters=tuple(one for one in state.filters if one not in doubt.ends_filters),
            exclude=tuple(one for one in state.exclude if one not in doubt.ends_exclude),
            context={
                **{name: one for name, one in state.context.items() if name not in doubt.ends_context},
                **doubt.context,
            },
            wishes=tuple(one for one in state.wishes if not self._names_any(one, ended)),
            doubt=None,
        )
        return self._merged(left, doubt.filters, doubt.exclude, instead=False, also=False)

    def _values(self, text: str) -> set[str]:
        """Values of the catalogue that a text names, in lower case."""
        places = concept_places(plain_text(text), load_words(self._words.language), self._domain)
        return {value.casefold() for _, _, value in places}

    def _names_any(self, wish: str, values: set[str]) -> bool:
        return bool(self._values(wish) & values)

    def _merged(
        self,
        state: ChatState,
        filters: Sequence[Filter],
        exclude: Sequence[str],
        *,
        instead: bool,
        also: bool,
    ) -> ChatState:
        kept = list(state.filters)
        wishes = state.wishes
        bounds = [one for one in filters if one.op in (*_UPPER, *_LOWER)]
        # In the order of the text: of two that leave nothing together the later one counts.
        for one in bounds:
            kept = joined(kept, [one])
        for new in (one for one in filters if one not in bounds):
            others = [
                one for one in kept if one.field == new.field and one.op in ("has", "==") and one != new
            ]
            earlier = [one for one in others if one in state.filters]
            if new.op == "has" and earlier and ((instead and not also) or not self._together(new, earlier)):
                kept = [one for one in kept if one not in earlier]
                ended = {str(one.value).casefold() for one in earlier}
                wishes = tuple(one for one in wishes if not self._names_any(one, ended))
            if new not in kept:
                kept.append(new)
        return replace(
            state,
            filters=tuple(kept),
            exclude=tuple(dict.fromkeys((*state.exclude, *exclude))),
            wishes=wishes,
        )

    def _together(self, new: Filter, earlier: Sequence[Filter]) -> bool:
        """Enough items are of all these kinds."""
        names = self._dataset.items.column_names
        if new.field not in names or not hasattr(self._dataset.items[new.field].type, "value_type"):
            return True
        wanted = {str(one.value) for one in (new, *earlier)}
        hits = 0
        for values in self._dataset.items[new.field].to_pylist():
            hits += wanted <= set(values or ())
            if hits >= MIN_TOGETHER:
                return True
        return False

    def moved(self, state: ChatState, role: str, op: FilterOp, value: float) -> ChatState:
        """The state with a quality on one side of ``value``, or for "==" in its decade."""
        column = self._recogniser.fields.columns[role]
        if op == "==":
            first = value // 10 * 10
            new = [Filter(field=column, op=">=", value=first), Filter(field=column, op="<", value=first + 10)]
        else:
            new = [Filter(field=column, op=op, value=value)]
        return replace(state, filters=tuple(joined(state.filters, new)))

    # What no longer counts

    def lifts(self, state: ChatState, said: str, now: datetime | None) -> list[tuple[int, int, str]]:
        """Stretches of a turn that end something which counts: start, end, and what they name."""
        plain = plain_text(said)
        found: list[tuple[int, int, str]] = []
        for pattern in self._words.lifts:
            for match in pattern.finditer(plain):
                thing = match["x"]
                free = all(match.end() <= start or match.start() >= end for start, end, _ in found)
                if (
                    free
                    and not self._asks_anew(state, thing, now)
                    and self.without(state, thing, now) != state
                ):
                    found.append((*match.span(), thing))
        return sorted(found)

    def _asks_anew(self, state: ChatState, thing: str, now: datetime | None) -> bool:
        """ "Before 1970 is fine" names a bound that does not stand: a demand and no release."""
        read = self._recogniser.read(thing, now=now, language=self._words.language)
        bounds = [one for one in read.filters if one.op in (*_UPPER, *_LOWER)]
        return bool(bounds) and not any(one in state.filters for one in bounds)

    def without(self, state: ChatState, thing: str, now: datetime | None) -> ChatState:
        """The state without what ``thing`` names: conditions, exclusions, a situation, or a wish's words."""
        fields = set(self._fields_named(thing))
        read = self._recogniser.read(thing, now=now, language=self._words.language)
        fields |= {one.field for one in read.filters if one.op in (*_UPPER, *_LOWER)}
        values = self._values(thing)
        values |= {str(one.value).casefold() for one in read.filters if one.op == "has"}
        values |= {str(self.exclusion(one)[0].value).casefold() for one in read.exclude}
        name = " ".join(plain_text(thing).split())
        filters = tuple(
            one
            for one in state.filters
            if one.field not in fields and str(one.value).casefold() not in values
        )
        exclude = tuple(
            one
            for one in state.exclude
            if one.casefold() not in name and str(self.exclusion(one)[0].value).casefold() not in values
        )
        context = {key: value for key, value in state.context.items() if read.context.get(key) != value}
        changed = replace(state, filters=filters, exclude=exclude, context=context)
        if changed != state:
            return replace(
                changed, wishes=tuple(one for one in changed.wishes if not self._names_any(one, values))
            )
        return replace(state, wishes=tuple(one for one in state.wishes if name not in plain_text(one)))

    def _fields_named(self, thing: str) -> Iterator[str]:
        plain = f" {plain_text(thing).strip()} " if self._words.language == "en" else plain_text(thing)
        for role, names in self._words.lift_fields.items():
            column = self._recogniser.fields.columns.get(role)
            for name in names:
                spoken = f" {name} " if self._words.language == "en" else name
                if column is not None and spoken in plain:
                    yield column


def _ruled_out(read: Understanding, whole: Understanding, heard: Heard) -> tuple[str, ...]:
    """What a wish rules out; not who is not there, and not what a correction takes back."""
    void = {
        thing
        for one in whole.passages
        if one.kind == "exclude" and any(first < one.end and one.start < last for first, last in heard.void)
        for thing in one.meaning.split(", ")
    }
    return tuple(one for one in read.exclude if one not in void)


def _leaves_nothing(had: Filter, new: Sequence[Filter]) -> bool:
    """A bound that none of an item's numbers can meet together with one of the new ones: "the sixties" after
    "nothing before 1990".
    """
    if had.op not in (*_UPPER, *_LOWER):
        return False
    against = (*(_LOWER if had.op in _UPPER else _UPPER), "==")
    numbers = _numbers(new, had.field, against)
    limit = _numbers([had], had.field, (had.op,))[0]
    return any(number > limit if had.op in _UPPER else number < limit for number in numbers)


def joined(filters: Sequence[Filter], bounds: Sequence[Filter]) -> list[Filter]:
    """Conditions with new bounds of one field, for older ones of the same side or that leave nothing."""
    sides = {side for one in bounds for side in (_UPPER, _LOWER) if one.op in side}
    kept = [
        one for one in filters if one.field != bounds[0].field or not any(one.op in side for side in sides)
    ]
    both = [*kept, *bounds]
    field = bounds[0].field
    low = max(_numbers(both, field, _LOWER), default=None)
    high = min(_numbers(both, field, _UPPER), default=None)
    if low is not None and high is not None and low >= high:
        kept = [one for one in kept if one.field != field or one.op not in (*_UPPER, *_LOWER)]
    return [*kept, *bounds]


def _numbers(filters: Sequence[Filter], field: str, ops: Sequence[str]) -> list[float]:
    return [
        float(one.value)
        for one in filters
        if one.field == field and one.op in ops and not isinstance(one.value, tuple)
    ]
